// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package agenttest is a cluster in memory for the agent's own tests: one
// shipment of namespace blue on node-1 whose every check passes, until a test
// changes an object. What the API server enforces (validation, admission,
// resourceVersions) it does not; that is tried on real clusters.
package agenttest

import (
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
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
	Pod         = "motion-mount-1"
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
	Pair      *v1alpha1.ClusterPair
	Namespace *corev1.Namespace
	Claim     *corev1.PersistentVolumeClaim
	Volume    *corev1.PersistentVolume
	Pod       *corev1.Pod
	// More objects of built-in kinds.
	More []runtime.Object

	watched *watched
}

// watched counts the watches that stand. The clients in memory do not replay
// what happened between a list and its watch, as the API server does: a test
// waits for the watch before it makes something happen.
type watched struct {
	mu    sync.Mutex
	count map[string]int
	more  chan struct{}
}

func (w *watched) note(resource string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[resource]++
	close(w.more)
	w.more = make(chan struct{})
}

// AwaitWatches waits until resource was watched n times.
func (w *World) AwaitWatches(t *testing.T, resource string, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.watched.mu.Lock()
		count, more := w.watched.count[resource], w.watched.more
		w.watched.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%s is watched %d times, want %d", resource, count, n)
		}
	}
}

type tracker interface {
	Watch(gvr schema.GroupVersionResource, ns string, opts ...metav1.ListOptions) (watch.Interface, error)
}

func (w *watched) react(tr tracker) clienttesting.WatchReactionFunc {
	return func(a clienttesting.Action) (bool, watch.Interface, error) {
		out, err := tr.Watch(a.GetResource(), a.GetNamespace())
		w.note(a.GetResource().Resource)
		return true, out, err
	}
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
		Pair: &v1alpha1.ClusterPair{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterPair"},
			ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "to-b"},
			Spec:       v1alpha1.ClusterPairSpec{ClusterID: PeerCluster, TargetNamespace: Namespace, SecretName: "motion-pair-to-b"},
		},
		Pod: MountPod(Pod, PodUID),
	}
	w.Claim.Spec.VolumeName, w.Claim.Status.Phase = Volume, corev1.ClaimBound
	w.Volume.Status.Phase = corev1.VolumeBound
	w.Volume.Spec.ClaimRef = &corev1.ObjectReference{Namespace: Namespace, Name: Claim, UID: ClaimUID}
	w.Volume.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	w.Volume.Spec.Local = &corev1.LocalVolumeSource{Path: "/disks/" + Volume}
	w.Policy.Spec.NamespaceSelector.MatchLabels = map[string]string{"team": "blue"}
	w.Policy.Spec.Peers = []v1alpha1.PolicyPeer{{ClusterID: PeerCluster, CIDRs: []string{"10.1.0.0/16"}}}
	s := &w.Shipment.Spec
	s.Role, s.ClaimName, s.ClaimUID, s.CopyMethod, s.Sync = role, Claim, ClaimUID, v1alpha1.CopyMethodLive, 1
	s.Peer = v1alpha1.ShipmentPeer{ClusterID: PeerCluster, Namespace: Namespace, ShipmentUID: PeerUID}
	w.Shipment.Status.NodeName = Node
	return w
}

func meta(name, uid string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: Namespace, Name: name, ResourceVersion: "1"}
	m.UID = types.UID(uid)
	return m
}

// MountPod is a running pod on the node that holds the claim as a whole.
func MountPod(name, uid string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name, uid)}
	p.Labels = map[string]string{v1alpha1.LabelMountPod: "true"}
	p.Spec.NodeName = Node
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: Claim},
	}}}
	p.Spec.Containers = []corev1.Container{{Name: "mount", VolumeMounts: []corev1.VolumeMount{
		{Name: "v", MountPath: "/v", SubPath: ".", ReadOnly: true},
	}}}
	p.Status.Phase = corev1.PodRunning
	return p
}

// Application is a running pod that uses the PVC and is not a mount pod.
func Application(name string) *corev1.Pod {
	p := MountPod(name, "7d444840-9dc0-41b2-a2b1-1f1a3f1a3f1a")
	p.Labels = nil
	p.Spec.Containers[0].VolumeMounts[0].SubPath = ""
	p.Spec.Containers[0].VolumeMounts[0].ReadOnly = false
	return p
}

// New serves a world.
func New(t *testing.T, w *World) *authz.Authorizer {
	t.Helper()
	kube := fake.NewClientset(append([]runtime.Object{w.Namespace, w.Claim, w.Volume, w.Pod}, w.More...)...)
	dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		v1alpha1.VolumeShipments: "VolumeShipmentList", v1alpha1.MotionPolicies: "MotionPolicyList", v1alpha1.ClusterPairs: "ClusterPairList",
	}, untyped(t, w.Shipment), untyped(t, w.Policy), untyped(t, w.Pair))
	w.watched = &watched{count: map[string]int{}, more: make(chan struct{})}
	kube.PrependWatchReactor("*", w.watched.react(kube.Tracker()))
	dynamic.PrependWatchReactor("*", w.watched.react(dynamic.Tracker()))
	return &authz.Authorizer{
		Cluster: &cluster.Cluster{Name: "test", Kube: kube, Dynamic: dynamic},
		Node:    Node, AgentNamespace: AgentNamespace,
	}
}

// untyped is an object as the API server sends it: it may say anything.
func untyped(t *testing.T, o any) *unstructured.Unstructured {
	t.Helper()
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: m}
}
