// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/check"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// asked is a shipment that was asked for a generation.
func asked(generation int64, view v1alpha1.View) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "data-send", UID: "u", Generation: 7}}
	s.Spec.Role, s.Spec.Generation, s.Spec.View = v1alpha1.RoleSend, generation, view
	s.Status.NodeName = "node-1"
	return s
}

func reachable() *observation {
	return &observation{node: "node-1", seat: &check.Seat{PodUID: "pod-1"}, keySHA256: "key", addresses: []string{"192.0.2.1:30000"}}
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

func TestConditionsSayHowAGenerationStands(t *testing.T) {
	end := func(err error) func(*session.Report) {
		return func(r *session.Report) {
			r.Ended, r.Err, r.Completed = true, err, noon
			if err != nil {
				r.Reason, r.Message = fault.Reason(err), err.Error()
			}
		}
	}
	promoted := func(r *session.Report) {
		end(nil)(r)
		r.Result = ship.Result{Digest: "d1", Promoted: true}
	}
	moved := func(r *session.Report) {
		end(nil)(r)
		r.Figures = ship.Figures{Moved: 3, MovedPath: "pg_wal/1"}
		r.Result = ship.Result{Figures: r.Figures}
	}
	cases := map[string]struct {
		view              v1alpha1.View
		report            func(*session.Report)
		shipped, promoted string
		over              bool
	}{
		"in work":               {v1alpha1.ViewLive, nil, "Unknown Shipping", "Unknown Shipping", false},
		"peer out of reach":     {v1alpha1.ViewLive, func(r *session.Report) { r.Reason = v1alpha1.ReasonPeerUnreachable }, "Unknown PeerUnreachable", "Unknown PeerUnreachable", false},
		"promoted":              {v1alpha1.ViewStopped, promoted, "True Shipped", "True Promoted", true},
		"live, nothing moved":   {v1alpha1.ViewLive, promoted, "True Shipped", "True Promoted", true},
		"live, entries moved":   {v1alpha1.ViewLive, moved, "True Shipped", "False SourceMoved", true},
		"failed":                {v1alpha1.ViewStopped, end(fault.New(v1alpha1.ReasonUnreadable, "a/b")), "False Unreadable", "False Unreadable", true},
		"failed without reason": {v1alpha1.ViewStopped, end(errors.New("boom")), "False Internal", "False Internal", true},
		"stopped by a shutdown": {v1alpha1.ViewLive, end(fault.New(v1alpha1.ReasonConnectionLost, "the agent stops")), "Unknown ConnectionLost", "Unknown ConnectionLost", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := asked(4, c.view)
			s.Status = nextStatus(s, working(s, c.report), noon)
			if got := row(&s.Status, v1alpha1.ShipmentShipped); got != c.shipped {
				t.Errorf("Shipped %s, want %s", got, c.shipped)
			}
			if got := row(&s.Status, v1alpha1.ShipmentPromoted); got != c.promoted {
				t.Errorf("Promoted %s, want %s", got, c.promoted)
			}
			if s.Status.ActiveGeneration != 4 {
				t.Errorf("activeGeneration %d", s.Status.ActiveGeneration)
			}
			if ended(s) != c.over {
				t.Errorf("ended = %t", ended(s))
			}
		})
	}
}

func TestAPromotedGenerationTellsItsWorth(t *testing.T) {
	for view, want := range map[v1alpha1.View]string{
		v1alpha1.ViewStopped: "Stopped", v1alpha1.ViewLive: "Live", v1alpha1.ViewSnapshot: "CrashConsistent",
	} {
		s := asked(4, view)
		o := working(s, func(r *session.Report) { r.Ended, r.Result = true, ship.Result{Digest: "d1", Promoted: true} })
		got := nextStatus(s, o, noon)
		if got.Consistency != want || got.Digest != "d1" || got.PromotedGeneration != 4 || got.ShippedGeneration != 4 {
			t.Errorf("%s: %+v", view, got)
		}
	}
}

func TestAPassThatMovedLeavesThePromotedGenerationAsItWas(t *testing.T) {
	s := asked(5, v1alpha1.ViewLive)
	s.Status.PromotedGeneration, s.Status.Digest, s.Status.Consistency = 3, "d3", "Stopped"
	got := nextStatus(s, working(s, func(r *session.Report) { r.Ended = true }), noon)
	if got.PromotedGeneration != 3 || got.Digest != "d3" || got.Consistency != "Stopped" || got.ShippedGeneration != 5 {
		t.Errorf("%+v", got)
	}
}

func TestANewGenerationClearsWhatWasAboutTheLast(t *testing.T) {
	s := asked(4, v1alpha1.ViewLive)
	s.Status = nextStatus(s, working(s, func(r *session.Report) {
		r.Ended, r.Started, r.Completed = true, noon, noon
		r.Result.Promoted, r.Figures.SentBytes = true, 99
	}), noon)
	s.Spec.Generation = 5
	if ended(s) {
		t.Error("a generation that was never worked on has ended")
	}
	s.Status = nextStatus(s, working(s, nil), noon.Add(time.Hour))
	if s.Status.Figures.SentBytes != 0 || s.Status.Figures.CompletionTime != nil || row(&s.Status, v1alpha1.ShipmentPromoted) != "Unknown Shipping" {
		t.Errorf("%+v", s.Status)
	}
	if s.Status.PromotedGeneration != 4 {
		t.Errorf("promotedGeneration %d", s.Status.PromotedGeneration)
	}
}

