// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"net"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
)

// passID names a generation of this pair of shipments to package ship. The
// number alone does not: a shipment that was deleted and recreated starts from the beginning
// with 1, on a volume whose state remembers another generation 1.
func syncID(s *v1alpha1.VolumeShipment) int64 {
	send, receive := string(s.UID), s.Spec.Peer.ShipmentUID
	if s.Spec.Role == v1alpha1.RoleReceive {
		send, receive = receive, send
	}
	text := send + "\x00" + receive + "\x00"
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(text), uint64(s.Spec.Sync)))
	return int64(binary.BigEndian.Uint64(sum[:8]) & math.MaxInt64)
}

// finish looks whether the volume's state says that this generation was
// committed already: by an agent that was killed before it could tell. The
// sender may know and never come back. What was committed and not yet carried
// out is carried out here; it needs no sender.
func (s *Session) finish(ctx context.Context) (done bool, err error) {
	facts, err := s.verify(ctx)
	if err != nil {
		return false, err
	}
	committed, whole, err := s.readState(ctx, facts)
	if err != nil || !committed {
		return false, err
	}
	if !whole {
		if err := s.rollForward(ctx); err != nil {
			return false, err
		}
		if committed, whole, err = s.readState(ctx, facts); err != nil {
			return false, err
		}
	}
	return committed && whole, nil
}

// recall reads the volume's state without touching the volume. committed: it is
// about this generation; whole: the volume holds it.
func (s *Session) readState(ctx context.Context, facts *authz.Authorization) (committed, whole bool, err error) {
	p := &openedVolume{}
	defer p.close()
	if _, err := s.waitForSlot(ctx, p, facts); err != nil {
		return false, false, err
	}
	if err := s.openState(p, facts); err != nil {
		return false, false, err
	}
	pass, digest, ok := p.state.Verified()
	if !ok || pass != syncID(facts.Shipment) {
		return false, false, nil
	}
	if p.state.PartiallyApplied() {
		return true, false, nil
	}
	s.setPartiallyApplied(false)
	s.succeed(ship.Result{Digest: digest, Verified: true, Unchanged: true})
	return true, true, nil
}

// errNoPeer is what package ship gets when it asks for a connection here.
var errNoPeer = errors.New("no peer is expected")

// rollForward lets package ship carry out what it committed. It does that before
// it asks for a connection, and gets none.
func (s *Session) rollForward(ctx context.Context) error {
	at, facts, err := s.openVolume(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	special, err := s.specialFiles(facts)
	if err != nil {
		return err
	}
	target, err := at.target()
	if err != nil {
		return err
	}
	s.log.Info("finishing a sync that was committed earlier")
	nobody := func(context.Context) (net.Conn, error) { return nil, errNoPeer }
	_, err = ship.Receive(at.ctx, target, nobody, at.state, ship.ReceiveOptions{
		SpecialFiles: special, Sync: syncID(facts.Shipment), Logger: s.log,
	})
	s.setPartiallyApplied(at.state.PartiallyApplied())
	if cause := context.Cause(at.ctx); cause != nil {
		return broken(cause, err)
	}
	if !errors.Is(err, errNoPeer) {
		return shipFault(err)
	}
	return nil
}

// openState opens what package ship knows of the volume.
func (s *Session) openState(p *openedVolume, facts *authz.Authorization) error {
	dir, err := s.env.State.Volume(statedir.Claim{Namespace: facts.Origin.Namespace, Name: facts.Origin.Name, UID: facts.Origin.UID})
	if err != nil {
		return fault.New(v1alpha1.ReasonInternal, "%w", err)
	}
	if p.state, err = ship.OpenState(dir, string(facts.Origin.UID)); err != nil {
		return shipFault(err)
	}
	p.onClose(func() { _ = p.state.Close() })
	return nil
}
