//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// closedNodePort keeps lab-a from opening connections to the agents of lab-b, but
// not to its API server, until the test ends or the returned function is called.
func closedNodePort(t *testing.T) (open func()) {
	t.Helper()
	svc, err := as(t, "lab-b").Kube.CoreV1().Services(deploy.DefaultNamespace).Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if svc.Spec.Type != corev1.ServiceTypeNodePort || len(svc.Spec.Ports) != 1 {
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
	s.byRelay(t)
	t.Run("a sender that is cut off in mid-copy says so, and goes on when the port is open", s.cutOff)
	t.Run("a volume arrives by the relay", s.relayed)
}

func (s *shop) relayed(t *testing.T) {
	want := s.fill(t, 8)
	closedNodePort(t)
	r := must(t, s.migrate("--cutover")...)
	if !strings.Contains(r.stderr, "volume data goes by the relay") {
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
		if err == nil && receive.Status.Figures.WireBytes == 0 {
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
	if send.Status.PromotedGeneration == 0 || send.Status.Digest == "" || send.Status.Digest != receive.Status.Digest {
		t.Errorf("promoted is %d; the digests are %q and %q", send.Status.PromotedGeneration, send.Status.Digest, receive.Status.Digest)
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
