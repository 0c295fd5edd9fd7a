// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package link authenticates a raw connection between the two ends of a shipment.
//
// # The exchange
//
// The dialler sends a preface in clear: magic, version and the UID of the target's
// shipment, nothing else. The process that accepts raw connections reads it with ReadPreface and
// decides which shipment it belongs to, or passes the connection, preface first, to the
// node that has the volume. Then TLS 1.3 runs with one ed25519 key pair per end, both
// pinned by the SHA-256 of their SubjectPublicKeyInfo: names, issuers and dates of the
// certificates mean nothing. The first protected message in both directions is the greeting:
// own UID, peer's UID, role, sync, and a MAC over all of it under a key from the TLS
// exporter. So a greeting cannot be replayed into another connection, nor one
// shipment's connection be taken for another's, nor a sender's for a receiver's. Which
// session a connection belongs to, and which of its connections it is, package ship exchanges
// next.
//
// # What it does not promise
//
// The preface is not secret. Rates and numbers of half-open connections are the caller's to
// limit; Accept and Dial give up after HandshakeTimeout.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// HandshakeTimeout bounds Dial and Accept, and is what callers should allow ReadPreface.
const HandshakeTimeout = 10 * time.Second

// MaxUID is the longest shipment UID in bytes.
const MaxUID = 64

// Role is one of the two ends of a shipment.
type Role uint8

const (
	// Sender reads the volume. It is always the sender that dials.
	Sender Role = 1
	// Receiver writes the volume.
	Receiver Role = 2
)

func (r Role) String() string {
	switch r {
	case Sender:
		return "sender"
	case Receiver:
		return "receiver"
	default:
		return "unknown"
	}
}

// Local is this end of a shipment.
type Local struct {
	Key  *Key
	UID  string
	Role Role
	// Sync that is being shipped; both ends must agree on it.
	Sync int64
}

// Peer is the other end of a shipment, as it must authenticate.
type Peer struct {
	UID string
	// KeySHA256 is the pin: Key.SHA256 of the other end.
	KeySHA256 string
}

// Errors of Dial, Accept and ReadPreface; use errors.Is.
var (
	// ErrVersion: the other end uses another version of this exchange.
	ErrVersion = errors.New("the other end uses another version of the link protocol")
	// ErrPreface: what came first was not a preface.
	ErrPreface = errors.New("not a shipment connection")
	// ErrWrongKey: the other end does not hold the key that is pinned.
	ErrWrongKey = errors.New("the other end presents another key than the pinned one")
	// ErrWrongUID: the other end belongs to another shipment.
	ErrWrongUID = errors.New("the other end belongs to another shipment")
	// ErrWrongRole: the other end has the same role, or dials as a receiver.
	ErrWrongRole = errors.New("the other end has the wrong role")
	// ErrWrongSync: the other end ships another sync.
	ErrWrongSync = errors.New("the other end ships another sync")
	// ErrGreeting: the greeting is malformed or not bound to this connection.
	ErrGreeting = errors.New("the greeting does not belong to this connection")
)

// Preface is what a dialler sends before TLS.
type Preface struct {
	Version uint8
	// TargetUID of the shipment the dialler wants to reach.
	TargetUID string
}

// Dial sends the preface over raw and authenticates both ends. raw is closed when it
// fails, and by the connection's Close.
func Dial(ctx context.Context, raw net.Conn, local Local, peer Peer) (net.Conn, error) {
	return handshake(ctx, raw, local, peer, true)
}

// Accept authenticates both ends of a raw connection whose preface was already read.
// raw is closed when it fails, and by the connection's Close.
func Accept(ctx context.Context, raw net.Conn, preface Preface, local Local, peer Peer) (net.Conn, error) {
	if preface.TargetUID != local.UID {
		_ = raw.Close()
		return nil, fmt.Errorf("%w: it asks for %q", ErrWrongUID, preface.TargetUID)
	}
	return handshake(ctx, raw, local, peer, false)
}
