// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/check"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// observation is what the agent knows about a shipment when it writes its status.
type observation struct {
	node string
	// refused is why the volume cannot be reached; nil when it can.
	refused error
	seat    *check.Seat
	// shared is why the volume is not exclusive; nil when it is.
	shared    error
	keySHA256 string
	addresses []string
	// report of the session of spec.generation; nil when there is none.
	report *session.Report
}

// released says whether the shipment is given up: the way to the volume is gone.
// A volume that is there and must not be touched is kept, to say why.
func (o *observation) released() bool {
	if o.refused == nil {
		return false
	}
	r := fault.Reason(o.refused)
	return r == v1alpha1.ReasonWaitingForHolder || r == v1alpha1.ReasonHolderInvalid
}

// nextStatus is the status that follows from an observation. It is pure: the
// times of conditions come from now.
func nextStatus(s *v1alpha1.VolumeShipment, o *observation, now time.Time) v1alpha1.VolumeShipmentStatus {
	out := *s.Status.DeepCopy()
	out.ObservedGeneration = s.Generation
	w := &writer{status: &out, generation: s.Generation, now: metav1.NewTime(now)}
	w.claim(o)
	if o.released() && !ended(s) {
		w.begin(s, v1alpha1.ReasonWaitingForHolder)
		w.goesOn(v1alpha1.ReasonWaitingForHolder, fault.Message(o.refused))
	}
	if o.refused == nil && o.report == nil && !introduced(s) && !ended(s) {
		w.begin(s, v1alpha1.ReasonWaitingForPeer)
		w.goesOn(v1alpha1.ReasonWaitingForPeer, "the peer's shipment and key are not known")
	}
	if o.report != nil && o.report.Job.Generation == s.Spec.Generation {
		w.begin(s, o.report.Reason)
		w.figures(o.report)
		w.torn(o.report)
		w.progress(s, o.report)
	}
	return out
}

type writer struct {
	status     *v1alpha1.VolumeShipmentStatus
	generation int64
	now        metav1.Time
}

func (w *writer) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&w.status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: w.generation, LastTransitionTime: w.now,
	})
}

// claim says who serves the shipment, and how it is reached.
func (w *writer) claim(o *observation) {
	switch {
	case o.released():
		w.status.NodeName, w.status.Endpoint = "", nil
		w.set(v1alpha1.ShipmentClaimed, metav1.ConditionFalse, v1alpha1.ReasonWaitingForHolder, fault.Message(o.refused))
		meta.RemoveStatusCondition(&w.status.Conditions, v1alpha1.ShipmentExclusive)
		return
	case o.refused != nil:
		w.status.NodeName, w.status.Endpoint = o.node, nil
		w.set(v1alpha1.ShipmentClaimed, metav1.ConditionFalse, fault.Reason(o.refused), fault.Message(o.refused))
		meta.RemoveStatusCondition(&w.status.Conditions, v1alpha1.ShipmentExclusive)
		return
	}
	w.status.NodeName = o.node
	w.status.Endpoint = &v1alpha1.ShipmentEndpoint{KeySHA256: o.keySHA256, PodUID: string(o.seat.PodUID), Addresses: o.addresses}
	w.set(v1alpha1.ShipmentClaimed, metav1.ConditionTrue, v1alpha1.ReasonClaimed, "")
	if o.shared != nil {
		w.set(v1alpha1.ShipmentExclusive, metav1.ConditionFalse, v1alpha1.ReasonNotExclusive, fault.Message(o.shared))
	} else {
		w.set(v1alpha1.ShipmentExclusive, metav1.ConditionTrue, v1alpha1.ReasonExclusive, "")
	}
}

// begin clears what was about an earlier generation.
func (w *writer) begin(s *v1alpha1.VolumeShipment, reason string) {
	if w.status.ActiveGeneration == s.Spec.Generation {
		return
	}
	w.status.ActiveGeneration = s.Spec.Generation
	// How much there was is the best guess of how much there is.
	w.status.Figures = v1alpha1.ShipmentFigures{TotalBytes: w.status.Figures.TotalBytes}
	w.goesOn(reason, "")
}

// goesOn says that the generation has not ended, and what it waits for.
func (w *writer) goesOn(reason, message string) {
	w.set(v1alpha1.ShipmentShipped, metav1.ConditionUnknown, reason, message)
	w.set(v1alpha1.ShipmentPromoted, metav1.ConditionUnknown, reason, "")
}

