//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/client"
)

// nodeIPs of a cluster, by the nodes' names.
func nodeIPs(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	nodes, err := c.Kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range nodes.Items {
		for _, a := range nodes.Items[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				out[nodes.Items[i].Name] = a.Address
			}
		}
	}
	return out
}

// atOtherNode gives the sender only the address of a node that does not have the
// target's volume.
func (p *pair) atOtherNode() {
	t := p.send.t
	t.Helper()
	receive := p.receive.get()
	_, port, err := net.SplitHostPort(receive.Status.Endpoint.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	for node, ip := range nodeIPs(t, p.receive.c) {
		if node != receive.Status.NodeName {
			p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.Addresses = []string{net.JoinHostPort(ip, port)} })
			return
		}
	}
	t.Fatal("the target has one node only")
}

// policy edits the end's MotionPolicy.
func (e *end) policy(f func(*v1alpha1.PolicyPeer)) {
	e.t.Helper()
	p, err := cluster.Get[v1alpha1.MotionPolicy](e.t.Context(), e.c, v1alpha1.MotionPolicies, "", e.namespace)
	if err != nil {
		e.t.Fatal(err)
	}
	f(&p.Spec.Peers[0])
	if _, err := cluster.Update(e.t.Context(), e.c, v1alpha1.MotionPolicies, "", p); err != nil {
		e.t.Fatal(err)
	}
}

// The NodePorts lead to the agent of the node that was dialled and to no other
// (externalTrafficPolicy: Local), so a connection there has to be passed on.
func TestAConnectionAtANodeWithoutTheVolumeIsPassedOnAndJudgedByWhereItCameFrom(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	p.atOtherNode()
	var sources []string
	for _, ip := range nodeIPs(t, p.send.c) {
		sources = append(sources, ip+"/32")
	}
	// The addresses of the target's own nodes and pods are none of the peer's.
	p.receive.policy(func(peer *v1alpha1.PolicyPeer) { peer.CIDRs = []string{"192.0.2.0/24"} })
	number := p.ask(v1alpha1.CopyMethodStopped)
	p.receive.await("the refusal", func(context.Context) (bool, error) {
		s := p.receive.get()
		for _, c := range s.Status.Conditions {
			for _, source := range sources {
				if c.Type == v1alpha1.ShipmentShipped && strings.Contains(c.Message, "rejected a connection from "+strings.TrimSuffix(source, "/32")) {
					return true, nil
				}
			}
		}
		return false, nil
	})
	p.receive.policy(func(peer *v1alpha1.PolicyPeer) { peer.CIDRs = sources })
	p.awaitVerified(number)
	if a, b := p.send.fingerprint(), p.receive.fingerprint(); a != b {
		t.Errorf("the volumes differ: %s and %s", a, b)
	}
}

func relayOn(c *cluster.Cluster) client.Endpoint {
	return client.EndpointOf(c)
}

// bridged runs a bridge until the test ends, and tells what it met with.
func (p *pair) bridged(source, target *cluster.Cluster) (troubles func() string) {
	t := p.send.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	var mu sync.Mutex
	var said []string
	b := client.Bridge{Source: relayOn(source), Target: relayOn(target), Sender: string(p.send.get().UID), OnError: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, err.Error())
	}}
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(said, "\n")
	}
}

// mayUseRelay lets a user forward ports to the relay, as pairing does.
func (e *end) mayUseRelay(user string) *cluster.Cluster {
	e.t.Helper()
	bindings := e.c.Kube.RbacV1().RoleBindings(deploy.DefaultNamespace)
	b := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: deploy.RelayRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	if _, err := bindings.Create(e.t.Context(), b, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = bindings.Delete(context.WithoutCancel(e.t.Context()), user, metav1.DeleteOptions{}) })
	return impersonate(e.t, e.c, rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}})
}

