// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// asked is a shipment that was asked for a generation.
func asked(number int64, method v1alpha1.CopyMethod) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "data-send", UID: "u", Generation: 7}}
	s.Spec.Role, s.Spec.Sync, s.Spec.CopyMethod = v1alpha1.RoleSend, number, method
	s.Status.NodeName = "node-1"
	return s
}

func reachable() *observation {
	return &observation{node: "node-1", mnt: &authz.Mount{PodUID: "pod-1"}, keySHA256: "key", addresses: []string{"192.0.2.1:30000"}}
}

func working(s *v1alpha1.VolumeShipment, change func(*session.Report)) *observation {
	o := reachable()
	o.report = &session.Report{Job: session.JobOf(s), Reason: v1alpha1.ReasonShipping}
	if change != nil {
		change(o.report)
	}
	return o
}

// row is a condition in short: status and reason.
func row(s *v1alpha1.VolumeShipmentStatus, kind string) string {
	c := meta.FindStatusCondition(s.Conditions, kind)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + " " + c.Reason
}

func TestConditionsSayHowASyncStands(t *testing.T) {
	end := func(err error) func(*session.Report) {
		return func(r *session.Report) {
			r.Ended, r.Err, r.Completed = true, err, noon
			if err != nil {
				r.Reason, r.Message = fault.Reason(err), err.Error()
			}
		}
	}
	verified := func(r *session.Report) {
		end(nil)(r)
		r.Result = ship.Result{Digest: "d1", Verified: true}
	}
	moved := func(r *session.Report) {
		end(nil)(r)
		r.Statistics = ship.Statistics{ChangedDuringRead: 3, FirstChangedPath: "pg_wal/1"}
		r.Result = ship.Result{Statistics: r.Statistics}
	}
	cases := map[string]struct {
		method            v1alpha1.CopyMethod
		report            func(*session.Report)
		shipped, verified string
		over              bool
	}{
		"in work":               {v1alpha1.CopyMethodLive, nil, "Unknown Shipping", "Unknown Shipping", false},
		"peer out of reach":     {v1alpha1.CopyMethodLive, func(r *session.Report) { r.Reason = v1alpha1.ReasonPeerUnreachable }, "Unknown PeerUnreachable", "Unknown PeerUnreachable", false},
		"verified":              {v1alpha1.CopyMethodStopped, verified, "True Shipped", "True Verified", true},
		"live, nothing moved":   {v1alpha1.CopyMethodLive, verified, "True Shipped", "True Verified", true},
		"live, entries moved":   {v1alpha1.CopyMethodLive, moved, "True Shipped", "False SourceChanged", true},
		"failed":                {v1alpha1.CopyMethodStopped, end(fault.New(v1alpha1.ReasonUnreadable, "a/b")), "False Unreadable", "False Unreadable", true},
		"failed without reason": {v1alpha1.CopyMethodStopped, end(errors.New("boom")), "False Internal", "False Internal", true},
		"stopped by a shutdown": {v1alpha1.CopyMethodLive, end(fault.New(v1alpha1.ReasonConnectionLost, "the agent is shutting down")), "Unknown ConnectionLost", "Unknown ConnectionLost", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := asked(4, c.method)
			s.Status = nextStatus(s, working(s, c.report), noon)
			if got := row(&s.Status, v1alpha1.ShipmentShipped); got != c.shipped {
				t.Errorf("Shipped %s, want %s", got, c.shipped)
			}
			if got := row(&s.Status, v1alpha1.ShipmentVerified); got != c.verified {
				t.Errorf("Verified %s, want %s", got, c.verified)
			}
			if s.Status.ActiveSync != 4 {
				t.Errorf("activeSync %d", s.Status.ActiveSync)
			}
			if ended(s) != c.over {
				t.Errorf("ended = %t", ended(s))
			}
		})
	}
}

func TestAVerifiedSyncTellsItsWorth(t *testing.T) {
	for method, want := range map[v1alpha1.CopyMethod]string{
		v1alpha1.CopyMethodStopped: "Stopped", v1alpha1.CopyMethodLive: "Live", v1alpha1.CopyMethodSnapshot: "CrashConsistent",
	} {
		s := asked(4, method)
		o := working(s, func(r *session.Report) { r.Ended, r.Result = true, ship.Result{Digest: "d1", Verified: true} })
		got := nextStatus(s, o, noon)
		if got.Consistency != want || got.Digest != "d1" || got.VerifiedSync != 4 || got.ShippedSync != 4 {
			t.Errorf("%s: %+v", method, got)
		}
	}
}

