// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

const ns = "kubectl-motion"

func pod(name, kind, node, ip string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{nameLabel: kind}}}
	p.Spec.NodeName = node
	p.Status.Phase, p.Status.PodIP = corev1.PodRunning, ip
	p.Status.PodIPs = []corev1.PodIP{{IP: ip}}
	return p
}

func shipment(uid, node string, going bool) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"nodeName": node}}}
	u.SetName(uid)
	u.Object["metadata"].(map[string]any)["uid"] = uid
	if going {
		now := metav1.Now()
		u.SetDeletionTimestamp(&now)
	}
	return u
}

func store(t *testing.T, shipments ...*unstructured.Unstructured) cache.Indexer {
	t.Helper()
	s := cache.NewIndexer(cache.MetaNamespaceKeyFunc, Index())
	for _, u := range shipments {
		if err := s.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestALiveShipmentIsServedWhereItsStatusSays(t *testing.T) {
	kube := fake.NewClientset(pod("a", agentName, "one", "10.0.0.1"), pod("b", agentName, "two", "10.0.0.2"))
	d := New(kube, ns, "one")
	d.Watch(store(t, shipment("here", "one", false), shipment("there", "two", false), shipment("nowhere", "", false),
		shipment("going", "two", true), shipment("lost", "three", false)))
	for uid, want := range map[string]string{
		"there": "10.0.0.2:4747", "here": "", "nowhere": "", "going": "", "lost": "", "unknown": "",
	} {
		if got, err := d.Serving(t.Context(), uid); err != nil || got != want {
			t.Errorf("%s is served at %q, %v; want %q", uid, got, err, want)
		}
	}
}

func TestOnlyRunningPodsWithAnAddressOfTheirOwnAreBelieved(t *testing.T) {
	shared, ended := pod("c", agentName, "two", "10.0.0.3"), pod("d", agentName, "two", "10.0.0.4")
	shared.Spec.HostNetwork, ended.Status.Phase = true, corev1.PodFailed
	other := pod("e", agentName, "two", "10.0.0.5")
	other.Namespace = "blue"
	kube := fake.NewClientset(pod("a", agentName, "one", "10.0.0.1"), pod("b", relayName, "one", "10.0.0.2"), shared, ended, other,
		pod("f", "something", "one", "10.0.0.6"))
	d := New(kube, ns, "one")
	for addr, want := range map[string]protocol.Via{"10.0.0.1": protocol.Agent, "10.0.0.2": protocol.Relay, "10.0.0.3": 0, "10.0.0.4": 0, "10.0.0.5": 0, "10.0.0.6": 0} {
		got, ok := d.Kind(t.Context(), netip.MustParseAddr(addr))
		if got != want || ok != (want != 0) {
			t.Errorf("%s is %s, %v", addr, got, ok)
		}
	}
}

func TestStrangersDoNotMakeTheAPIServerWork(t *testing.T) {
	kube := fake.NewClientset(pod("a", agentName, "one", "10.0.0.1"))
	d := New(kube, ns, "one")
	now := time.Now()
	d.now = func() time.Time { return now }
	for range 100 {
		d.Kind(t.Context(), netip.MustParseAddr("192.0.2.1"))
	}
	if n := len(kube.Actions()); n != 1 {
		t.Errorf("the API server was asked %d times within a moment", n)
	}
	now = now.Add(unknown)
	d.Kind(t.Context(), netip.MustParseAddr("10.0.0.1"))
	if n := len(kube.Actions()); n != 1 {
		t.Errorf("asked again about what is known: %d times", n)
	}
	d.Kind(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if n := len(kube.Actions()); n != 2 {
		t.Errorf("not asked again about what is unknown: %d times", n)
	}
}