func TestAVolumeArrivesByTheRelayWhenBothPoliciesAllowItAndNoAddressIsKnown(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	source, target := p.send.mayUseRelay("e2e-relay-user"), p.receive.mayUseRelay("e2e-relay-user")
	p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.Addresses = nil })
	troubles := p.bridged(source, target)
	number := p.ask(v1alpha1.CopyMethodStopped)
	p.send.await("the sender's refusal", func(context.Context) (bool, error) {
		return strings.Contains(p.send.awaitReason(v1alpha1.ReasonWaitingForPeer).Message, "connection through the relay, which the MotionPolicies"), nil
	})
	p.send.policy(func(peer *v1alpha1.PolicyPeer) { peer.Relay = true })
	p.receive.await("the receiver's refusal", func(context.Context) (bool, error) {
		return strings.Contains(p.receive.awaitReason(v1alpha1.ReasonWaitingForPeer).Message, "rejected a connection from the relay"), nil
	})
	p.receive.policy(func(peer *v1alpha1.PolicyPeer) { peer.Relay = true })
	p.awaitVerified(number)
	if a, b := p.send.fingerprint(), p.receive.fingerprint(); a != b {
		t.Errorf("the volumes differ: %s and %s; the bridge met with %s", a, b, troubles())
	}
}

// Layers: RBAC for everything but the one pod; the relay itself for everything but
// its one port and live shipments.
func TestARightToTheRelayReachesLiveShipmentsAgentsAndNothingElse(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	user := p.receive.mayUseRelay("e2e-relay-attacker")
	// RBAC is a moment behind.
	p.receive.await("the right to the relay", func(ctx context.Context) (bool, error) {
		return client.Check(ctx, relayOn(user)) == nil, nil
	})
	agents, err := p.receive.c.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + deploy.AgentName})
	if err != nil || len(agents.Items) == 0 {
		t.Fatalf("%d agents, %v", len(agents.Items), err)
	}
	t.Run("an agent, instead of the relay, is refused by RBAC", func(t *testing.T) {
		at := relayOn(user)
		at.Pod, at.Port = agents.Items[0].Name, 4747
		if err := client.Check(t.Context(), at); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("forwarding a port to an agent: %v", err)
		}
	})
	t.Run("other ports of the relay have nobody behind them, but for the probes'", func(t *testing.T) {
		for port, want := range map[int]string{22: "", 443: "", 4747: "", 10250: "", 8081: "ok"} {
			at := relayOn(user)
			at.Port = port
			got, err := client.Request(t.Context(), at, []byte("GET /healthz HTTP/1.0\r\n\r\n"))
			if (len(got) > 0) != (want != "") || !strings.Contains(string(got), want) {
				t.Errorf("port %d answers %q, %v", port, got, err)
			}
		}
	})
	t.Run("the relay's pod cannot be reached by the network, only by port-forward", func(t *testing.T) {
		pod, err := p.receive.c.Kube.CoreV1().Pods(deploy.DefaultNamespace).Get(t.Context(), deploy.RelayPod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		address := "/dev/tcp/" + pod.Status.PodIP + "/"
		got := p.receive.runOnce("dials", `for port in 8081 `+strconv.Itoa(deploy.RelayPort)+`; do if (exec 3<>`+address+`$port) 2>/dev/null; then echo $port; fi; done >/dev/termination-log`)
		if got != "8081" {
			t.Errorf("a pod reaches port %q of the relay", got)
		}
	})
	t.Run("a shipment that is not alive is nobody's", func(t *testing.T) {
		for what, words := range map[string][]byte{
			"one that never was":  preface(t, "33333333-3333-3333-3333-333333333333"),
			"one that was":        preface(t, p.deadShipment()),
			"no shipment at all":  []byte(strings.Repeat("GET / HTTP/1.1\r\n", 10)),
			"a forged origin":     forged(t, string(p.receive.get().UID)),
			"a receiver, offered": offer(t, string(p.receive.get().UID)),
		} {
			// The connection ends: whether in good order depends on what was left unread.
			if got, err := client.Request(t.Context(), relayOn(user), words); len(got) > 0 {
				t.Errorf("%s: the relay answers %q, %v; want the end of the connection", what, got, err)
			}
		}
	})
}