func TestAPassThatMovedLeavesTheVerifiedSyncAsItWas(t *testing.T) {
	s := asked(5, v1alpha1.CopyMethodLive)
	s.Status.VerifiedSync, s.Status.Digest, s.Status.Consistency = 3, "d3", "Stopped"
	got := nextStatus(s, working(s, func(r *session.Report) { r.Ended = true }), noon)
	if got.VerifiedSync != 3 || got.Digest != "d3" || got.Consistency != "Stopped" || got.ShippedSync != 5 {
		t.Errorf("%+v", got)
	}
}

func TestANewSyncClearsWhatWasAboutTheLast(t *testing.T) {
	s := asked(4, v1alpha1.CopyMethodLive)
	s.Status = nextStatus(s, working(s, func(r *session.Report) {
		r.Ended, r.Started, r.Completed = true, noon, noon
		r.Result.Verified, r.Statistics.SentBytes = true, 99
	}), noon)
	s.Spec.Sync = 5
	if ended(s) {
		t.Error("a generation that was never worked on has ended")
	}
	s.Status = nextStatus(s, working(s, nil), noon.Add(time.Hour))
	if s.Status.Statistics.SentBytes != 0 || s.Status.Statistics.CompletionTime != nil || row(&s.Status, v1alpha1.ShipmentVerified) != "Unknown Shipping" {
		t.Errorf("%+v", s.Status)
	}
	if s.Status.VerifiedSync != 4 {
		t.Errorf("verifiedSync %d", s.Status.VerifiedSync)
	}
}

