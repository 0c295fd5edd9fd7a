// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package protocol is what is said in front of a connection that is passed on
// within a cluster. It is pure: bytes and values.
//
// A shipment's connection begins with a preface that names the target's shipment.
// It may arrive at a node that does not have the volume, or at the relay, which
// has none. The component that forwards it puts a Header in front of it, so that the agent
// which serves the shipment knows that it was passed on, by whom, and where it
// came from. A connection with a Header is never passed on again.
//
// An offer goes the other way: it gives the sending agent a connection to use
// instead of one that it dials. It names the sender's shipment; everything that the agent
// then writes is meant for the receiver.
//
// Neither is a proof of anything. A Header is believed only from the address of an
// agent's or the relay's pod, an offer only with the relay's Header, and whose
// connection it is, is still for the shipments' keys to prove.
package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// Version of both formats.
const Version = 1

// Via is who passed a connection on.
type Via uint8

const (
	// Agent of another node, which the connection arrived at.
	Agent Via = 1
	// Relay, which connections reach through the API server.
	Relay Via = 2
)

func (v Via) String() string {
	switch v {
	case Agent:
		return "agent"
	case Relay:
		return "relay"
	default:
		return "unknown"
	}
}

// Header stands in front of a connection that was passed on.
type Header struct {
	Via Via
	// From is where the connection came from. A relay does not know it: the API
	// server knows the user; the address is unknown.
	From netip.Addr
}

// Magic numbers are as long as that of a shipment's preface.
const (
	MagicSize   = 8
	magicHeader = "KMHANDON"
	magicOffer  = "KMOFFER\x00"
)

// Sizes of what follows the magic numbers.
const (
	HeaderSize = 1 + 1 + 16
	OfferSize  = 1 + 1 + MaxUID
)

// MaxUID is the longest shipment UID in bytes.
const MaxUID = 64

// ErrMalformed is what the parsers return.
var ErrMalformed = errors.New("malformed relay header")

// IsHeader says whether magic, MagicSize bytes, begins a Header.
func IsHeader(magic []byte) bool { return string(magic) == magicHeader }

// IsOffer says whether magic, MagicSize bytes, begins an offer.
func IsOffer(magic []byte) bool { return string(magic) == magicOffer }

// AppendHeader encodes h, magic number first.
func AppendHeader(b []byte, h Header) []byte {
	b = append(b, magicHeader...)
	b = append(b, Version, byte(h.Via))
	from := h.From
	if !from.IsValid() {
		from = netip.IPv6Unspecified()
	}
	a := from.As16()
	return append(b, a[:]...)
}

// ParseHeader decodes the HeaderSize bytes behind the magic number.
func ParseHeader(b []byte) (Header, error) {
	if len(b) != HeaderSize || b[0] != Version {
		return Header{}, ErrMalformed
	}
	h := Header{Via: Via(b[1])}
	if from := netip.AddrFrom16([16]byte(b[2:])); !from.IsUnspecified() {
		h.From = from.Unmap()
	}
	switch {
	case h.Via == Agent && h.From.IsValid(), h.Via == Relay && !h.From.IsValid():
		return h, nil
	}
	return Header{}, ErrMalformed
}

// AppendOffer encodes an offer to the sender's shipment uid.
func AppendOffer(b []byte, uid string) ([]byte, error) {
	if !validUID(uid) {
		return b, fmt.Errorf("shipment UID %q must be 1 to %d printable ASCII characters", uid, MaxUID)
	}
	var padded [MaxUID]byte
	copy(padded[:], uid)
	b = append(b, magicOffer...)
	b = append(b, Version, byte(len(uid)))
	return append(b, padded[:]...), nil
}

// ParseOffer decodes the OfferSize bytes behind the magic number.
func ParseOffer(b []byte) (uid string, err error) {
	if len(b) != OfferSize || b[0] != Version || b[1] > MaxUID {
		return "", ErrMalformed
	}
	n := 2 + int(b[1])
	uid = string(b[2:n])
	if !validUID(uid) || len(bytes.Trim(b[n:], "\x00")) > 0 {
		return "", ErrMalformed
	}
	return uid, nil
}

func validUID(uid string) bool {
	if uid == "" || len(uid) > MaxUID {
		return false
	}
	for i := range len(uid) {
		if uid[i] <= ' ' || uid[i] > '~' {
			return false
		}
	}
	return true
}
