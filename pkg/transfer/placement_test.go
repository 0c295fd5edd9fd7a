// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// podWith is a pod of the namespace shop that has the PVC data.
func podWith(name, node string, mountPod bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)}}
	if mountPod {
		p.Labels = map[string]string{v1alpha1.LabelMountPod: "true"}
	}
	p.Spec.NodeName = node
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
	return p
}

// assignedTo is a receiver's shipment as its agent published it.
func assignedTo(t *testing.T, node, podUID string) *v1alpha1.VolumeShipment {
	t.Helper()
	s := &v1alpha1.VolumeShipment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data-receive"},
	}
	s.Spec.Role, s.Spec.ClaimName = v1alpha1.RoleReceive, "data"
	if node != "" {
		s.Status.NodeName = node
		s.Status.Endpoint = &v1alpha1.ShipmentEndpoint{KeySHA256: strings.Repeat("a", 64), PodUID: podUID}
	}
	return s
}

func TestPlacement(t *testing.T) {
	other := podWith("other", "node-x", true)
	other.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = "logs"
	for name, c := range map[string]struct {
		pods      []runtime.Object
		node, uid string
		// wantNode is spec.nodeName afterwards, misplaced whether the end may not be linked.
		wantNode  string
		misplaced bool
	}{
		"the agent of the mount pod's node is accepted":     {[]runtime.Object{podWith("m", "node-1", true)}, "node-1", "uid-m", "node-1", false},
		"an agent of another node is rejected":              {[]runtime.Object{podWith("m", "node-1", true)}, "node-x", "uid-m", "node-1", true},
		"an agent that names an unknown pod is rejected":    {[]runtime.Object{podWith("m", "node-1", true)}, "node-1", "uid-z", "node-1", true},
		"an agent with a pod of another PVC is rejected":    {[]runtime.Object{podWith("m", "node-1", true), other}, "node-x", "uid-other", "node-1", true},
		"an agent is rejected before a pod mounts the PVC":  {nil, "node-x", "uid-m", "", true},
		"a pod of the application proves the node, too":     {[]runtime.Object{podWith("app", "node-1", false)}, "node-1", "uid-app", "", false},
		"the node is requested before an agent is assigned": {[]runtime.Object{podWith("m", "node-1", true)}, "", "", "node-1", false},
		"a pod that is not scheduled requests no node":      {[]runtime.Object{podWith("m", "", true)}, "", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := assignedTo(t, c.node, c.uid)
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
			if err != nil {
				t.Fatal(err)
			}
			cl := &cluster.Cluster{
				Name: "west", Kube: fake.NewClientset(c.pods...),
				Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
					map[schema.GroupVersionResource]string{v1alpha1.VolumeShipments: "VolumeShipmentList"}, &unstructured.Unstructured{Object: object}),
			}
			e := End{Namespace: cluster.Namespace{Cluster: cl, Name: "shop"}, ClaimName: "data"}
			why, err := (&Link{}).place(t.Context(), e, s)
			if err != nil {
				t.Fatal(err)
			}
			if (why != "") != c.misplaced {
				t.Errorf("why %q, misplaced %v", why, c.misplaced)
			}
			got, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), cl, v1alpha1.VolumeShipments, "shop", s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got.Spec.NodeName != c.wantNode {
				t.Errorf("spec.nodeName %q, want %q", got.Spec.NodeName, c.wantNode)
			}
		})
	}
}
