// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	shipfault "github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// scripted runs a session whose attempts return the given errors in turn, the
// last of them again and again, and gives its end and how many there were.
func scripted(t *testing.T, errs ...error) (Report, int) {
	t.Helper()
	n := 0
	s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{Sync: 1}, func() {})
	s.attempt = func(context.Context) error {
		n++
		return errs[min(n, len(errs))-1]
	}
	s.start(t.Context())
	<-s.Done()
	return s.Report(), n
}

func TestASessionGoesOnAfterWhatPassesAndEndsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, n := scripted(t,
			fault.New(v1alpha1.ReasonPeerUnreachable, "refused"), fault.New(v1alpha1.ReasonConnectionLost, "reset"),
			fault.New(v1alpha1.ReasonWaitingForPeer, "no key"), fault.New(v1alpha1.ReasonQueued, "busy"), nil)
		if n != 5 || !r.Ended || r.Err != nil {
			t.Errorf("%d attempts, %+v", n, r)
		}
		// 0.5 + 1 + 2 + 4 s, each up to a fifth longer.
		if took := time.Since(began); took < 7500*time.Millisecond || took > 9*time.Second {
			t.Errorf("waited %s in all", took)
		}
	})
}

func TestTheWaitBetweenAttemptsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{}, func() {})
		s.attempt = func(context.Context) error {
			if at = append(at, time.Now()); len(at) == 12 {
				return nil
			}
			return fault.New(v1alpha1.ReasonPeerUnreachable, "refused")
		}
		s.start(t.Context())
		<-s.Done()
		for i := 1; i < len(at); i++ {
			if wait := at[i].Sub(at[i-1]); wait > 18*time.Second || (i > 8 && wait < 10*time.Second) {
				t.Errorf("wait %d is %s", i, wait)
			}
		}
	})
}

func TestASessionEndsWithWhatOnlyAPersonCanRemove(t *testing.T) {
	for _, reason := range []string{
		v1alpha1.ReasonClaimMismatch, v1alpha1.ReasonMountInvalid, v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed,
		v1alpha1.ReasonNotExclusive, v1alpha1.ReasonTargetFull, v1alpha1.ReasonDigestMismatch, v1alpha1.ReasonInternal,
	} {
		synctest.Test(t, func(t *testing.T) {
			r, n := scripted(t, fault.New(reason, "no"))
			if n != 1 || !r.Ended || fault.Reason(r.Err) != reason || r.Reason != reason {
				t.Errorf("%s: %d attempts, %+v", reason, n, r)
			}
		})
	}
}

func TestAPeerThatDoesNotKnowUsGetsTimeToBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stranger := fault.New(v1alpha1.ReasonPeerKeyMismatch, "another key")
		if r, n := scripted(t, stranger, stranger, nil); n != 3 || r.Err != nil {
			t.Errorf("%d attempts, %+v", n, r)
		}
		began := time.Now()
		r, _ := scripted(t, stranger)
		if fault.Reason(r.Err) != v1alpha1.ReasonPeerKeyMismatch || time.Since(began) < settle {
			t.Errorf("after %s: %+v", time.Since(began), r)
		}
	})
}

func TestWhileASessionTriesAgainItShowsNoReasonThatWouldEndIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{}, func() {})
		s.attempt = func(context.Context) error { return fault.New(v1alpha1.ReasonPeerKeyMismatch, "another key") }
		s.start(t.Context())
		synctest.Wait()
		if r := s.Report(); r.Ended || r.Reason != v1alpha1.ReasonWaitingForPeer || r.Message == "" {
			t.Errorf("%+v", r)
		}
		<-s.Done()
	})
}

func TestAnOfferEndsTheRestOfASessionThatReachedNobodyAndNoOther(t *testing.T) {
	for reason, want := range map[string]time.Duration{
		v1alpha1.ReasonPeerUnreachable:    minPause,
		v1alpha1.ReasonConnectionLost:     minPause,
		v1alpha1.ReasonWaitingForPeer:     minPause,
		v1alpha1.ReasonWaitingForMountPod: 15 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{}, func() {})
			mine, _ := net.Pipe()
			s.offers.take(mine, func() {})
			began := time.Now()
			s.waitBetween(t.Context(), reason, 15*time.Second)
			if took := time.Since(began); took != want {
				t.Errorf("after %s it rests for %s, want %s", reason, took, want)
			}
			if s.offers.next(t.Context(), 0) != mine {
				t.Errorf("after %s the next attempt does not find the offer", reason)
			}
		})
	}
}

func TestAStoppedSessionEndsWithTheCauseWhateverTheAttemptSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{}, func() {})
		s.attempt = func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("some descriptor was closed")
		}
		s.start(t.Context())
		s.Stop(fault.New(v1alpha1.ReasonWaitingForMountPod, "the pod is gone"))
		<-s.Done()
		if r := s.Report(); r.Reason != v1alpha1.ReasonWaitingForMountPod || !r.Ended {
			t.Errorf("%+v", r)
		}
	})
}

