// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"io"
	"net"
	"net/netip"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// hello is what a connection said first.
type hello struct {
	preface link.Preface
	// offer: the connection is for a sender to use. preface has its shipment.
	offer bool
	// rate: bytes follow that are only counted.
	rate bool
	// handed is set when another listener of the cluster passed it on.
	forwarded *protocol.Header
}

// readHello reads exactly what comes before a connection's own bytes.
func readHello(conn net.Conn) (hello, error) {
	var h hello
	magic, err := read(conn, protocol.MagicSize)
	if err != nil {
		return h, err
	}
	if protocol.IsRate(magic) {
		h.rate = true
		return h, nil
	}
	if protocol.IsHeader(magic) {
		rest, err := read(conn, protocol.HeaderSize)
		if err != nil {
			return h, err
		}
		header, err := protocol.ParseHeader(rest)
		if err != nil {
			return h, err
		}
		h.forwarded = &header
		if magic, err = read(conn, protocol.MagicSize); err != nil {
			return h, err
		}
	}
	if protocol.IsOffer(magic) {
		rest, err := read(conn, protocol.OfferSize)
		if err != nil {
			return h, err
		}
		h.offer, h.preface.Version = true, link.Version
		h.preface.TargetUID, err = protocol.ParseOffer(rest)
		return h, err
	}
	h.preface, err = link.ReadPreface(&replay{Conn: conn, head: magic})
	return h, err
}

func read(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// again gives bytes that were read already once more.
type replay struct {
	net.Conn
	head []byte
}

func (a *replay) Read(b []byte) (int, error) {
	if len(a.head) == 0 {
		return a.Conn.Read(b)
	}
	n := copy(b, a.head)
	a.head = a.head[n:]
	return n, nil
}

// append is the hello for the listener that it is passed on to.
func (h *hello) append(b []byte, header protocol.Header) ([]byte, error) {
	b = protocol.AppendHeader(b, header)
	if h.offer {
		return protocol.AppendOffer(b, h.preface.TargetUID)
	}
	return link.AppendPreface(b, h.preface)
}

// Origin is where a connection comes from.
type Origin struct {
	// Addr is the address that it had when it reached the cluster; invalid for one
	// that came by the relay.
	Addr netip.Addr
	// Relay: it came through an API server, from a client that it authorised.
	Relay bool
}

func (o Origin) String() string {
	if o.Relay {
		return "the relay"
	}
	return o.Addr.String()
}

// forwardedConn is a connection that came by way of another listener.
type forwardedConn struct {
	net.Conn
	origin Origin
}

// OriginOf tells where a connection that a Handler got comes from.
func OriginOf(conn net.Conn) Origin {
	if p, ok := conn.(*forwardedConn); ok {
		return p.origin
	}
	return Origin{Addr: remoteAddr(conn)}
}

// remoteAddr is the address of the socket's other end.
func remoteAddr(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