func TestAReportOfAnotherGenerationIsNotShown(t *testing.T) {
	s := asked(5, v1alpha1.ViewLive)
	o := working(s, func(r *session.Report) { r.Job.Generation = 4; r.Ended = true; r.Result.Promoted = true })
	if got := nextStatus(s, o, noon); got.PromotedGeneration != 0 || got.ActiveGeneration != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAShipmentIsClaimedWithItsEndpoint(t *testing.T) {
	s := asked(0, v1alpha1.ViewLive)
	s.Status = v1alpha1.VolumeShipmentStatus{}
	got := nextStatus(s, reachable(), noon)
	if got.NodeName != "node-1" || row(&got, v1alpha1.ShipmentClaimed) != "True Claimed" || row(&got, v1alpha1.ShipmentExclusive) != "True Exclusive" {
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
	for _, reason := range []string{v1alpha1.ReasonWaitingForHolder, v1alpha1.ReasonHolderInvalid} {
		s := asked(4, v1alpha1.ViewLive)
		s.Status = nextStatus(s, reachable(), noon)
		got := nextStatus(s, &observation{node: "node-1", refused: fault.New(reason, "the pod is gone")}, noon)
		if ended(&v1alpha1.VolumeShipment{Spec: s.Spec, Status: got}) || row(&got, v1alpha1.ShipmentShipped) != "Unknown WaitingForHolder" {
			t.Errorf("%s ended the generation: %+v", reason, got)
		}
		if got.NodeName != "" || got.Endpoint != nil || row(&got, v1alpha1.ShipmentClaimed) != "False WaitingForHolder" || row(&got, v1alpha1.ShipmentExclusive) != "absent" {
			t.Errorf("%s: %+v", reason, got)
		}
	}
}

func TestAVolumeThatMustNotBeTouchedIsKeptToSayWhy(t *testing.T) {
	s := asked(4, v1alpha1.ViewLive)
	got := nextStatus(s, &observation{node: "node-1", refused: fault.New(v1alpha1.ReasonClaimMismatch, "another claim's volume")}, noon)
	if got.NodeName != "node-1" || got.Endpoint != nil || row(&got, v1alpha1.ShipmentClaimed) != "False ClaimMismatch" {
		t.Errorf("%+v", got)
	}
}

func TestASharedVolumeIsClaimedButNotExclusive(t *testing.T) {
	o := reachable()
	o.shared = fault.New(v1alpha1.ReasonNotExclusive, "pod app references it")
	got := nextStatus(asked(0, v1alpha1.ViewLive), o, noon)
	if row(&got, v1alpha1.ShipmentClaimed) != "True Claimed" || row(&got, v1alpha1.ShipmentExclusive) != "False NotExclusive" {
		t.Errorf("%+v", got)
	}
}

func TestATornTargetIsShownUntilItIsWhole(t *testing.T) {
	s := asked(4, v1alpha1.ViewStopped)
	s.Status = nextStatus(s, working(s, func(r *session.Report) {
		r.Ended, r.Torn, r.Err, r.Reason = true, new(true), fault.New(v1alpha1.ReasonTargetFull, "full"), v1alpha1.ReasonTargetFull
	}), noon)
	if s.Status.Applying == nil || *s.Status.Applying != 4 {
		t.Errorf("applying %v", s.Status.Applying)
	}
	s.Spec.Generation = 5
	s.Status = nextStatus(s, working(s, nil), noon)
	if s.Status.Applying == nil {
		t.Error("the target is torn still")
	}
	s.Status = nextStatus(s, working(s, func(r *session.Report) { r.Ended, r.Torn, r.Result.Promoted = true, new(false), true }), noon)
	if s.Status.Applying != nil {
		t.Errorf("applying %d", *s.Status.Applying)
	}
}

func TestOnlyNewsIsWrittenAtOnce(t *testing.T) {
	s := asked(4, v1alpha1.ViewLive)
	first := nextStatus(s, working(s, nil), noon)
	figures := nextStatus(&v1alpha1.VolumeShipment{ObjectMeta: s.ObjectMeta, Spec: s.Spec, Status: first},
		working(s, func(r *session.Report) { r.Figures.SentBytes = 10; r.Message = "3 of 4" }), noon.Add(time.Second))
	reason := nextStatus(&v1alpha1.VolumeShipment{ObjectMeta: s.ObjectMeta, Spec: s.Spec, Status: first},
		working(s, func(r *session.Report) { r.Reason = v1alpha1.ReasonConnectionLost }), noon.Add(time.Second))
	for name, c := range map[string]struct {
		next v1alpha1.VolumeShipmentStatus
		want change
	}{"nothing": {*first.DeepCopy(), same}, "figures": {figures, figuresOnly}, "reason": {reason, news}} {
		if got := compare(&first, &c.next); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAShipmentWhoseEndsAreNotIntroducedSaysWhatItWaitsFor(t *testing.T) {
	s := &v1alpha1.VolumeShipment{}
	s.Spec.Generation = 3
	o := &observation{node: "n", seat: &check.Seat{}}
	got := nextStatus(s, o, time.Now())
	c := meta.FindStatusCondition(got.Conditions, v1alpha1.ShipmentShipped)
	if got.ActiveGeneration != 3 || c == nil || c.Status != metav1.ConditionUnknown || c.Reason != v1alpha1.ReasonWaitingForPeer {
		t.Errorf("not introduced: generation %d, %+v", got.ActiveGeneration, c)
	}
	s.Spec.Peer.ShipmentUID, s.Spec.Peer.KeySHA256 = "u", "k"
	if got := nextStatus(s, o, time.Now()); got.ActiveGeneration != 0 {
		t.Errorf("introduced, and no session yet: generation %d", got.ActiveGeneration)
	}
}