func (w *writer) figures(r *session.Report) {
	f := &w.status.Figures
	f.Entries, f.MovedEntries = r.Figures.Entries, r.Figures.Moved
	f.ScannedBytes, f.ReadBytes = r.Figures.ScannedBytes, r.Figures.ReadBytes
	f.SentBytes, f.WireBytes = r.Figures.SentBytes, r.Figures.WireBytes
	f.ChangedBytes = r.Figures.SentBytes
	f.TotalBytes = max(f.TotalBytes, r.Total, f.ScannedBytes)
	if r.Ended && r.Err == nil {
		f.TotalBytes = f.ScannedBytes
	}
	if f.StartTime == nil && !r.Started.IsZero() {
		t := metav1.NewTime(r.Started)
		f.StartTime = &t
	}
	if r.Ended && f.CompletionTime == nil {
		t := metav1.NewTime(r.Completed)
		f.CompletionTime = &t
	}
}

// progress says how the generation stands. Unknown means that it goes on, with
// the reason of the moment; True and False are for good.
func (w *writer) progress(s *v1alpha1.VolumeShipment, r *session.Report) {
	switch {
	case !r.Ended, r.Err != nil && fault.Retryable(r.Reason):
		w.goesOn(r.Reason, r.Message)
	case r.Err != nil:
		w.set(v1alpha1.ShipmentShipped, metav1.ConditionFalse, r.Reason, r.Message)
		w.set(v1alpha1.ShipmentPromoted, metav1.ConditionFalse, r.Reason, "")
	default:
		w.shipped(s, r)
	}
}

func (w *writer) shipped(s *v1alpha1.VolumeShipment, r *session.Report) {
	w.status.ShippedGeneration = s.Spec.Generation
	w.set(v1alpha1.ShipmentShipped, metav1.ConditionTrue, v1alpha1.ReasonShipped, "")
	if !r.Result.Promoted {
		w.set(v1alpha1.ShipmentPromoted, metav1.ConditionFalse, v1alpha1.ReasonSourceMoved, movedMessage(r))
		return
	}
	w.status.PromotedGeneration = s.Spec.Generation
	w.status.Digest = r.Result.Digest
	w.status.Consistency = consistency(s.Spec.View)
	w.set(v1alpha1.ShipmentPromoted, metav1.ConditionTrue, v1alpha1.ReasonPromoted, "")
}

// torn says whether the target is between two generations, as soon as that is known.
func (w *writer) torn(r *session.Report) {
	if r.Torn == nil {
		return
	}
	w.status.Applying = nil
	if *r.Torn {
		g := r.Job.Generation
		w.status.Applying = &g
	}
}

// consistency is what a generation is worth by its view.
func consistency(v v1alpha1.View) string {
	if v == v1alpha1.ViewSnapshot {
		return "CrashConsistent"
	}
	return string(v)
}

// ended says whether nothing more comes of the generation that is asked for.
func ended(s *v1alpha1.VolumeShipment) bool {
	if s.Spec.Generation == 0 {
		return true // nothing is asked for yet
	}
	if s.Status.ActiveGeneration != s.Spec.Generation {
		return false
	}
	for _, kind := range []string{v1alpha1.ShipmentShipped, v1alpha1.ShipmentPromoted} {
		c := meta.FindStatusCondition(s.Status.Conditions, kind)
		if c == nil || c.Status == metav1.ConditionUnknown {
			return false
		}
	}
	return true
}

// change says how much two statuses differ.
type change int

const (
	same change = iota
	// figuresOnly may wait until statusPeriod has passed since the last write.
	figuresOnly
	// news is written at once.
	news
)

func compare(old, now *v1alpha1.VolumeShipmentStatus) change {
	if equality.Semantic.DeepEqual(old, now) {
		return same
	}
	a, b := old.DeepCopy(), now.DeepCopy()
	for _, s := range []*v1alpha1.VolumeShipmentStatus{a, b} {
		s.Figures = v1alpha1.ShipmentFigures{}
		s.ObservedGeneration = 0
		for i := range s.Conditions {
			s.Conditions[i].Message, s.Conditions[i].ObservedGeneration = "", 0
		}
	}
	if equality.Semantic.DeepEqual(a, b) {
		return figuresOnly
	}
	return news
}

func movedMessage(r *session.Report) string {
	return fault.Printable(fmt.Sprintf("%d entries moved while they were read, first %q; the next generation sends what changed", r.Figures.Moved, r.Figures.MovedPath))
}
