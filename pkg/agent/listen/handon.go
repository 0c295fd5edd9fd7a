// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// Peers are the cluster's other listeners. What it answers may be a moment old:
// it decides where sealed bytes go and nothing else.
type Peers interface {
	// Serving is the address of the listener of another node that serves the live
	// shipment uid, "" when there is none.
	Serving(ctx context.Context, uid string) (address string, err error)
	// Kind says whose pod has an address of the cluster's network; false when it is
	// neither an agent's nor the relay's.
	Kind(ctx context.Context, addr netip.Addr) (protocol.Via, bool)
}

const (
	// onwardTimeout bounds the connection to the other listener.
	onwardTimeout = 5 * time.Second
	// awaitPeerError is how long one direction may go on when the other has ended.
	awaitPeerError = 10 * time.Second
)

// Forward passes connections for shipments of other nodes on to these, and takes
// in what they pass on. It is called before Serve. self is who we are to them.
func (s *Server) Forward(peers Peers, self protocol.Via) { s.peers, s.self = peers, self }

// believed says whether a connection that says it was passed on comes from whom
// it says. Anybody can write a header; only the cluster's own pods have their
// addresses.
func (s *Server) trusted(ctx context.Context, conn net.Conn, h *protocol.Header) bool {
	if s.peers == nil {
		return false
	}
	kind, ok := s.peers.Kind(ctx, remoteAddr(conn))
	return ok && kind == h.Via
}

// handOn passes a connection on to the node that serves its shipment and stays in
// the middle until it ends. It says whether there was such a node.
func (s *Server) forward(ctx context.Context, conn net.Conn, h *hello, release func()) bool {
	if s.peers == nil || h.forwarded != nil {
		return false // a connection that was passed on is not passed on again
	}
	address, err := s.peers.Serving(ctx, h.preface.TargetUID)
	if err != nil || address == "" {
		if err != nil {
			s.log.Warn("cannot find the node that serves the shipment", "shipment", h.preface.TargetUID, "error", err)
		}
		return false
	}
	if !s.beginForward() {
		s.log.Warn("connection rejected: too many forwarded connections", "from", remoteAddr(conn), "shipment", h.preface.TargetUID)
		return false
	}
	defer s.endForward()
	header := protocol.Header{Via: s.self}
	if s.self == protocol.Agent {
		header.From = remoteAddr(conn)
	}
	words, err := h.append(nil, header)
	if err != nil {
		return false
	}
	ahead, err := (&net.Dialer{Timeout: onwardTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		s.log.Warn("cannot connect to the agent that serves the shipment", "at", address, "shipment", h.preface.TargetUID, "error", err)
		return false
	}
	defer func() { _ = ahead.Close() }()
	if _, err := ahead.Write(words); err != nil {
		return false
	}
	s.log.Debug("connection forwarded", "from", remoteAddr(conn), "to", address, "shipment", h.preface.TargetUID)
	_ = conn.SetDeadline(time.Time{})
	// The other listener closes what has not proved anything by then.
	proved := time.AfterFunc(link.HandshakeTimeout+onwardTimeout, release)
	defer proved.Stop()
	defer s.count.Forwarded()()
	join(ctx, conn, ahead)
	return true
}

func (s *Server) beginForward() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forwarded >= s.limits.Forwarded {
		return false
	}
	s.forwarded++
	return true
}

func (s *Server) endForward() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forwarded--
}

// join copies both ways until both have ended or ctx does, and closes both.
func join(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() })
	defer stop()
	var ways sync.WaitGroup
	one := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
			_ = c.CloseWrite()
			_ = to.SetReadDeadline(time.Now().Add(awaitPeerError))
			return
		}
		_, _ = a.Close(), b.Close()
	}
	ways.Go(func() { one(b, a) })
	ways.Go(func() { one(a, b) })
	ways.Wait()
	_, _ = a.Close(), b.Close()
}
