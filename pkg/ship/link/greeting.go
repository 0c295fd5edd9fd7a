// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A greeting is the first protected message in each direction. Fixed size:
//
//	version   1 byte
//	role      1 byte
//	sync      8 bytes, big endian
//	own UID   1 byte length, 64 bytes padded with NUL
//	peer UID  likewise
//	MAC       32 bytes: HMAC-SHA256 over all of the above under the exported key
const (
	greetingBody = 1 + 1 + 8 + 2*(1+MaxUID)
	greetingSize = greetingBody + sha256.Size
)

type greeting struct {
	role      Role
	number    int64
	own, peer string
}

func (g greeting) encode(key []byte) []byte {
	b := make([]byte, 0, greetingSize)
	b = append(b, Version, byte(g.role))
	b = binary.BigEndian.AppendUint64(b, uint64(g.number))
	b = appendUID(b, g.own)
	b = appendUID(b, g.peer)
	return append(b, mac(key, b)...)
}

func appendUID(b []byte, uid string) []byte {
	var padded [MaxUID]byte
	copy(padded[:], uid)
	return append(append(b, byte(len(uid))), padded[:]...)
}

func mac(key, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(body)
	return m.Sum(nil)
}

func parseGreeting(b, key []byte) (greeting, error) {
	if len(b) != greetingSize {
		return greeting{}, fmt.Errorf("%w: it has %d bytes", ErrGreeting, len(b))
	}
	if b[0] != Version {
		return greeting{}, fmt.Errorf("%w: it has version %d, this end %d", ErrVersion, b[0], Version)
	}
	body, sum := b[:greetingBody], b[greetingBody:]
	if !hmac.Equal(sum, mac(key, body)) {
		return greeting{}, ErrGreeting
	}
	g := greeting{role: Role(b[1]), number: int64(binary.BigEndian.Uint64(b[2:]))}
	var ok1, ok2 bool
	g.own, ok1 = uidAt(b[10:])
	g.peer, ok2 = uidAt(b[10+1+MaxUID:])
	if !ok1 || !ok2 {
		return greeting{}, fmt.Errorf("%w: a UID is malformed", ErrGreeting)
	}
	return g, nil
}

func uidAt(b []byte) (string, bool) {
	n := int(b[0])
	if n > MaxUID {
		return "", false
	}
	for _, c := range b[1+n : 1+MaxUID] {
		if c != 0 {
			return "", false // the padding is not empty
		}
	}
	uid := string(b[1 : 1+n])
	return uid, validUID(uid)
}

// check returns what is wrong with the other end's greeting.
func (g greeting) check(local Local, peer Peer) error {
	switch {
	case g.own != peer.UID:
		return fmt.Errorf("%w: its UID is %q, expected %q", ErrWrongUID, g.own, peer.UID)
	case g.peer != local.UID:
		return fmt.Errorf("%w: it requests %q, this end is %q", ErrWrongUID, g.peer, local.UID)
	case g.role == local.Role || g.role != Sender && g.role != Receiver:
		return fmt.Errorf("%w: both ends are %ss", ErrWrongRole, g.role)
	case g.number != local.Sync:
		return fmt.Errorf("%w: it ships sync %d, this end sync %d", ErrWrongSync, g.number, local.Sync)
	}
	return nil
}

// greet exchanges the greetings. Both ends send first and read then: a greeting fits
// into any socket buffer. Each direction has its own MAC key.
func (c *conn) greet(local Local, peer Peer) error {
	state := c.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return fmt.Errorf("%w: it offers another application protocol", ErrVersion)
	}
	ours, err := state.ExportKeyingMaterial(exporterLabel, []byte(local.Role.String()), sha256.Size)
	if err != nil {
		return fmt.Errorf("bind the greeting to the connection: %w", err)
	}
	theirs, err := state.ExportKeyingMaterial(exporterLabel, []byte(other(local.Role).String()), sha256.Size)
	if err != nil {
		return fmt.Errorf("bind the greeting to the connection: %w", err)
	}
	mine := greeting{role: local.Role, number: local.Sync, own: local.UID, peer: peer.UID}
	if _, err := c.Conn.Write(mine.encode(ours)); err != nil {
		return tlsError(err)
	}
	var buf [greetingSize]byte
	if _, err := io.ReadFull(c.Conn, buf[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the other end closed the connection instead of greeting: %w", err)
		}
		return tlsError(err)
	}
	got, err := parseGreeting(buf[:], theirs)
	if err != nil {
		// The MAC key depends on the role the other end must have.
		if g, sameRole := parseGreeting(buf[:], ours); sameRole == nil {
			return g.check(local, peer)
		}
		return err
	}
	if err := got.check(local, peer); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

func other(r Role) Role {
	if r == Sender {
		return Receiver
	}
	return Sender
}
