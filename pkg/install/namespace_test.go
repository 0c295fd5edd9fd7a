// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestCheckNamespace(t *testing.T) {
	namespace := func(labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: deploy.DefaultNamespace, Labels: labels}}
	}
	ours := map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue}
	binding := func(role string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{ObjectMeta: object("binding"), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
	}
	tenant := rbacv1.Subject{Kind: rbacv1.UserKind, Name: "tenant"}
	builder := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "builder", Namespace: deploy.DefaultNamespace}
	for name, c := range map[string]struct {
		objects []runtime.Object
		fails   bool
	}{
		"none":                                  {nil, false},
		"one_that_is_not_ours":                  {[]runtime.Object{namespace(nil)}, true},
		"one_labelled_as_ours_with_an_admin":    {[]runtime.Object{namespace(ours), binding("admin", tenant)}, true},
		"one_with_a_platform_role_for_a_tenant": {[]runtime.Object{namespace(ours), binding("system:image-puller", tenant)}, true},
		"one_with_what_a_platform_adds":         {[]runtime.Object{namespace(ours), binding("system:image-builder", builder)}, false},
		"one_that_an_administrator_labelled":    {[]runtime.Object{namespace(ours)}, false},
		"an_installation": {[]runtime.Object{
			namespace(ours), binding("view", tenant),
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: agentBinding}},
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckNamespace(t.Context(), clusterOf(c.objects)); (err != nil) != c.fails {
				t.Errorf("%v", err)
			}
		})
	}
}
