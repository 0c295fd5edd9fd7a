//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// crowd asks for n more shipments of the end's claim. Each dials the peer's agents, as
// their addresses are the pair's, and none will ever be known there.
func (p *pair) crowd(n int) {
	t := p.send.t
	t.Helper()
	peer := p.send.get().Spec.Peer
	peer.ShipmentUID = "22222222-2222-2222-2222-222222222222"
	var making errgroup.Group
	making.SetLimit(16)
	for i := range n {
		making.Go(func() error {
			s := p.send.shipment(p.receive.c.ID)
			s.Name, s.Spec.Sync, s.Spec.Peer = fmt.Sprintf("crowd-%d", i), 1, peer
			_, err := cluster.Create(t.Context(), p.send.c, v1alpha1.VolumeShipments, p.send.namespace, s)
			return err
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
}

// waiting is how many shipments of the end's namespace go on.
func (e *end) waiting() (n int) {
	e.t.Helper()
	list, err := cluster.List[v1alpha1.VolumeShipment](e.t.Context(), e.c, v1alpha1.VolumeShipments, e.namespace, metav1.ListOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	for i := range list {
		c := meta.FindStatusCondition(list[i].Status.Conditions, v1alpha1.ShipmentShipped)
		if c != nil && c.Status == metav1.ConditionUnknown && list[i].Status.ActiveSync == list[i].Spec.Sync {
			n++
		}
	}
	return n
}

// Layer: slots per namespace, and one session for each volume. Blue's shipments wait
// in blue's queue; red's is not in it. How long red's takes then is measured by
// TestAThousandShipmentsOfAnotherTeamBesideOne.
func TestShipmentsOfOneNamespaceWaitAndThoseOfAnotherGoThrough(t *testing.T) {
	const many = 60
	red := newPairOf(t, "red", "lab-local", someFiles)
	blue := newPairOf(t, "blue", "lab-local", someFiles)
	blue.crowd(many)
	blue.send.await("blue's shipments to be taken up", func(context.Context) (bool, error) { return blue.send.waiting() >= many, nil })
	red.awaitVerified(red.ask(v1alpha1.CopyMethodStopped))
	if n := blue.send.waiting(); n < many {
		t.Errorf("only %d of blue's %d shipments waited while red's went through", n, many)
	}
}
