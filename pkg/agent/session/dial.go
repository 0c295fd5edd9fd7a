// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// dialTimeout bounds the making of one raw connection. What takes longer than
// slowDial is reported early: a caller that can use another route should not have to
// wait for the end of every address's time.
const (
	dialTimeout = 10 * time.Second
	slowDial    = 2 * time.Second
)

// dialler makes the connections of one sending attempt.
type dialler struct {
	session *Session
	key     *link.Key
	mnt     authz.Mount
	// offers are connections that no one has to dial.
	offers *offers
	// broken ends the attempt: package ship would only dial again.
	broken context.CancelCauseFunc
}

// dial makes one authenticated connection to the peer. What passes is left to
// package ship, which dials again; what does not ends the attempt.
func (d *dialler) dial(ctx context.Context) (net.Conn, error) {
	conn, err := d.dialAny(ctx)
	if err == nil {
		d.session.connected()
		return conn, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	if !fault.Retryable(fault.Reason(err)) {
		d.broken(err)
		return nil, err
	}
	d.session.setReason(fault.Reason(err), err)
	return nil, err
}

// dialAny takes a connection that the relay offers, or tries the peer's addresses
// in order, each only if the policy allows it at this moment. Offers come first:
// there are none unless a user found that the addresses do not answer. One that
// comes while an address is waited for is tried at once; when it fails, the
// addresses get their full time.
func (d *dialler) dialAny(ctx context.Context) (net.Conn, error) {
	facts, err := d.session.verifyConnection(ctx)
	if err != nil {
		return nil, err
	}
	if err := sameMount(&d.mnt, facts.Mount); err != nil {
		return nil, err
	}
	peer := facts.Shipment.Spec.Peer
	if peer.ShipmentUID == "" || peer.KeySHA256 == "" {
		return nil, fault.New(v1alpha1.ReasonWaitingForPeer, "the shipment and key of the peer are not set yet")
	}
	timeout := time.Duration(0)
	if len(peer.Addresses) == 0 {
		timeout = offerWait
	}
	conn, err := d.useOffers(ctx, facts, timeout)
	switch {
	case conn != nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case len(peer.Addresses) == 0 && err != nil:
		return nil, err
	case len(peer.Addresses) == 0:
		return nil, fault.New(v1alpha1.ReasonWaitingForPeer, "the peer has published no addresses, and there is no connection through the relay")
	}
	if facts.Grant.ThroughRelay() == nil {
		reach, stop := d.untilOffered(ctx)
		defer stop()
		if conn, err = d.dialAddresses(ctx, reach, facts); conn != nil || reach.Err() == nil || ctx.Err() != nil {
			return conn, err
		}
		if conn, _ = d.useOffers(ctx, facts, 0); conn != nil {
			return conn, nil
		}
	}
	return d.dialAddresses(ctx, ctx, facts)
}

// untilOffered is a context that ends when the relay offers a connection.
func (d *dialler) untilOffered(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if d.offers.await(ctx) {
			cancel()
		}
	})
	return ctx, func() { cancel(); waiting.Wait() }
}

// dialAddresses tries the peer's addresses. Reach bounds the connecting alone: what
// stands is left to authenticate itself.
func (d *dialler) dialAddresses(ctx, reach context.Context, facts *authz.Authorization) (net.Conn, error) {
	var errs []error
	for _, address := range facts.Shipment.Spec.Peer.Addresses {
		conn, err := d.dialOne(ctx, reach, facts, address)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return nil, combine(errs)
}

// worst is the error of all addresses together: the reason is the first that
// says more than that no one answered.
func combine(errs []error) error {
	reason := v1alpha1.ReasonPeerUnreachable
	for _, err := range errs {
		if r := fault.Reason(err); r != v1alpha1.ReasonPeerUnreachable {
			reason = r
			break
		}
	}
	return fault.New(reason, "%w", errors.Join(errs...))
}

func (d *dialler) dialOne(ctx, reach context.Context, facts *authz.Authorization, address string) (net.Conn, error) {
	to, err := facts.Grant.Dial(address)
	if err != nil {
		return nil, err
	}
	raw, err := dialRaw(reach, to, func() {
		d.session.setReason(v1alpha1.ReasonPeerUnreachable, fmt.Errorf("%s has not answered yet", address))
	})
	if err != nil {
		return nil, err
	}
	peer := facts.Shipment.Spec.Peer
	conn, err := link.Dial(ctx, raw, d.session.local(d.key, link.Sender), link.Peer{UID: peer.ShipmentUID, KeySHA256: peer.KeySHA256})
	if err != nil {
		return nil, linkFault(err, address)
	}
	return conn, nil
}

// local is this end, for the other to check.
func (s *Session) local(key *link.Key, role link.Role) link.Local {
	return link.Local{Key: key, UID: string(s.job.UID), Role: role, Sync: s.job.Sync}
}

// dialRaw connects to where the policy allows. What a name resolves to is judged
// when the socket is about to connect, so that it cannot change in between.
// unanswered is called when that takes long.
func dialRaw(ctx context.Context, to authz.Destination, unanswered func()) (net.Conn, error) {
	var refused error
	nd := net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err == nil {
			err = to.CheckResolved(ap.Addr())
		}
		if err != nil {
			refused = err
		}
		return err
	}}
	slow := time.AfterFunc(slowDial, unanswered)
	conn, err := nd.DialContext(ctx, "tcp", to.Address)
	slow.Stop()
	if err == nil {
		return conn, nil
	}
	if refused != nil {
		return nil, refused
	}
	return nil, fault.New(v1alpha1.ReasonPeerUnreachable, "%w", err)
}

// linkFault gives the failure of an authentication its reason.
func linkFault(err error, address string) error {
	err = fmt.Errorf("peer at %s: %w", address, err)
	switch {
	case errors.Is(err, link.ErrWrongKey):
		return fault.New(v1alpha1.ReasonPeerKeyMismatch, "%w", err)
	case errors.Is(err, link.ErrVersion):
		return fault.New(v1alpha1.ReasonPeerVersionMismatch, "%w", err)
	case errors.Is(err, link.ErrWrongSync):
		return fault.New(v1alpha1.ReasonWaitingForPeer, "%w", err)
	case errors.Is(err, link.ErrWrongUID), errors.Is(err, link.ErrWrongRole), errors.Is(err, link.ErrGreeting):
		return fault.New(v1alpha1.ReasonPeerRejected, "%w", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fault.New(v1alpha1.ReasonWaitingForPeer,
			"%w: the peer closed the connection: it does not serve the shipment yet, or its MotionPolicy does not accept the addresses of this cluster", err)
	}
	return fault.New(v1alpha1.ReasonPeerUnreachable, "%w", err)
}
