// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// ExpireVerb is the verb of the plugin that the target's reaper runs.
const ExpireVerb = "delete-expired-accounts"

// DeleteExpired deletes the accounts of pairs that have expired, in the namespace of
// agents of a target, and their bindings; it returns their names. An account whose
// expiry cannot be read is deleted, too. All tokens of an account end with it.
func DeleteExpired(ctx context.Context, agents cluster.Namespace, now time.Time) ([]string, error) {
	kube := agents.Cluster.Kube
	accounts, err := kube.CoreV1().ServiceAccounts(agents.Name).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy + "=" + v1alpha1.ManagedByValue})
	if err != nil {
		return nil, fmt.Errorf("serviceaccounts of namespace %s: %w", agents, err)
	}
	var deleted []string
	var errs []error
	for i := range accounts.Items {
		a := &accounts.Items[i]
		text, found := a.Annotations[v1alpha1.AnnotationExpiryTime]
		if at, err := time.Parse(time.RFC3339, text); !found || err == nil && now.Before(at) {
			continue
		}
		// The account first: it is what matters.
		err := kube.CoreV1().ServiceAccounts(agents.Name).Delete(ctx, a.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &a.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("serviceaccount %s/%s: %w", agents.Name, a.Name, err))
			continue
		}
		deleted = append(deleted, a.Name)
		for _, name := range []string{a.Name, UseName(a.Name)} {
			// The rights to delete them are those of a pair's own Role, and the rotator has none.
			err := kube.RbacV1().RoleBindings(a.Annotations[v1alpha1.AnnotationTargetNamespace]).Delete(ctx, name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
				errs = append(errs, fmt.Errorf("rolebinding %s/%s: %w", a.Annotations[v1alpha1.AnnotationTargetNamespace], name, err))
			}
		}
	}
	return deleted, errors.Join(errs...)
}
