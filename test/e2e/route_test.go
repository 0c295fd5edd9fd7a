//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
)

// closedNodePort keeps lab-a from opening connections to the agents of lab-b, but
// not to its API server, until the test ends or the returned function is called.
func closedNodePort(t *testing.T) (open func()) {
	t.Helper()
	svc, err := as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace).Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(svc.Spec.Ports) != 1 || svc.Spec.Ports[0].NodePort == 0 {
		t.Fatalf("service %+v, want one NodePort", svc.Spec)
	}
	mended(t, "firewall", "clear")
	motionLab(t, "firewall", "block", "lab-a", "lab-b", "--port", strconv.Itoa(int(svc.Spec.Ports[0].NodePort)))
	return func() { motionLab(t, "firewall", "clear") }
}

// byRelay lets the team's volumes go by the relay until the test ends.
func (s *shop) byRelay(t *testing.T) {
	t.Helper()
	for _, c := range []*cluster.Cluster{as(t, "lab-a"), as(t, "lab-b")} {
		t.Cleanup(func() { notByRelay(t, c) })
	}
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", s.namespace, "--yes", "--relay")
}

func notByRelay(t *testing.T, c *cluster.Cluster) {
	ctx := context.WithoutCancel(t.Context())
	policies, err := cluster.List[v1alpha1.MotionPolicy](ctx, c, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil {
		t.Error(err)
	}
	for i := range policies {
		p := &policies[i]
		for n := range p.Spec.Peers {
			p.Spec.Peers[n].Relay = false
		}
		if _, err := cluster.Update(ctx, c, v1alpha1.MotionPolicies, "", p); err != nil {
			t.Error(err)
		}
	}
}

// The first half leaves a copy on the target that the second one replaces.
func TestWhereTheTargetsAgentsCannotBeDialled(t *testing.T) {
	s := opened(t, blue, "lab-local")
	t.Run("with no address and no relay the plan says that there is no way", s.nowhere)
	s.byRelay(t)
	t.Run("with no address the relay is chosen at once, and the plan says why", s.addressless)
	t.Run("the load balancer's address is dialled", s.balanced)
	t.Run("an endpoint that the administrator gives is dialled", s.atEndpoint)
	s.publishedAgain(t)
	t.Run("a sender that is cut off in mid-copy says so, and goes on when the port is open", s.cutOff)
	t.Run("a volume arrives by the relay", s.relayed)
}

// planned is the way that a plan says the data takes.
func (s *shop) planned(t *testing.T, more ...string) (way struct{ Route, Reason, Fallback string }) {
	t.Helper()
	// Status 3: something in the namespace may be for an administrator.
	r := motion(t, append([]string{"plan", "--context", "lab-a-" + s.namespace, "--to", "lab-b", "-o", "json"}, more...)...)
	var out struct {
		Route *struct{ Route, Reason, Fallback string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || out.Route == nil {
		t.Fatalf("the plan names no route, error %v: %s", err, r)
	}
	return *out.Route
}

// agentService changes how lab-b's agents can be reached.
func agentService(t *testing.T, change func(*corev1.Service)) {
	t.Helper()
	services := as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace)
	await(t, "the change of the agents' service", func() error {
		svc, err := services.Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(svc)
		_, err = services.Update(t.Context(), svc, metav1.UpdateOptions{})
		return err
	})
}

// unpublished takes the node port from lab-b's agents.
func unpublished(t *testing.T) {
	t.Helper()
	agentService(t, func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.ExternalTrafficPolicy, svc.Spec.Ports[0].NodePort = corev1.ServiceTypeClusterIP, "", 0
	})
}

// publishedAgain makes the service anew, as an installation makes it, and the pair's
// policies with it.
func (s *shop) publishedAgain(t *testing.T) {
	t.Helper()
	err := as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace).Delete(t.Context(), deploy.AgentName, metav1.DeleteOptions{})
	if err != nil {
		t.Error(err)
	}
	must(t, "agent", "install", "--context", "lab-b")
	// Without the service's endpoint, pairing allows no address but the nodes'.
	unpair(t, s.namespace, "lab-b")
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", s.namespace, "--yes", "--relay")
	s.forgotten(t)
}

// forgotten makes the next migration begin with new shipments: addresses of old ones
// are those of an earlier installation.
func (s *shop) forgotten(t *testing.T) {
	t.Helper()
	for _, c := range []*cluster.Cluster{s.a, s.b} {
		remove(t, c, s.namespace, "volumeshipments.v1alpha1.kubectl-motion.dev", "")
	}
}

