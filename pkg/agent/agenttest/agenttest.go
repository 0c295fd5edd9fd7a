// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package agenttest is a cluster in memory for the agent's own tests: one
// shipment of namespace blue on node-1 whose every check passes, until a test
// changes an object. What the API server enforces (validation, admission,
// resourceVersions) it does not; that is tried on real clusters.
package agenttest

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Names and UIDs of the one shipment and what stands behind it.
const (
	Namespace   = "blue"
	Node        = "node-1"
	Claim       = "data"
	Shipment    = "data-shipment"
	Volume      = "pv-1"
	Pod         = "motion-holder-1"
	ClaimUID    = "6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11"
	PodUID      = "0c8b1f3a-52c1-4f3f-8f4e-6a0e3c1d2b10"
	ShipmentUID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
	PeerUID     = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
	PeerCluster = "22222222-2222-4222-8222-222222222222"
	// PeerIP is where the peer's connections come from.
	PeerIP = "10.1.2.3"
	// AgentNamespace has the agents and their Service.
	AgentNamespace = "kubectl-motion"
)

// World is the objects that New serves; change them before.
type World struct {
	Shipment  *v1alpha1.VolumeShipment
	Policy    *v1alpha1.MotionPolicy
	Namespace *corev1.Namespace
	Claim     *corev1.PersistentVolumeClaim
	Volume    *corev1.PersistentVolume
	Pod       *corev1.Pod
	// More objects of built-in kinds.
	More []runtime.Object
}

// Fine is a world in which every check passes, for role.
func Fine(role v1alpha1.Role) *World {
	w := &World{
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: map[string]string{"team": "blue"}}},
		Claim:     &corev1.PersistentVolumeClaim{ObjectMeta: meta(Claim, ClaimUID)},
		Volume:    &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: Volume}},
		Shipment: &v1alpha1.VolumeShipment{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
			ObjectMeta: meta(Shipment, ShipmentUID),
		},
		Policy: &v1alpha1.MotionPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MotionPolicy"},
			ObjectMeta: metav1.ObjectMeta{Name: "from-a"},
		},
		Pod: Holder(Pod, PodUID),
	}
	w.Claim.Spec.VolumeName, w.Claim.Status.Phase = Volume, corev1.ClaimBound
	w.Volume.Status.Phase = corev1.VolumeBound
	w.Volume.Spec.ClaimRef = &corev1.ObjectReference{Namespace: Namespace, Name: Claim, UID: ClaimUID}
	w.Volume.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	w.Volume.Spec.Local = &corev1.LocalVolumeSource{Path: "/disks/" + Volume}
	w.Policy.Spec.NamespaceSelector.MatchLabels = map[string]string{"team": "blue"}
	w.Policy.Spec.Peers = []v1alpha1.PolicyPeer{{ClusterID: PeerCluster, CIDRs: []string{"10.1.0.0/16"}}}
	s := &w.Shipment.Spec
	s.Role, s.ClaimName, s.ClaimUID, s.View, s.Generation = role, Claim, ClaimUID, v1alpha1.ViewLive, 1
	s.Peer = v1alpha1.ShipmentPeer{ClusterID: PeerCluster, Namespace: Namespace, ShipmentUID: PeerUID}
	w.Shipment.Status.NodeName = Node
	return w
}

func meta(name, uid string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: Namespace, Name: name, ResourceVersion: "1"}
	m.UID = types.UID(uid)
	return m
}

// Holder is a running pod on the node that holds the claim as a whole.
func Holder(name, uid string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name, uid)}
	p.Labels = map[string]string{v1alpha1.LabelHolder: "true"}
	p.Spec.NodeName = Node
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: Claim},
	}}}
	p.Spec.Containers = []corev1.Container{{Name: "holder", VolumeMounts: []corev1.VolumeMount{
		{Name: "v", MountPath: "/v", SubPath: ".", ReadOnly: true},
	}}}
	p.Status.Phase = corev1.PodRunning
	return p
}

// Application is a running pod that uses the claim and is no holder.
func Application(name string) *corev1.Pod {
	p := Holder(name, "7d444840-9dc0-41b2-a2b1-1f1a3f1a3f1a")
	p.Labels = nil
	p.Spec.Containers[0].VolumeMounts[0].SubPath = ""
	p.Spec.Containers[0].VolumeMounts[0].ReadOnly = false
	return p
}

// New serves a world.
func New(t *testing.T, w *World) *verify.Verifier {
	t.Helper()
	kube := fake.NewClientset(append([]runtime.Object{w.Namespace, w.Claim, w.Volume, w.Pod}, w.More...)...)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme, map[schema.GroupVersionResource]string{
		v1alpha1.VolumeShipments: "VolumeShipmentList", v1alpha1.MotionPolicies: "MotionPolicyList",
	}, w.Shipment, w.Policy)
	return &verify.Verifier{
		Cluster: &cluster.Cluster{Name: "test", Kube: kube, Dynamic: dynamic},
		Node:    Node, AgentNamespace: AgentNamespace,
	}
}
