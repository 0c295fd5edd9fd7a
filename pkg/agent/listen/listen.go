// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package listen takes in connections from other clusters and hands each to the
// shipment that it asks for.
//
// The port is open to every client that reaches the node. Before a connection proves
// anything it costs one goroutine and 74 bytes, for at most ten seconds, and
// there are bounds on how many do at a time, in all and from one address, and on
// how many come in a second. The preface that says which shipment is meant is
// not secret and proves nothing; that is for the shipment's keys.
//
// A connection for a shipment that an agent of another node serves is passed on to
// it, once (see HandOn): between clusters only one node may be reachable. One for a
// shipment that is not served is closed.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/metrics"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// Handler takes over a connection whose preface was read. It must not block: it
// hands the connection on or closes it. release must be called once the
// connection has proved whose it is, or is closed.
type Handler func(conn net.Conn, preface link.Preface, release func())

// DefaultLimits let all shipments of a cluster reconnect at once and cost at
// most a few hundred goroutines.
func DefaultLimits() Limits {
	return Limits{
		HalfOpen: 512, HalfOpenPerAddress: 128, PerSecond: 200, Burst: 512, PerSecondPerAddress: 100, BurstPerAddress: 256,
		StrangersHalfOpen: 128, StrangersPerSecond: 50, Forwarded: 1024,
	}
}

// Server routes connections to shipments.
type Server struct {
	limits    Limits
	admission *admission
	log       *slog.Logger
	// probe returns the response to a probe from an address.
	probe func(netip.Addr) string
	// peers and self are set when connections are passed on.
	peers Peers
	self  protocol.Via
	// count is nil when nothing is counted.
	count *metrics.Metrics

	// measuring is held by the one measurement of a rate that goes on.
	measuring sync.Mutex

	mu        sync.Mutex
	routes    map[string]*route
	offers    map[string]*route
	forwarded int
}

type route struct{ handle Handler }

// New makes a server. probe may be nil: then probes get no response.
func New(limits Limits, probe func(netip.Addr) string, log *slog.Logger) *Server {
	return &Server{
		limits: limits, admission: newAdmission(limits), log: log, probe: probe,
		routes: map[string]*route{}, offers: map[string]*route{},
	}
}

// Count counts in m. It is called before Serve.
func (s *Server) Count(m *metrics.Metrics) { s.count = m }

// Know sets which addresses are expected: others are strangers (see Limits). known must
// not block. It is called before Serve.
func (s *Server) Know(known func(netip.Addr) bool) { s.admission.known = known }

// Route sends connections for the shipment uid to h until the returned function
// is called. A later route of the same shipment replaces an earlier one.
func (s *Server) Route(uid string, h Handler) (remove func()) { return s.route(s.routes, uid, h) }

// RouteOffers sends connections that the relay offers to the sender's shipment
// uid to h until the returned function is called.
func (s *Server) RouteOffers(uid string, h Handler) (remove func()) { return s.route(s.offers, uid, h) }

func (s *Server) route(table map[string]*route, uid string, h Handler) (remove func()) {
	r := &route{handle: h}
	s.mu.Lock()
	defer s.mu.Unlock()
	table[uid] = r
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if table[uid] == r {
			delete(table, uid)
		}
	}
}

// Serve takes in connections from l until ctx ends, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listener: %w", err)
		case err != nil:
			// Out of descriptors, or the dialler is gone already: neither is for good.
			s.log.Warn("accept", "error", err)
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		release, ok := s.admit(conn)
		if !ok {
			_ = conn.Close()
			continue
		}
		open.Go(func() { s.handle(ctx, conn, release) })
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// greet reads what a connection says first and brings it where it belongs.
func (s *Server) handle(ctx context.Context, conn net.Conn, release func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(link.HandshakeTimeout))
	h, err := readHello(conn)
	if !stop() || err != nil {
		s.count.Refused(metrics.Malformed)
		s.log.Debug("connection rejected: invalid preface", "from", remoteAddr(conn), "error", err)
		_ = conn.Close()
		release()
		return
	}
	if !s.dispatch(ctx, conn, &h, release) {
		_ = conn.Close()
		release()
	}
}

// bring reports whether another party owns the connection now; the caller closes it
// otherwise.
func (s *Server) dispatch(ctx context.Context, conn net.Conn, h *hello, release func()) bool {
	switch {
	case h.rate:
		if s.self == protocol.Relay {
			s.answerRelayRate(conn)
		}
		return false
	case h.forwarded != nil && !s.trusted(ctx, conn, h.forwarded):
		s.count.Refused(metrics.Forged)
		s.log.Warn("connection rejected: it has a forwarding header and comes from neither an agent nor the relay", "from", remoteAddr(conn))
		return false
	case h.forwarded != nil:
		conn = &forwardedConn{Conn: conn, origin: Origin{Addr: h.forwarded.From, Relay: h.forwarded.Via == protocol.Relay}}
	case !h.offer && s.probes()[h.preface.TargetUID] != nil:
		s.probes()[h.preface.TargetUID](conn)
		return false
	}
	if r := s.routeOf(h); r != nil {
		_ = conn.SetDeadline(time.Time{})
		r.handle(conn, h.preface, release)
		return true
	}
	if s.forward(ctx, conn, h, release) {
		release()
		return true
	}
	s.count.Refused(metrics.Unknown)
	s.log.Info("connection rejected: the shipment is not served", "from", OriginOf(conn), "shipment", h.preface.TargetUID)
	return false
}

// routeOf is the shipment that the connection is for, if it is served here.
func (s *Server) routeOf(h *hello) *route {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !h.offer:
		return s.routes[h.preface.TargetUID]
	case h.forwarded != nil && h.forwarded.Via == protocol.Relay:
		return s.offers[h.preface.TargetUID]
	}
	return nil // an offer without a sender
}
