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
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/metrics"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

const (
	// maxProving bounds the connections of one shipment that are being proved, and
	// maxReady those that were and wait to be used.
	maxProving = 16
	maxReady   = 16
	// maxIdle is how long a receiving attempt keeps its volume open, and its slot,
	// without any connection.
	maxIdle = 30 * time.Second
)

// acceptor takes the connections of one receiving attempt.
type acceptor struct {
	session *Session
	ready   chan net.Conn
	// seat that the volume is open through; nil before it is.
	mnt *authz.Mount

	mu      sync.Mutex
	proving int
	open    map[net.Conn]struct{}
	closed  bool
	idle    *time.Timer
}

func newAcceptor(s *Session) *acceptor {
	return &acceptor{session: s, ready: make(chan net.Conn, maxReady), open: map[net.Conn]struct{}{}}
}

// take is the route's handler: it proves the connection in the background.
func (a *acceptor) take(ctx context.Context, raw net.Conn, preface link.Preface, release func()) {
	a.mu.Lock()
	full := a.closed || a.proving >= maxProving
	if !full {
		a.proving++
	}
	a.mu.Unlock()
	if full {
		_ = raw.Close()
		release()
		return
	}
	go func() {
		defer release()
		conn, err := a.prove(ctx, raw, preface)
		a.mu.Lock()
		a.proving--
		a.mu.Unlock()
		if err != nil {
			a.session.refused(listen.OriginOf(raw).String(), err)
			return
		}
		a.offer(conn)
	}()
}

// prove goes through the checks that a connection must pass. It closes raw when
// one fails.
func (a *acceptor) prove(ctx context.Context, raw net.Conn, preface link.Preface) (net.Conn, error) {
	facts, err := a.session.verifyConnection(ctx)
	if err == nil {
		err = accepts(facts.Grant, listen.OriginOf(raw))
	}
	if err == nil {
		err = sameMount(a.openMount(), facts.Mount)
	}
	peer := link.Peer{}
	if err == nil {
		peer = link.Peer{UID: facts.Shipment.Spec.Peer.ShipmentUID, KeySHA256: facts.Shipment.Spec.Peer.KeySHA256}
		if peer.UID == "" || peer.KeySHA256 == "" {
			err = fault.New(v1alpha1.ReasonWaitingForPeer, "the shipment and key of the peer are not set yet")
		}
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	key, err := a.session.env.State.Key(a.session.job.UID)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return link.Accept(ctx, raw, preface, a.session.local(key, link.Receiver), peer)
}

// accepts says whether the policy takes connections of that origin.
func accepts(g *authz.Grant, from listen.Origin) error {
	if from.Relay {
		return g.ThroughRelay()
	}
	return g.Accept(from.Addr)
}

func (a *acceptor) openMount() *authz.Mount {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mnt
}

// offer puts a proved connection where accept finds it.
func (a *acceptor) offer(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		_ = conn.Close()
		return
	}
	select {
	case a.ready <- conn:
	default:
		_ = conn.Close()
	}
}

// await waits for the first connection and leaves it for accept.
func (a *acceptor) await(ctx context.Context) error {
	select {
	case conn := <-a.ready:
		a.offer(conn)
		a.session.connected()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// accept gives package ship its next connection.
func (a *acceptor) accept(ctx context.Context) (net.Conn, error) {
	select {
	case conn := <-a.ready:
		return a.track(conn), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// begin is called when the volume is open: from then on an attempt without a
// connection is broken off after maxIdle.
func (a *acceptor) begin(mnt *authz.Mount, broken context.CancelCauseFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mnt = mnt
	a.idle = time.AfterFunc(maxIdle, func() {
		broken(fault.New(v1alpha1.ReasonConnectionLost, "no connection from the peer for %s", maxIdle))
	})
}

// tracked is a connection whose end the acceptor sees.
type tracked struct {
	net.Conn
	a *acceptor
}

func (a *acceptor) track(conn net.Conn) net.Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[conn] = struct{}{}
	if a.idle != nil {
		a.idle.Stop()
	}
	return &tracked{Conn: conn, a: a}
}

// Close closes the connection; the last one starts the clock.
func (t *tracked) Close() error {
	t.a.mu.Lock()
	delete(t.a.open, t.Conn)
	if len(t.a.open) == 0 && t.a.idle != nil && !t.a.closed {
		t.a.idle.Reset(maxIdle)
	}
	t.a.mu.Unlock()
	return t.Conn.Close()
}

// close ends the attempt's connections, used or not.
func (a *acceptor) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.idle != nil {
		a.idle.Stop()
	}
	for conn := range a.open {
		_ = conn.Close()
	}
	for {
		select {
		case conn := <-a.ready:
			_ = conn.Close()
		default:
			return
		}
	}
}

// refused notes why a connection was not taken. It decides nothing: anybody can
// make one.
func (s *Session) refused(from string, err error) {
	s.env.Metrics.Refused(metrics.Unproved)
	s.log.Warn("connection rejected", "from", from, "reason", fault.Reason(err), "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.Reason == v1alpha1.ReasonWaitingForPeer {
		s.report.Message = fault.Printable("rejected a connection from " + from + ": " + err.Error())
	}
}
