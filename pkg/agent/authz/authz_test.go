// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/agenttest"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Each case bends one object of a world in which every check passes.
func TestEveryObjectOfTheChainIsLookedAt(t *testing.T) {
	cases := map[string]struct {
		bend   func(*agenttest.World)
		reason string
	}{
		"as it should be":           {func(*agenttest.World) {}, ""},
		"shipment being deleted":    {func(w *agenttest.World) { w.Shipment.DeletionTimestamp = new(metav1.Now()) }, v1alpha1.ReasonSuperseded},
		"shipment made again":       {func(w *agenttest.World) { w.Shipment.UID = agenttest.PeerUID }, v1alpha1.ReasonSuperseded},
		"shipment of another node":  {func(w *agenttest.World) { w.Shipment.Status.NodeName = "node-2" }, v1alpha1.ReasonSuperseded},
		"mount pod on another node": {func(w *agenttest.World) { w.Shipment.Spec.NodeName = "node-2" }, v1alpha1.ReasonSuperseded},
		"shipment of no node":       {func(w *agenttest.World) { w.Shipment.Status.NodeName = "" }, v1alpha1.ReasonSuperseded},
		"namespace not selected":    {func(w *agenttest.World) { w.Namespace.Labels = nil }, v1alpha1.ReasonPolicyDenied},
		"peer not named":            {func(w *agenttest.World) { w.Policy.Spec.Peers[0].ClusterID = "other" }, v1alpha1.ReasonPolicyDenied},
		"pair to another cluster":   {func(w *agenttest.World) { w.Pair.Spec.ClusterID = "other" }, v1alpha1.ReasonPolicyDenied},
		"pair of another namespace": {func(w *agenttest.World) { w.Pair.Namespace = "red" }, v1alpha1.ReasonPolicyDenied},
		"pair that has ended":       {func(w *agenttest.World) { w.Pair.Spec.ExpiryTime = new(metav1.Now()) }, v1alpha1.ReasonPolicyDenied},
		"claim made again":          {func(w *agenttest.World) { w.Claim.UID = agenttest.PeerUID }, v1alpha1.ReasonClaimMismatch},
		"claim of another name":     {func(w *agenttest.World) { w.Claim.Name = "logs" }, v1alpha1.ReasonClaimMismatch},
		"volume of another claim":   {func(w *agenttest.World) { w.Volume.Spec.ClaimRef.UID = agenttest.PeerUID }, v1alpha1.ReasonClaimMismatch},
		"volume that is not there":  {func(w *agenttest.World) { w.Volume.Name = "pv-2" }, v1alpha1.ReasonClaimMismatch},
		"pod on another node":       {func(w *agenttest.World) { w.Pod.Spec.NodeName = "node-2" }, v1alpha1.ReasonWaitingForMountPod},
		"pod in another namespace":  {func(w *agenttest.World) { w.Pod.Namespace = "red" }, v1alpha1.ReasonWaitingForMountPod},
		"mount pod of another image": {func(w *agenttest.World) {
			w.Policy.Spec.MountPodTemplate = &v1alpha1.MountPodTemplate{Image: "registry.example.com/pause:1"}
		}, v1alpha1.ReasonMountPodInvalid},
		"pod with part of a volume": {func(w *agenttest.World) { w.Pod.Spec.Containers[0].VolumeMounts[0].SubPath = "a" }, v1alpha1.ReasonMountPodInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := agenttest.Fine(v1alpha1.RoleSend)
			c.bend(w)
			facts, err := agenttest.New(t, w).Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID)
			if c.reason == "" {
				if err != nil || facts.Shared != nil || facts.Mount.PodUID != agenttest.PodUID {
					t.Fatalf("%+v, %v", facts, err)
				}
				return
			}
			if err == nil || fault.Reason(err) != c.reason {
				t.Errorf("%v, want %s", err, c.reason)
			}
		})
	}
}

func TestAnotherWriterIsReported(t *testing.T) {
	attached := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "va"}}
	name := agenttest.Volume
	attached.Spec.NodeName, attached.Spec.Source.PersistentVolumeName = "node-2", &name
	cases := map[string]func(*agenttest.World){
		"an application": func(w *agenttest.World) { w.More = []runtime.Object{agenttest.Application("pg-0")} },
		"an attachment to another node": func(w *agenttest.World) {
			w.Volume.Spec.Local, w.Volume.Spec.CSI = nil, &corev1.CSIPersistentVolumeSource{}
			w.More = []runtime.Object{attached}
		},
	}
	for name, bend := range cases {
		t.Run(name, func(t *testing.T) {
			w := agenttest.Fine(v1alpha1.RoleSend)
			bend(w)
			facts, err := agenttest.New(t, w).Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID)
			if err != nil || facts.Shared == nil || fault.Reason(facts.Shared) != v1alpha1.ReasonNotExclusive {
				t.Errorf("%+v, %v", facts, err)
			}
		})
	}
}

