// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

const (
	// maxOffers bounds the connections that wait to be used.
	maxOffers = 8
	// offerWait is how long a sender that has no address to dial waits for an offer.
	offerWait = 10 * time.Second
)

// offers are the connections that the relay brings for one sending session. They
// outlive an attempt: the one that finds no address to answer ends just then.
// An attacker between the ends can end them and nothing else: they are believed only
// when the peer's key has been seen at their other end.
type offers struct {
	waiting chan net.Conn

	mu     sync.Mutex
	closed bool
}

func newOffers() *offers { return &offers{waiting: make(chan net.Conn, maxOffers)} }

// take is the route's handler.
func (o *offers) take(conn net.Conn, release func()) {
	release() // it costs no more than a descriptor, and there are maxOffers
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		select {
		case o.waiting <- conn:
			return
		default:
		}
	}
	_ = conn.Close()
}

// next returns a connection that waits, or comes within the timeout; nil for none.
func (o *offers) next(ctx context.Context, timeout time.Duration) net.Conn {
	select {
	case conn := <-o.waiting:
		return conn
	default:
	}
	if timeout <= 0 {
		return nil
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case conn := <-o.waiting:
		return conn
	case <-ctx.Done():
	case <-t.C:
	}
	return nil
}

// await waits until a connection is there, and leaves it there. It says false when
// ctx ended before.
func (o *offers) await(ctx context.Context) bool {
	select {
	case conn := <-o.waiting:
		o.take(conn, func() {})
		return true
	case <-ctx.Done():
		return false
	}
}

// openToOffers lets the relay's connections in until the session ends. Before its
// first attempt has proved that the shipment may be sent, they are refused.
func (s *Session) openToOffers() {
	if s.unroute != nil {
		return
	}
	s.unroute = s.env.Listener.RouteOffers(string(s.job.UID), func(conn net.Conn, _ link.Preface, release func()) { s.offers.take(conn, release) })
}

func (s *Session) closeToOffers() {
	if s.unroute != nil {
		s.unroute()
	}
	s.offers.close()
}

func (o *offers) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for {
		select {
		case conn := <-o.waiting:
			_ = conn.Close()
		default:
			return
		}
	}
}

// useOffers tries the connections that were offered. It returns nil and no error
// when none was. What goes wrong with one proves nothing about the peer, because
// anybody may have been at its other end: it never ends the generation.
func (d *dialler) useOffers(ctx context.Context, facts *authz.Authorization, timeout time.Duration) (net.Conn, error) {
	var failed error
	for range maxOffers {
		raw := d.offers.next(ctx, timeout)
		if raw == nil {
			return nil, failed
		}
		timeout = 0
		if err := facts.Grant.ThroughRelay(); err != nil {
			_ = raw.Close()
			return nil, fault.New(v1alpha1.ReasonWaitingForPeer, "%w", err)
		}
		peer := facts.Shipment.Spec.Peer
		conn, err := link.Dial(ctx, raw, d.session.local(d.key, link.Sender), link.Peer{UID: peer.ShipmentUID, KeySHA256: peer.KeySHA256})
		if err == nil {
			return conn, nil
		}
		failed = fault.New(v1alpha1.ReasonPeerUnreachable, "through the relay: %w", err)
	}
	return nil, failed
}
