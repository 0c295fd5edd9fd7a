// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

// agentBinding is cluster-scoped: only an administrator can have created it, and the
// namespace was checked then.
const agentBinding = "kubectl-motion:agent"

// CheckNamespace refuses a namespace with the name of ours in which others have
// rights: the first installation makes it privileged and puts credentials into it.
func CheckNamespace(ctx context.Context, c *cluster.Cluster) error {
	_, err := c.Kube.RbacV1().ClusterRoleBindings().Get(ctx, agentBinding, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("clusterrolebinding %s on %s: %w", agentBinding, c, err)
	}
	ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, deploy.DefaultNamespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("namespace %s on %s: %w", deploy.DefaultNamespace, c, err)
	}
	if ns.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByValue {
		return refuseNamespace(c, "was not created by kubectl-motion")
	}
	bindings, err := c.Kube.RbacV1().RoleBindings(deploy.DefaultNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("rolebindings of namespace %s on %s: %w", deploy.DefaultNamespace, c, err)
	}
	for i := range bindings.Items {
		if !isPlatforms(&bindings.Items[i]) {
			return refuseNamespace(c, fmt.Sprintf("has rolebinding %q", bindings.Items[i].Name))
		}
	}
	return nil
}

// isPlatforms reports whether a binding gives a role of the platform to accounts of
// the namespace alone, as OpenShift does in every namespace.
func isPlatforms(b *rbacv1.RoleBinding) bool {
	return b.RoleRef.Kind == "ClusterRole" && strings.HasPrefix(b.RoleRef.Name, "system:") &&
		!slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
			own := s.Kind == rbacv1.ServiceAccountKind && s.Namespace == b.Namespace
			return !own && (s.Kind != rbacv1.GroupKind || s.Name != "system:serviceaccounts:"+b.Namespace)
		})
}

func refuseNamespace(c *cluster.Cluster, why string) error {
	return hint.New(
		fmt.Errorf("namespace %s on %s exists and %s: who has rights there would get those of the agents", deploy.DefaultNamespace, c, why),
		"delete the namespace; or, when only administrators have rights there, remove its rolebindings and run: %s",
		hint.Shell("kubectl", "label", "namespace", deploy.DefaultNamespace, v1alpha1.LabelManagedBy+"="+v1alpha1.ManagedByValue))
}
