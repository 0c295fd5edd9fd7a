// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// Version of the preface and of everything behind it.
const Version = 1

// The preface: 8 bytes of magic, 1 of version, 1 of length, 64 of UID padded with NUL.
// Its size is fixed so that reading it never waits for more than was sent.
const (
	magic       = "KMOTION\x00"
	prefaceSize = len(magic) + 2 + MaxUID
)

// AppendPreface encodes p, so that a router can put it before a connection it passes
// on. The UID must be 1 to MaxUID bytes long and hold no NUL.
func AppendPreface(b []byte, p Preface) ([]byte, error) {
	if !validUID(p.TargetUID) {
		return b, fmt.Errorf("shipment UID %q must be 1 to %d printable ASCII characters", p.TargetUID, MaxUID)
	}
	var uid [MaxUID]byte
	copy(uid[:], p.TargetUID)
	b = append(b, magic...)
	b = append(b, p.Version, byte(len(p.TargetUID)))
	return append(b, uid[:]...), nil
}

// ReadPreface reads exactly the preface from conn, which should have a read deadline.
// ErrPreface means that it is not a shipment connection, ErrVersion that the dialler is of
// another version (the Preface is then valid, so that the caller can report whose).
func ReadPreface(conn net.Conn) (Preface, error) {
	var buf [prefaceSize]byte
	if _, err := io.ReadFull(conn, buf[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Preface{}, fmt.Errorf("%w: it ended within the preface", ErrPreface)
		}
		return Preface{}, fmt.Errorf("read the preface: %w", err)
	}
	return parsePreface(buf)
}

func parsePreface(buf [prefaceSize]byte) (Preface, error) {
	if string(buf[:len(magic)]) != magic {
		return Preface{}, ErrPreface
	}
	p := Preface{Version: buf[len(magic)]}
	n := int(buf[len(magic)+1])
	uid := buf[len(magic)+2:]
	if n > MaxUID {
		return Preface{}, fmt.Errorf("%w: its UID is too long", ErrPreface)
	}
	p.TargetUID = string(uid[:n])
	if !validUID(p.TargetUID) {
		return Preface{}, fmt.Errorf("%w: its UID is not one", ErrPreface)
	}
	for _, c := range uid[n:] {
		if c != 0 {
			return Preface{}, fmt.Errorf("%w: its padding is not empty", ErrPreface)
		}
	}
	if p.Version != Version {
		return p, fmt.Errorf("%w: it has %d, this end %d", ErrVersion, p.Version, Version)
	}
	return p, nil
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
