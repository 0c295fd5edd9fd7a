// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/agenttest"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// patience bounds waits for what must happen; nothing depends on its length.
const timeout = 20 * time.Second

func service() *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: agenttest.AgentNamespace, Name: "motion-agent"}}
	s.Spec.Ports = []corev1.ServicePort{{NodePort: 30747}}
	return s
}

// unclaimed is a world whose shipment nobody serves and asks for nothing yet.
func unclaimed(role v1alpha1.Role) *agenttest.World {
	w := agenttest.Fine(role)
	w.Shipment.Status = v1alpha1.VolumeShipmentStatus{}
	w.Shipment.Spec.Sync = 0
	w.More = []runtime.Object{service()}
	return w
}

// running is an agent at work on a world.
type running struct {
	t *testing.T
	c *cluster.Cluster
	a *Agent
}

func newAgent(t *testing.T, w *agenttest.World) *running {
	t.Helper()
	v := agenttest.New(t, w)
	state, err := statedir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	env := &session.Env{Authorizer: v, State: state, Slots: session.NewSlots(), Listener: listen.New(listen.DefaultLimits(), nil, log), Log: log}
	a := New(Config{Cluster: v.Cluster, Node: agenttest.Node, NodeIP: "192.0.2.11", Namespace: agenttest.AgentNamespace, Service: "motion-agent", Log: log}, env)
	return &running{t: t, c: v.Cluster, a: a}
}

func start(t *testing.T, w *agenttest.World) *running {
	t.Helper()
	r := newAgent(t, w)
	r.run(w)
	return r
}

// run runs the agent until the test ends, and returns when it watches.
func (r *running) run(w *agenttest.World) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.a.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	w.AwaitWatches(r.t, "pods", 1)
	w.AwaitWatches(r.t, "volumeshipments", 1)
}

func (r *running) get() *v1alpha1.VolumeShipment {
	r.t.Helper()
	s, err := cluster.Get[v1alpha1.VolumeShipment](r.t.Context(), r.c, v1alpha1.VolumeShipments, agenttest.Namespace, agenttest.Shipment)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *running) await(what string, done func(*v1alpha1.VolumeShipment) bool) *v1alpha1.VolumeShipment {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	watch, err := r.c.Resource(v1alpha1.VolumeShipments, agenttest.Namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer watch.Stop()
	for {
		if s := r.get(); done(s) {
			return s
		}
		select {
		case <-watch.ResultChan():
		case <-ctx.Done():
			r.t.Fatalf("not %s: %+v", what, r.get().Status)
		}
	}
}

func TestAShipmentIsClaimedByTheNodeThatHasItsMountPod(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	s := r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.NodeName != "" })
	e := s.Status.Endpoint
	if s.Status.NodeName != agenttest.Node || e == nil || len(e.KeySHA256) != 64 || e.PodUID != agenttest.PodUID {
		t.Fatalf("%+v", s.Status)
	}
	if len(e.Addresses) != 1 || e.Addresses[0] != "192.0.2.11:30747" {
		t.Errorf("addresses %q", e.Addresses)
	}
}

func TestASenderPublishesNoAddress(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleSend))
	s := r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	if len(s.Status.Endpoint.Addresses) != 0 {
		t.Errorf("addresses %q", s.Status.Endpoint.Addresses)
	}
}

