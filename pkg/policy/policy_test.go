// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

func policyOf(t *testing.T, name string, labels map[string]string, peer string) runtime.Object {
	t.Helper()
	p := &v1alpha1.MotionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MotionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.MotionPolicySpec{NamespaceSelector: metav1.LabelSelector{MatchLabels: labels}, Peers: []v1alpha1.PolicyPeer{{ClusterID: peer}}},
	}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: m}
}

func TestPoliciesOfANamespaceAndPeer(t *testing.T) {
	policies := []runtime.Object{
		policyOf(t, "by-name", map[string]string{corev1.LabelMetadataName: "shop"}, "west"),
		policyOf(t, "by-label", map[string]string{"team": "shop"}, "west"),
		policyOf(t, "another-peer", nil, "north"),
		policyOf(t, "another-namespace", map[string]string{corev1.LabelMetadataName: "other"}, "west"),
		policyOf(t, "malformed", map[string]string{"team": "not a label!"}, "west"),
	}
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{corev1.LabelMetadataName: "shop", "team": "shop"}}}
	for name, c := range map[string]struct {
		readable       []runtime.Object
		names, unknown []string
	}{
		"the namespace can be read": {[]runtime.Object{shop}, []string{"by-label", "by-name"}, nil},
		"only its name is known":    {nil, []string{"by-name"}, []string{"another-namespace", "by-label"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := &cluster.Cluster{
				Kube: fake.NewClientset(c.readable...),
				Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
					map[schema.GroupVersionResource]string{v1alpha1.MotionPolicies: "MotionPolicyList"}, policies...),
			}
			got, err := List(t.Context(), cluster.Namespace{Cluster: at, Name: "shop"}, "west")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for i := range got.Policies {
				names = append(names, got.Policies[i].Name)
			}
			if !slices.Equal(names, c.names) || !slices.Equal(got.Unknown, c.unknown) {
				t.Errorf("%q, unknown %q", names, got.Unknown)
			}
		})
	}
}