// Only the shipments that could matter are asked for; a server that does not know how
// to select them is asked for all.
func TestAnotherNodesReceiverIsSeen(t *testing.T) {
	for name, selects := range map[string]bool{"by a selector": true, "where there is none": false} {
		t.Run(name, func(t *testing.T) {
			w := agenttest.Fine(v1alpha1.RoleReceive)
			v := agenttest.New(t, w)
			other := w.Shipment.DeepCopy()
			other.Name, other.UID, other.Status.NodeName = "other", agenttest.PeerUID, "node-2"
			if _, err := cluster.Create(t.Context(), v.Cluster, v1alpha1.VolumeShipments, agenttest.Namespace, other); err != nil {
				t.Fatal(err)
			}
			asked := 0
			v.Cluster.Dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("list", "volumeshipments",
				func(a clienttesting.Action) (bool, runtime.Object, error) {
					asked++
					those := a.(clienttesting.ListAction).GetListRestrictions().Fields
					if those.Empty() {
						return false, nil, nil
					}
					if !selects {
						return true, nil, apierrors.NewBadRequest("field label not supported: spec.role")
					}
					of := fields.Set{"spec.role": "Receive", "spec.claimName": agenttest.Claim}
					for node, want := range map[string]bool{"": false, agenttest.Node: false, "node-2": true} {
						of["status.nodeName"] = node
						if those.Matches(of) != want {
							t.Errorf("%s, of %v: %t", those, of, !want)
						}
					}
					return false, nil, nil
				})
			facts, err := v.Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID)
			if err != nil || facts.Shared == nil || !strings.Contains(facts.Shared.Error(), "shipment other") {
				t.Errorf("%+v, %v", facts, err)
			}
			if want := map[bool]int{true: 1, false: 2}[selects]; asked != want {
				t.Errorf("shipments were listed %d times, want %d", asked, want)
			}
		})
	}
}

func TestAnAPIServerThatDoesNotAnswerDecidesNothing(t *testing.T) {
	for _, resource := range []string{"namespaces", "persistentvolumeclaims", "persistentvolumes", "pods"} {
		t.Run(resource, func(t *testing.T) {
			v := agenttest.New(t, agenttest.Fine(v1alpha1.RoleSend))
			down := func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewServiceUnavailable("down")
			}
			v.Cluster.Kube.(*fake.Clientset).PrependReactor("*", resource, down)
			_, err := v.Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID)
			if err == nil || errors.As(err, new(*fault.Error)) {
				t.Errorf("%v is a decision", err)
			}
		})
	}
}

// A cache may be old: every read must be one that the API server answers from
// its store, which is what an empty resourceVersion asks for.
func TestNothingIsReadFromACache(t *testing.T) {
	v := agenttest.New(t, agenttest.Fine(v1alpha1.RoleSend))
	kube := v.Cluster.Kube.(*fake.Clientset)
	if _, err := v.Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID); err != nil {
		t.Fatal(err)
	}
	for _, a := range kube.Actions() {
		switch a := a.(type) {
		case clienttesting.GetActionImpl:
			if a.GetOptions.ResourceVersion != "" {
				t.Errorf("get %s with resourceVersion %q", a.Resource.Resource, a.GetOptions.ResourceVersion)
			}
		case clienttesting.ListActionImpl:
			if a.ListOptions.ResourceVersion != "" {
				t.Errorf("list %s with resourceVersion %q", a.Resource.Resource, a.ListOptions.ResourceVersion)
			}
		default:
			t.Errorf("%s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

// The layer against shipping without a pair is the agent's: without it, which the
// policy can say, the same shipment goes.
func TestAVolumeLeavesWithoutAPairOnlyWhereEveryPolicyAllowsIt(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		w := agenttest.Fine(v1alpha1.RoleSend)
		w.Pair.Namespace, w.Policy.Spec.AllowUnpaired = "red", allowed
		_, err := agenttest.New(t, w).Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID)
		if (err == nil) != allowed {
			t.Errorf("allowUnpaired %v: %v", allowed, err)
		}
	}
	// What comes in needs no pair on this side: the pair is at the other end.
	w := agenttest.Fine(v1alpha1.RoleReceive)
	w.Pair.Namespace = "red"
	if _, err := agenttest.New(t, w).Authorize(t.Context(), agenttest.Namespace, agenttest.Shipment, agenttest.ShipmentUID); err != nil {
		t.Error(err)
	}
}