func TestAClaimedShipmentIsGivenUpWithItsMountPodAndTakenBackWithTheSameKey(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	first := r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	pods := r.c.Kube.CoreV1().Pods(agenttest.Namespace)
	if err := pods.Delete(t.Context(), agenttest.Pod, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.await("given up", func(s *v1alpha1.VolumeShipment) bool { return s.Status.NodeName == "" && s.Status.Endpoint == nil })
	next := agenttest.MountPod("motion-mount-2", "5e9f1b0c-6b7a-4b1e-9f1a-2b3c4d5e6f70")
	if _, err := pods.Create(t.Context(), next, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	again := r.await("claimed again", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	if again.Status.Endpoint.KeySHA256 != first.Status.Endpoint.KeySHA256 {
		t.Error("the key changed")
	}
	if again.Status.Endpoint.PodUID != string(next.UID) {
		t.Errorf("served through pod %s", again.Status.Endpoint.PodUID)
	}
}

func TestWhatIsNotThisNodesBusinessIsLeftAlone(t *testing.T) {
	cases := map[string]func(*agenttest.World){
		"served by another node":        func(w *agenttest.World) { w.Shipment.Status.NodeName = "node-2" },
		"its mount pod on another node": func(w *agenttest.World) { w.Pod.Spec.NodeName = "node-2" },
		"no mount pod":                  func(w *agenttest.World) { w.Pod.Spec.Volumes = nil },
		"a mount pod that starts":       func(w *agenttest.World) { w.Pod.Status.Phase = corev1.PodPending },
		"a shipment being deleted":      func(w *agenttest.World) { w.Shipment.DeletionTimestamp = new(metav1.Now()) },
	}
	for name, bend := range cases {
		t.Run(name, func(t *testing.T) {
			w := unclaimed(v1alpha1.RoleReceive)
			bend(w)
			r := start(t, w)
			before := r.get()
			for !r.a.Ready() {
				r.a.handle(t.Context(), key{"no", "where"})
			}
			r.a.handle(t.Context(), key{agenttest.Namespace, agenttest.Shipment})
			for _, a := range r.c.Dynamic.(*dynamicfake.FakeDynamicClient).Actions() {
				if a.GetVerb() == "update" || a.GetVerb() == "patch" || a.GetVerb() == "create" {
					t.Errorf("%s of %s/%s", a.GetVerb(), a.GetResource().Resource, a.GetSubresource())
				}
			}
			if got := r.get().Status.NodeName; got != before.Status.NodeName {
				t.Errorf("nodeName became %q", got)
			}
		})
	}
}

func TestAnAgentWritesStatusOnly(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	for _, a := range r.c.Dynamic.(*dynamicfake.FakeDynamicClient).Actions() {
		switch a.GetVerb() {
		case "get", "list", "watch":
		case "update":
			if a.GetSubresource() != "status" {
				t.Errorf("update of %s", a.GetResource().Resource)
			}
		default:
			t.Errorf("%s of %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestALostRaceForAClaimIsLookedAtAgain(t *testing.T) {
	w := unclaimed(v1alpha1.RoleReceive)
	r := newAgent(t, w)
	races := 0
	r.c.Dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("update", "volumeshipments", func(clienttesting.Action) (bool, runtime.Object, error) {
		if races++; races > 1 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(v1alpha1.VolumeShipments.GroupResource(), agenttest.Shipment, nil)
	})
	r.run(w)
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.NodeName == agenttest.Node })
}

func TestAnotherClaimsVolumeIsSaidAndNotOffered(t *testing.T) {
	w := unclaimed(v1alpha1.RoleReceive)
	w.Volume.Spec.ClaimRef.Namespace = "red"
	r := start(t, w)
	s := r.await("refused", func(s *v1alpha1.VolumeShipment) bool { return len(s.Status.Conditions) > 0 })
	if row(&s.Status, v1alpha1.ShipmentAssigned) != "False ClaimMismatch" || s.Status.Endpoint != nil {
		t.Errorf("%+v", s.Status)
	}
}

func TestADeletedShipmentsKeyIsForgotten(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	if err := r.c.Resource(v1alpha1.VolumeShipments, agenttest.Namespace).Delete(t.Context(), agenttest.Shipment, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(timeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		keys, err := r.a.env.State.Keys()
		if err == nil && len(keys) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("keys %v, %v", keys, err)
		}
	}
}

func TestTheSweepRemovesTheStateOfClaimsThatAreGone(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	kept := statedir.Claim{Namespace: agenttest.Namespace, Name: agenttest.Claim, UID: agenttest.ClaimUID}
	for _, c := range []statedir.Claim{
		kept,
		{Namespace: agenttest.Namespace, Name: agenttest.Claim, UID: agenttest.PeerUID}, // made again since
		{Namespace: agenttest.Namespace, Name: "logs", UID: agenttest.PodUID},
	} {
		if _, err := r.a.env.State.Volume(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.a.env.State.Key(agenttest.PeerUID); err != nil {
		t.Fatal(err)
	}
	r.a.sweep(t.Context())
	claims, err := r.a.env.State.Claims()
	if err != nil || len(claims) != 1 || claims[0] != kept {
		t.Errorf("claims %+v, %v", claims, err)
	}
	keys, err := r.a.env.State.Keys()
	if err != nil || len(keys) != 1 || keys[0] != agenttest.ShipmentUID {
		t.Errorf("keys %v, %v", keys, err)
	}
}

func TestAMalformedObjectHarmsNoOther(t *testing.T) {
	r := start(t, unclaimed(v1alpha1.RoleReceive))
	bad := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "VolumeShipment",
		"metadata": map[string]any{"namespace": "green", "name": "bad"},
		"spec":     map[string]any{"claimName": int64(7), "generation": "seven", "peer": "none"},
		"status":   "fine",
	}}
	if _, err := r.c.Resource(v1alpha1.VolumeShipments, "green").Create(t.Context(), bad, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.a.handle(t.Context(), key{"green", "bad"})
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
}

func TestAPanicOverOneShipmentIsThatShipmentsAlone(t *testing.T) {
	w := unclaimed(v1alpha1.RoleReceive)
	r := newAgent(t, w)
	r.c.Dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("get", "volumeshipments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.(clienttesting.GetAction).GetName() == "bad" {
			panic("malformed beyond imagination")
		}
		return false, nil, nil
	})
	r.run(w)
	r.await("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	bad := key{agenttest.Namespace, "bad"}
	r.a.mu.Lock()
	r.a.sessions[bad] = session.Start(t.Context(), r.a.env, session.Job{Ref: session.Ref{Namespace: agenttest.Namespace, Name: "bad"}}, func() {})
	r.a.mu.Unlock()
	r.a.handle(t.Context(), bad)
	r.a.handle(t.Context(), key{agenttest.Namespace, agenttest.Shipment})
	if r.get().Status.NodeName != agenttest.Node {
		t.Error("the other shipment suffered")
	}
}
