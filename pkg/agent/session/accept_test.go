// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/agenttest"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// from is one end of a loopback connection that pretends to come from elsewhere.
type from struct {
	net.Conn
	ip string
}

func (f *from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 40000} }

// loopback is a connected pair of sockets.
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	far, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

// receiver is an acceptor of the one shipment, and the key that its peer has.
type receiver struct {
	t    *testing.T
	a    *acceptor
	peer *link.Key
	own  *link.Key
}

func newReceiver(t *testing.T, change func(*agenttest.World)) *receiver {
	t.Helper()
	peer, err := link.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	w := agenttest.Fine(v1alpha1.RoleReceive)
	w.Shipment.Spec.Peer.KeySHA256 = peer.SHA256()
	if change != nil {
		change(w)
	}
	state, err := statedir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own, err := state.Key(agenttest.ShipmentUID)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(&Env{Authorizer: agenttest.New(t, w), State: state, Log: slog.New(slog.DiscardHandler)}, JobOf(w.Shipment), func() {})
	a := newAcceptor(s)
	t.Cleanup(a.close)
	return &receiver{t: t, a: a, peer: peer, own: own}
}

// call dials the acceptor as a peer with the given key from the given address,
// and returns what the peer gets and what the acceptor does.
func (r *receiver) call(ctx context.Context, key *link.Key, uid, ip string) (dialled, accepted error) {
	r.t.Helper()
	near, far := loopback(r.t)
	released := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		conn, err := link.Dial(ctx, far, link.Local{Key: key, UID: uid, Role: link.Sender, Sync: 1},
			link.Peer{UID: agenttest.ShipmentUID, KeySHA256: r.own.SHA256()})
		if err == nil {
			r.t.Cleanup(func() { _ = conn.Close() })
		}
		done <- err
	}()
	preface, err := link.ReadPreface(near)
	if err != nil {
		r.t.Fatal(err)
	}
	r.a.take(ctx, &from{near, ip}, preface, func() { close(released) })
	dialled = <-done
	<-released
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	conn, accepted := r.a.accept(ctx)
	if accepted == nil {
		_ = conn.Close()
	}
	return dialled, accepted
}

func TestAConnectionOfThePeerIsTaken(t *testing.T) {
	r := newReceiver(t, nil)
	dialled, accepted := r.call(t.Context(), r.peer, agenttest.PeerUID, agenttest.PeerIP)
	if dialled != nil || accepted != nil {
		t.Errorf("dialled: %v, accepted: %v", dialled, accepted)
	}
}

func TestAConnectionThatFailsAnyCheckIsClosedAndDecidesNothing(t *testing.T) {
	stranger, err := link.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change  func(*agenttest.World)
		key     *link.Key
		uid, ip string
	}{
		"another key":               {key: stranger, uid: agenttest.PeerUID, ip: agenttest.PeerIP},
		"another shipment":          {uid: agenttest.ClaimUID, ip: agenttest.PeerIP},
		"an address not allowed":    {uid: agenttest.PeerUID, ip: "192.0.2.1"},
		"no pin yet":                {change: func(w *agenttest.World) { w.Shipment.Spec.Peer.KeySHA256 = "" }, uid: agenttest.PeerUID, ip: agenttest.PeerIP},
		"no policy any more":        {change: func(w *agenttest.World) { w.Namespace.Labels = nil }, uid: agenttest.PeerUID, ip: agenttest.PeerIP},
		"a claim that was replaced": {change: func(w *agenttest.World) { w.Claim.UID = agenttest.PodUID }, uid: agenttest.PeerUID, ip: agenttest.PeerIP},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, c.change)
			key := c.key
			if key == nil {
				key = r.peer
			}
			dialled, accepted := r.call(t.Context(), key, c.uid, c.ip)
			if dialled == nil || !errors.Is(accepted, context.DeadlineExceeded) {
				t.Errorf("dialled: %v, accepted: %v", dialled, accepted)
			}
			if r.a.session.Report().Ended {
				t.Error("anybody can end a generation")
			}
		})
	}
}

func TestAVolumeThatIsOpenThroughAnotherPodTakesNoMoreConnections(t *testing.T) {
	r := newReceiver(t, nil)
	r.a.begin(&authz.Mount{PodName: "an-older-pod"}, func(error) {})
	if dialled, accepted := r.call(t.Context(), r.peer, agenttest.PeerUID, agenttest.PeerIP); dialled == nil || accepted == nil {
		t.Errorf("dialled: %v, accepted: %v", dialled, accepted)
	}
}

func TestAnOfferThatIsNotTakenIsClosedAndTheNextSenderGetsNone(t *testing.T) {
	o := newOffers()
	released := 0
	var theirs []net.Conn
	for range maxOffers + 1 {
		mine, other := net.Pipe()
		theirs = append(theirs, other)
		o.take(mine, func() { released++ })
	}
	if released != maxOffers+1 {
		t.Errorf("%d of %d offers still count as half-open", maxOffers+1-released, maxOffers+1)
	}
	if _, err := theirs[maxOffers].Read(make([]byte, 1)); err == nil {
		t.Error("one offer too many waits for ever")
	}
	if first := o.next(t.Context(), 0); first == nil {
		t.Error("an offer that waits is not found")
	}
	o.close()
	if _, err := theirs[1].Read(make([]byte, 1)); err == nil {
		t.Error("an offer outlives the session that it was made to")
	}
	if next := o.next(t.Context(), 0); next != nil {
		t.Error("an ended session gives an offer away")
	}
	late, other := net.Pipe()
	o.take(late, func() {})
	if _, err := other.Read(make([]byte, 1)); err == nil {
		t.Error("an offer to an ended session is kept")
	}
}

func TestAnOfferThatIsAwaitedStaysForWhoeverTakesIt(t *testing.T) {
	o := newOffers()
	mine, _ := net.Pipe()
	o.take(mine, func() {})
	if !o.await(t.Context()) {
		t.Error("an offer that is there is not seen")
	}
	if o.next(t.Context(), 0) != mine {
		t.Error("an offer that was seen is gone")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o.await(ctx) {
		t.Error("an offer is seen where none is")
	}
}

func TestPreserveNeedsTheCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		preserve, without bool
		want              ship.SpecialFiles
		reason            string
	}{
		"Refuse":                            {false, true, ship.Refuse, ""},
		"Preserve":                          {true, false, ship.Preserve, ""},
		"Preserve without the capabilities": {true, true, ship.Refuse, v1alpha1.ReasonPolicyDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{env: &Env{WithoutPreserve: c.without}}
			got, err := s.specialFiles(&authz.Authorization{Grant: &authz.Grant{PreserveSpecial: c.preserve}})
			if got != c.want || (err != nil) != (c.reason != "") || err != nil && fault.Reason(err) != c.reason {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