func TestAPanicEndsItsSessionAsInternal(t *testing.T) {
	s := newSession(&Env{Log: slog.New(slog.DiscardHandler)}, Job{}, func() {})
	s.attempt = func(context.Context) error { panic("malformed") }
	s.start(t.Context())
	<-s.Done()
	if r := s.Report(); r.Reason != v1alpha1.ReasonInternal || !r.Ended {
		t.Errorf("%+v", r)
	}
}

func TestEveryReasonOfTheEngineHasOneOfTheAPI(t *testing.T) {
	want := map[ship.Reason]string{
		shipfault.TargetFull: "TargetFull", shipfault.TargetUnsupported: "TargetUnsupported", shipfault.TargetTooSmall: "TargetTooSmall",
		shipfault.TargetUnwritable: "TargetUnsupported", shipfault.Unreadable: "Unreadable", shipfault.SpecialFileRefused: "SpecialFileRefused",
		shipfault.SourceChanged: "SourceChanged", shipfault.DigestMismatch: "DigestMismatch", shipfault.PeerVersionMismatch: "PeerVersionMismatch",
		shipfault.PeerRejected: "PeerRejected", shipfault.StateCorrupt: "StateCorrupt", shipfault.StateBusy: "Queued", shipfault.StateFull: "Internal",
		shipfault.PartiallyApplied: "StateCorrupt", shipfault.Refused: "NotExclusive", shipfault.ConnectionLost: "ConnectionLost", shipfault.Cancelled: "ConnectionLost", shipfault.Internal: "Internal",
	}
	for _, r := range shipfault.All() {
		err := shipFault(shipfault.New(r, "it happened"))
		if got := fault.Reason(err); got != want[r] {
			t.Errorf("%s becomes %s, want %s", r, got, want[r])
		}
	}
	ours := fault.New(v1alpha1.ReasonNotExclusive, "pod app")
	if got := fault.Reason(shipFault(shipfault.Wrap(shipfault.ConnectionLost, ours, "dial"))); got != v1alpha1.ReasonNotExclusive {
		t.Errorf("an error of ours that came back through the engine is %s", got)
	}
}

func TestFailuresOfAnAuthenticationHaveTheirReasons(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{link.ErrWrongKey, v1alpha1.ReasonPeerKeyMismatch},
		{link.ErrWrongUID, v1alpha1.ReasonPeerRejected},
		{link.ErrWrongRole, v1alpha1.ReasonPeerRejected},
		{link.ErrGreeting, v1alpha1.ReasonPeerRejected},
		{link.ErrVersion, v1alpha1.ReasonPeerVersionMismatch},
		{link.ErrWrongSync, v1alpha1.ReasonWaitingForPeer},
		{io.EOF, v1alpha1.ReasonWaitingForPeer},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, v1alpha1.ReasonWaitingForPeer},
		{errors.New("timeout"), v1alpha1.ReasonPeerUnreachable},
	} {
		if got := fault.Reason(linkFault(c.err, "192.0.2.1:1")); got != c.want {
			t.Errorf("%v becomes %s, want %s", c.err, got, c.want)
		}
	}
}

func TestOfSeveralAddressesTheOneThatSaysMostCounts(t *testing.T) {
	gone := fault.New(v1alpha1.ReasonPeerUnreachable, "refused")
	if got := fault.Reason(combine([]error{gone, fault.New(v1alpha1.ReasonPeerKeyMismatch, "key"), gone})); got != v1alpha1.ReasonPeerKeyMismatch {
		t.Errorf("reason %s", got)
	}
	if got := fault.Reason(combine([]error{gone, gone})); got != v1alpha1.ReasonPeerUnreachable {
		t.Errorf("reason %s", got)
	}
}

func TestANameThatResolvesToTheNodeItselfIsNotConnectedTo(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := &authz.Grant{Hosts: []string{"localhost"}, CIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	to, err := g.Dial(net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dialRaw(t.Context(), to, func() {})
	if err == nil {
		_ = conn.Close()
	}
	if fault.Reason(err) != v1alpha1.ReasonAddressNotAllowed {
		t.Errorf("%v", err)
	}
}

func TestASyncHasTheSameNameOnBothEndsAndNoOtherHasIt(t *testing.T) {
	shipment := func(role v1alpha1.Role, own, peer string, number int64) *v1alpha1.VolumeShipment {
		s := &v1alpha1.VolumeShipment{}
		s.UID, s.Spec.Role, s.Spec.Peer.ShipmentUID, s.Spec.Sync = types.UID(own), role, peer, number
		return s
	}
	send, receive := v1alpha1.RoleSend, v1alpha1.RoleReceive
	name := syncID(shipment(send, "a", "b", 1))
	if got := syncID(shipment(receive, "b", "a", 1)); got != name {
		t.Errorf("the ends call it %d and %d", name, got)
	}
	for _, other := range []*v1alpha1.VolumeShipment{
		shipment(send, "a", "b", 2), shipment(send, "a", "c", 1), shipment(send, "c", "b", 1),
		shipment(receive, "a", "b", 1), shipment(send, "a\x00b", "", 1),
	} {
		if syncID(other) == name {
			t.Errorf("%+v has the name, too", other.Spec)
		}
	}
}
