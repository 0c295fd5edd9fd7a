// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/client"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// strandedFor is how long a sender must have reached no peer before its data goes
// by the relay: an agent that restarts is back sooner.
const strandedFor = 5 * time.Second

// way is how the data of one volume goes.
type way struct {
	// relayed: by the relay, in this pass and the next ones.
	relayed bool
	// stranded is since when the sender has reached no peer; zero: it has reached one.
	stranded time.Time
	// bridge of this pass; nil while there is none.
	bridge *bridge
}

// bridge is a running client.Bridge.
type bridge struct {
	sender types.UID
	cancel context.CancelFunc
	done   chan struct{}
}

func (b *bridge) stop() {
	b.cancel()
	<-b.done
}

// relayable says whether the data may go by the relay when there is no other way.
func (f *Volumes) relayable() bool {
	return f.Route == route.Relay || f.Route == route.Auto && f.NotByRelay == ""
}

var errNoRoute = errors.New("no network route to the target agents")

// noRoute is the error of a volume whose receiving agent publishes no address,
// and which cannot use the relay.
func (f *Volumes) noRoute(v *Volume) error {
	why := "--route direct excludes the relay"
	if f.Route == route.Auto {
		why = "the relay cannot be used: " + f.NotByRelay
	}
	return hint.New(fmt.Errorf("volume %s: %w: the agents on %s publish no address to dial, and %s", v.Claim, errNoRoute, v.link.Target.Cluster, why),
		"ask an administrator to run kubectl motion agent install there with --load-balancer or --endpoint, or kubectl motion pair --relay")
}

// choose decides how the volume's data goes, by what its sender says. It is
// called whenever the sender was looked at.
func (w *way) choose(mode route.Mode, relayable bool, send *v1alpha1.VolumeShipment, now time.Time) (relayed bool) {
	c := meta.FindStatusCondition(send.Status.Conditions, v1alpha1.ShipmentShipped)
	lost := c != nil && c.Reason == v1alpha1.ReasonPeerUnreachable && send.Status.ActiveSync == send.Spec.Sync
	switch {
	case !lost:
		w.stranded = time.Time{}
	case w.stranded.IsZero():
		w.stranded = now
	}
	switch {
	case mode == route.Relay:
		w.relayed = true
	case mode == route.Auto && relayable:
		peer := send.Spec.Peer
		nowhere := peer.ShipmentUID != "" && len(peer.Addresses) == 0
		w.relayed = w.relayed || nowhere || lost && now.Sub(w.stranded) >= strandedFor
	}
	return w.relayed
}

// lead makes the volume's data take the way that was chosen.
func (f *Volumes) lead(ctx context.Context, v *Volume, send *v1alpha1.VolumeShipment) {
	before := v.way.relayed
	if !v.way.choose(f.Route, f.relayable(), send, time.Now()) {
		return
	}
	if !before {
		progress.Notef(f.Sink, "volume %s uses the relay, through the API servers and this machine: %s", v.Claim, f.whyRelay(send))
	}
	if b := v.way.bridge; b != nil {
		if b.sender == send.UID {
			return
		}
		b.stop()
	}
	v.way.bridge = f.bridge(ctx, v.Claim, send.UID)
}

func (f *Volumes) whyRelay(send *v1alpha1.VolumeShipment) string {
	switch {
	case f.Route == route.Relay:
		return "requested with --route relay"
	case len(send.Spec.Peer.Addresses) == 0:
		return "the target agents publish no address"
	}
	return "no address of the target agents is reachable"
}

func (f *Volumes) bridge(ctx context.Context, claim string, sender types.UID) *bridge {
	ctx, cancel := context.WithCancel(ctx)
	b := &bridge{sender: sender, cancel: cancel, done: make(chan struct{})}
	var mu sync.Mutex
	told := map[string]bool{}
	r := client.Bridge{
		Source: client.EndpointOf(f.Source.Cluster), Target: client.EndpointOf(f.Target.Cluster), Sender: string(sender),
		OnError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if text := err.Error(); !told[text] {
				told[text] = true
				progress.Notef(f.Sink, "volume %s, relay: %s", claim, text)
			}
		},
	}
	go func() {
		defer close(b.done)
		r.Run(ctx)
	}()
	return b
}

// leave ends what carried the data of a pass.
func (f *Volumes) leave() {
	for _, v := range f.Volumes {
		if v.way.bridge != nil {
			v.way.bridge.stop()
			v.way.bridge = nil
		}
	}
}