func (s *shop) nowhere(t *testing.T) {
	if way := s.planned(t); way.Route != "direct" || !strings.Contains(way.Reason, "of its nodes") || !strings.Contains(way.Fallback, "no MotionPolicy on lab-a") {
		t.Errorf("with a node port the plan says %+v", way)
	}
	unpublished(t)
	for _, verb := range []string{"plan", "migrate"} {
		r := motion(t, verb, "--context", "lab-a-"+s.namespace, "--to", "lab-b")
		for _, words := range []string{"no network route to the target's agents", "the agents of lab-b publish no address", "has relay: true", "kubectl motion pair, with --relay", "--endpoint"} {
			if r.code != 4 || !strings.Contains(r.stdout+r.stderr, words) {
				t.Errorf("%s: want exit status 4 and %q: %s", verb, words, r)
			}
		}
	}
	if list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), s.a, v1alpha1.VolumeShipments, s.namespace, metav1.ListOptions{}); err != nil || len(list) > 0 {
		t.Errorf("%d shipments were made, error %v", len(list), err)
	}
}

func (s *shop) addressless(t *testing.T) {
	unpublished(t)
	want := s.fill(t, 4)
	if way := s.planned(t); way.Route != "relay" || !strings.Contains(way.Reason, "the agents of lab-b publish no address") {
		t.Errorf("the plan says %+v", way)
	}
	if r := must(t, "plan", "--context", "lab-a-"+s.namespace, "--to", "lab-b"); !strings.Contains(r.stdout, "route relay: the agents of lab-b publish no address") {
		t.Errorf("the plan for people: %s", r)
	}
	if r := motion(t, s.migrate("--route", "direct")...); r.code != 4 || !strings.Contains(r.stdout+r.stderr, "--route direct: the agents of lab-b publish no address") {
		t.Errorf("with --route direct: %s", r)
	}
	hops := checked(t, 0, "--context", "lab-a-"+s.namespace, "-n", s.namespace)
	if h := hops["route by the relay"]; h.Verdict != check.OK || !strings.Contains(h.Message, "MiB/s") {
		t.Errorf("the check of the relay's way: %+v", h)
	}
	r := must(t, s.migrate()...)
	if !strings.Contains(r.stderr, "uses the relay, through the API servers and this machine: the target agents publish no address") {
		t.Errorf("the run does not say which way the data takes, and why: %s", r.stderr)
	}
	s.arrived(t, want)
}

// arrived fails unless the copy on standby on lab-b has what fill wrote.
func (s *shop) arrived(t *testing.T, want string) {
	t.Helper()
	if got := s.targetTree(t); got != want {
		t.Errorf("on the target:\n%s\nwant\n%s", got, want)
	}
	s.forgotten(t)
}

// targetTree looks into the target's claim by a pod of its own: the copy is on standby.
func (s *shop) targetTree(t *testing.T) string {
	t.Helper()
	put(t, s.b, s.namespace, `apiVersion: v1
kind: Pod
metadata: {name: reader, labels: {app: reader}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: c
      image: lab/tools:1
      command: [sleep, "1000000"]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]`)
	defer remove(t, s.b, s.namespace, "pods.v1.", "app=reader")
	return sh(t, s.b, podOf(t, s.b, s.namespace, "app=reader"), shopTree)
}

// nodeAddress of a node of lab-b.
func nodeAddress(t *testing.T, name string) string {
	t.Helper()
	node, err := as(t, "lab-b").Kube.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	t.Fatalf("node %s has no address", name)
	return ""
}

// withBalancer gives lab-b's agents a load balancer with an address of a node's, as a
// cloud's controller would; with no address it has none yet.
func withBalancer(t *testing.T, address string) {
	t.Helper()
	must(t, "agent", "install", "--context", "lab-b", "--load-balancer")
	ingress := []corev1.LoadBalancerIngress{}
	if address != "" {
		ingress = append(ingress, corev1.LoadBalancerIngress{IP: address})
	}
	change, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace).Patch(t.Context(), deploy.AgentName, types.MergePatchType, change, metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
}

