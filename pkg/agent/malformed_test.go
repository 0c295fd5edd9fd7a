// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/agenttest"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/peers"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// spoiled is a copy of a JSON document in which one value, chosen by r, is gone,
// null, of another type, or odd.
func spoiled(t *testing.T, r *rand.Rand, doc map[string]any) map[string]any {
	t.Helper()
	out := runtime.DeepCopyJSON(doc)
	var places []func(any)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, child := range v {
				places = append(places, func(now any) {
					if now == nil && r.IntN(2) == 0 {
						delete(v, k)
						return
					}
					v[k] = now
				})
				walk(child)
			}
		case []any:
			for i, child := range v {
				places = append(places, func(now any) { v[i] = now })
				walk(child)
			}
		}
	}
	walk(out)
	odd := []any{
		nil, "", "\x1b[2J\u202e", int64(-1), int64(1) << 62, 3.5, true,
		map[string]any{},
		[]any{},
		[]any{nil},
		map[string]any{"": nil},
		"a/../../b", "127.0.0.1:1", "*", "2001-02-03T04:05:06Z",
	}
	for range 1 + r.IntN(2) {
		places[r.IntN(len(places))](odd[r.IntN(len(odd))])
	}
	return out
}

func document(t *testing.T, o any) map[string]any {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return deepInts(out).(map[string]any)
}

// deepInts makes whole numbers what the dynamic client makes of them.
func deepInts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			v[k] = deepInts(child)
		}
	case []any:
		for i, child := range v {
			v[i] = deepInts(child)
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return v
}

// Each object that the agent gets may be one that an older or broken API server,
// or a user with a hexadecimal editor, has made. reconcile catches a panic; that
// one is caught is a defect all the same.
func TestNoMalformedObjectMakesTheAgentPanic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 150 {
		role := []v1alpha1.Role{v1alpha1.RoleSend, v1alpha1.RoleReceive}[i%2]
		w := agenttest.Fine(role)
		w.More = []runtime.Object{service()}
		spoilTyped(t, r, w.Claim)
		spoilTyped(t, r, w.Volume)
		spoilTyped(t, r, w.Pod)
		spoilTyped(t, r, w.Shipment)
		spoilTyped(t, r, w.Policy)
		fine := agenttest.Fine(role)
		w.Shipment.TypeMeta, w.Policy.TypeMeta = fine.Shipment.TypeMeta, fine.Policy.TypeMeta
		w.Shipment.Namespace, w.Shipment.Name = agenttest.Namespace, agenttest.Shipment
		w.Claim.Namespace, w.Claim.Name = agenttest.Namespace, agenttest.Claim
		w.Pod.Namespace, w.Pod.Name = agenttest.Namespace, agenttest.Pod
		w.Volume.Namespace, w.Volume.Name = "", agenttest.Volume
		w.Policy.Namespace, w.Policy.Name = "", "from-a"
		a := newAgent(t, w).a
		a.watch = newWatches(a)
		if err := a.watch.shipments.GetStore().Add(&unstructured.Unstructured{Object: spoiled(t, r, document(t, w.Shipment))}); err != nil {
			continue // no key can be made of it: it is in no store
		}
		k := key{agenttest.Namespace, agenttest.Shipment}
		a.watch.concerns(k)
		a.watch.uids()
		seen, err := a.observe(t.Context(), w.Shipment)
		if err == nil {
			nextStatus(w.Shipment, seen, w.Shipment.CreationTimestamp.Time)
		}
		_, _ = a.reconcile(t.Context(), k)
		_, _ = authz.Evaluate([]v1alpha1.MotionPolicy{*w.Policy, {}}, authz.Request{Namespace: "blue", Labels: map[string]string{"team": "blue"}, Peer: agenttest.PeerCluster})
	}
}

// spoilTyped spoils an object as far as its type can hold it.
func spoilTyped[T any](t *testing.T, r *rand.Rand, o *T) {
	t.Helper()
	data, err := json.Marshal(spoiled(t, r, document(t, o)))
	if err != nil {
		t.Fatal(err)
	}
	now := new(T)
	// What does not decode never reaches the agent: the client says so.
	if err := json.Unmarshal(data, now); err == nil {
		*o = *now
	}
}

// Watches deliver whatever is stored, and tombstones of what they missed.
func TestWatchesTakeAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w := agenttest.Fine(v1alpha1.RoleSend)
	a := newAgent(t, w).a
	a.watch = newWatches(a)
	fine := document(t, w.Shipment)
	for range 150 {
		u := &unstructured.Unstructured{Object: spoiled(t, r, fine)}
		p := w.Pod.DeepCopy()
		spoilTyped(t, r, p)
		for _, o := range []any{
			u, p, nil, "words", &corev1.Pod{}, &unstructured.Unstructured{},
			cache.DeletedFinalStateUnknown{Key: "a/b/c", Obj: u},
			cache.DeletedFinalStateUnknown{},
			&metav1.Status{},
		} {
			if _, err := trimPod(o); err != nil {
				t.Errorf("trimPod: %v", err)
			}
			if s, ok := o.(*unstructured.Unstructured); !ok || s.Object != nil {
				_, _ = peers.Trim(o)
			}
			_, _ = claimOfShipment(o)
			_, _ = claimsOfPod(o)
			a.watch.shipmentChanged(o)
			a.watch.shipmentGone(o)
			a.watch.podChanged(o)
		}
	}
}