func TestAReportOfAnotherSyncIsNotShown(t *testing.T) {
	s := asked(5, v1alpha1.CopyMethodLive)
	o := working(s, func(r *session.Report) { r.Job.Sync = 4; r.Ended = true; r.Result.Verified = true })
	if got := nextStatus(s, o, noon); got.VerifiedSync != 0 || got.ActiveSync != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAShipmentIsClaimedWithItsEndpoint(t *testing.T) {
	s := asked(0, v1alpha1.CopyMethodLive)
	s.Status = v1alpha1.VolumeShipmentStatus{}
	got := nextStatus(s, reachable(), noon)
	if got.NodeName != "node-1" || row(&got, v1alpha1.ShipmentAssigned) != "True Assigned" || row(&got, v1alpha1.ShipmentExclusive) != "True Exclusive" {
		t.Errorf("%+v", got)
	}
	if e := got.Endpoint; e == nil || e.KeySHA256 != "key" || e.PodUID != "pod-1" || len(e.Addresses) != 1 {
		t.Errorf("endpoint %+v", got.Endpoint)
	}
	if got.ObservedGeneration != 7 {
		t.Errorf("observedGeneration %d", got.ObservedGeneration)
	}
	if row(&got, v1alpha1.ShipmentShipped) != "absent" || !ended(s) {
		t.Error("generation 0 is worked on")
	}
}

func TestAShipmentWithoutAPodIsGivenUp(t *testing.T) {
	for _, reason := range []string{v1alpha1.ReasonWaitingForMountPod, v1alpha1.ReasonMountPodInvalid} {
		s := asked(4, v1alpha1.CopyMethodLive)
		s.Status = nextStatus(s, reachable(), noon)
		got := nextStatus(s, &observation{node: "node-1", refused: fault.New(reason, "the pod is gone")}, noon)
		if ended(&v1alpha1.VolumeShipment{Spec: s.Spec, Status: got}) || row(&got, v1alpha1.ShipmentShipped) != "Unknown WaitingForMountPod" {
			t.Errorf("%s ended the generation: %+v", reason, got)
		}
		if got.NodeName != "" || got.Endpoint != nil || row(&got, v1alpha1.ShipmentAssigned) != "False WaitingForMountPod" || row(&got, v1alpha1.ShipmentExclusive) != "absent" {
			t.Errorf("%s: %+v", reason, got)
		}
	}
}

func TestAVolumeThatMustNotBeTouchedIsKeptToSayWhy(t *testing.T) {
	s := asked(4, v1alpha1.CopyMethodLive)
	got := nextStatus(s, &observation{node: "node-1", refused: fault.New(v1alpha1.ReasonClaimMismatch, "another claim's volume")}, noon)
	if got.NodeName != "node-1" || got.Endpoint != nil || row(&got, v1alpha1.ShipmentAssigned) != "False ClaimMismatch" {
		t.Errorf("%+v", got)
	}
}

func TestASharedVolumeIsClaimedButNotExclusive(t *testing.T) {
	o := reachable()
	o.shared = fault.New(v1alpha1.ReasonNotExclusive, "pod app references it")
	got := nextStatus(asked(0, v1alpha1.CopyMethodLive), o, noon)
	if row(&got, v1alpha1.ShipmentAssigned) != "True Assigned" || row(&got, v1alpha1.ShipmentExclusive) != "False NotExclusive" {
		t.Errorf("%+v", got)
	}
}

func TestStatusConsistent(t *testing.T) {
	s := asked(4, v1alpha1.CopyMethodStopped)
	receive := func(partly bool, change func(*session.Report)) {
		s.Status = nextStatus(s, working(s, func(r *session.Report) {
			r.PartiallyApplied = &partly
			if change != nil {
				change(r)
			}
		}), noon)
	}
	require := func(when, want string) {
		t.Helper()
		if got := row(&s.Status, v1alpha1.ShipmentConsistent); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	receive(false, nil)
	require("nothing is applied yet", "absent")
	receive(true, func(r *session.Report) {
		r.Ended, r.Err, r.Reason = true, fault.New(v1alpha1.ReasonTargetFull, "full"), v1alpha1.ReasonTargetFull
	})
	require("the sync failed in the middle", "False PartiallyApplied")
	if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ShipmentConsistent); !strings.Contains(c.Message, "sync 4") {
		t.Errorf("the message does not name the sync: %q", c.Message)
	}
	s.Spec.Sync = 5
	s.Status = nextStatus(s, working(s, nil), noon)
	require("the next sync begins", "False PartiallyApplied")
	receive(false, func(r *session.Report) { r.Ended, r.Result.Verified = true, true })
	require("the next sync is applied", "True Consistent")
}

func TestOnlyNewsIsWrittenAtOnce(t *testing.T) {
	s := asked(4, v1alpha1.CopyMethodLive)
	first := nextStatus(s, working(s, nil), noon)
	statistics := nextStatus(&v1alpha1.VolumeShipment{ObjectMeta: s.ObjectMeta, Spec: s.Spec, Status: first},
		working(s, func(r *session.Report) { r.Statistics.SentBytes = 10; r.Message = "3 of 4" }), noon.Add(time.Second))
	reason := nextStatus(&v1alpha1.VolumeShipment{ObjectMeta: s.ObjectMeta, Spec: s.Spec, Status: first},
		working(s, func(r *session.Report) { r.Reason = v1alpha1.ReasonConnectionLost }), noon.Add(time.Second))
	for name, c := range map[string]struct {
		next v1alpha1.VolumeShipmentStatus
		want change
	}{"nothing": {*first.DeepCopy(), same}, "figures": {statistics, statisticsOnly}, "reason": {reason, news}} {
		if got := compare(&first, &c.next); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAShipmentWhoseEndsAreNotIntroducedSaysWhatItWaitsFor(t *testing.T) {
	s := &v1alpha1.VolumeShipment{}
	s.Spec.Sync = 3
	o := &observation{node: "n", mnt: &authz.Mount{}}
	got := nextStatus(s, o, time.Now())
	c := meta.FindStatusCondition(got.Conditions, v1alpha1.ShipmentShipped)
	if got.ActiveSync != 3 || c == nil || c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonWaitingForPeer {
		t.Errorf("not introduced: generation %d, %+v", got.ActiveSync, c)
	}
	s.Spec.Peer.ShipmentUID, s.Spec.Peer.KeySHA256 = "u", "k"
	if got := nextStatus(s, o, time.Now()); got.ActiveSync != 0 {
		t.Errorf("introduced, and no session yet: generation %d", got.ActiveSync)
	}
}