// The node ports are closed, and both nodes are behind the balancer's address: the
// one that it leads to may have to pass the connection on.
func (s *shop) balanced(t *testing.T) {
	withBalancer(t, nodeAddress(t, "lab-b-node-1"))
	open := closedNodePort(t)
	defer open()
	want := s.fill(t, 4)
	if way := s.planned(t); way.Route != "direct" || !strings.Contains(way.Reason, "load balancer "+nodeAddress(t, "lab-b-node-1")) {
		t.Errorf("the plan says %+v", way)
	}
	must(t, s.migrate("--route", "direct")...)
	s.arrived(t, want)
}

// The endpoint is outside of both clusters: this machine leads to a node of lab-b.
// Nothing else does: the node ports are closed to lab-a, and the balancer has no
// address.
func (s *shop) atEndpoint(t *testing.T) {
	withBalancer(t, "")
	closedNodePort(t)
	svc, err := as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace).Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := net.JoinHostPort(nodeAddress(t, "lab-b-node-2"), strconv.Itoa(int(svc.Spec.Ports[0].NodePort)))
	endpoint := forwarding(t, machineAddress(t, as(t, "lab-a")), node)
	// Who comes by the endpoint has this machine's address.
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", s.namespace, "--yes",
		"--endpoint", endpoint, "--source-cidr", machineAddress(t, as(t, "lab-b"))+"/32")
	want := s.fill(t, 4)
	if way := s.planned(t); way.Route != "direct" || !strings.Contains(way.Reason, endpoint) {
		t.Errorf("the plan says %+v", way)
	}
	must(t, s.migrate("--route", "direct")...)
	s.arrived(t, want)
}

// forwarding leads connections to an address of this machine on to another one.
func forwarding(t *testing.T, ip, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			one := func(a, b net.Conn) { _, _ = io.Copy(a, b); _ = a.(*net.TCPConn).CloseWrite() }
			go one(in, out)
			go one(out, in)
		}
	}()
	return l.Addr().String()
}

func (s *shop) relayed(t *testing.T) {
	want := s.fill(t, 8)
	closedNodePort(t)
	r := must(t, s.migrate("--cutover")...)
	if !strings.Contains(r.stderr, "volume data uses the relay") {
		t.Errorf("the run does not say which way the data takes: %s", r.stderr)
	}
	s.runsOnly(t, s.b, s.a)
	if got := s.on(t, s.b, shopTree); got != want {
		t.Errorf("on the target:\n%s\nwant\n%s", got, want)
	}
}

func (s *shop) cutOff(t *testing.T) {
	s.fill(t, 24)
	c, out := command(t.Context(), s.migrate("--route", "direct", "--bandwidth", "4Mi")...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var receive *v1alpha1.VolumeShipment
	await(t, "the first bytes on the target", func() (err error) {
		receive, err = s.underway(t, s.b)
		if err == nil && receive.Status.Statistics.WireBytes == 0 {
			err = fmt.Errorf("none yet: %+v", receive.Status)
		}
		return err
	})
	open := closedNodePort(t)
	// The firewall leaves connections alone that stand. This ends them.
	admin := as(t, "lab-b")
	agent := agentOn(t, admin, receive.Status.NodeName)
	if err := admin.Kube.CoreV1().Pods(agent.Namespace).Delete(t.Context(), agent.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the sender's word that it reaches nobody", func() error {
		send, err := s.underway(t, s.a)
		if err != nil {
			return err
		}
		shipped := meta.FindStatusCondition(send.Status.Conditions, v1alpha1.ShipmentShipped)
		if shipped == nil || shipped.Status == metav1.ConditionTrue || shipped.Reason != v1alpha1.ReasonPeerUnreachable {
			return fmt.Errorf("condition %+v", shipped)
		}
		return nil
	})
	open()
	if r := ended(t, c, out, c.Wait()); r.code != 0 {
		t.Fatalf("the copy did not go on: %s", r)
	}
	send, receive := s.shipments(t)
	if send.Status.VerifiedSync == 0 || send.Status.Digest == "" || send.Status.Digest != receive.Status.Digest {
		t.Errorf("verified is %d; the digests are %q and %q", send.Status.VerifiedSync, send.Status.Digest, receive.Status.Digest)
	}
}

// underway is the shop's one shipment on a cluster, once it is made.
func (s *shop) underway(t *testing.T, c *cluster.Cluster) (*v1alpha1.VolumeShipment, error) {
	t.Helper()
	list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), c, v1alpha1.VolumeShipments, s.namespace, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%d shipments, want one", len(list))
	}
	return &list[0], nil
}
