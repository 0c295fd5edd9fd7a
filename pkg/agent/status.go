// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// observation is what the agent knows about a shipment when it writes its status.
type observation struct {
	node string
	// refused is why the volume cannot be reached; nil when it can.
	refused error
	mnt     *authz.Mount
	// shared is why the volume is not exclusive; nil when it is.
	shared    error
	keySHA256 string
	addresses []string
	// report of the session of spec.sync; nil when there is none.
	report *session.Report
}

// released says whether the shipment is given up: the way to the volume is gone.
// A volume that is there and must not be touched is kept, to say why.
func (o *observation) released() bool {
	if o.refused == nil {
		return false
	}
	r := fault.Reason(o.refused)
	return r == v1alpha1.ReasonWaitingForMountPod || r == v1alpha1.ReasonMountPodInvalid
}

// nextStatus is the status that follows from an observation. It is pure: the
// times of conditions come from now.
func nextStatus(s *v1alpha1.VolumeShipment, o *observation, now time.Time) v1alpha1.VolumeShipmentStatus {
	out := *s.Status.DeepCopy()
	out.ObservedGeneration = s.Generation
	w := &writer{status: &out, number: s.Generation, now: metav1.NewTime(now)}
	w.claim(o)
	if o.released() && !ended(s) {
		w.begin(s, v1alpha1.ReasonWaitingForMountPod)
		w.pending(v1alpha1.ReasonWaitingForMountPod, fault.Message(o.refused))
	}
	if o.refused == nil && o.report == nil && !hasPeer(s) && !ended(s) {
		w.begin(s, v1alpha1.ReasonWaitingForPeer)
		w.pending(v1alpha1.ReasonWaitingForPeer, "the shipment and key of the peer are not set yet")
	}
	if o.report != nil && o.report.Job.Sync == s.Spec.Sync {
		w.begin(s, o.report.Reason)
		w.statistics(o.report)
		w.progress(s, o.report)
		w.consistent(o.report)
	}
	return out
}

type writer struct {
	status *v1alpha1.VolumeShipmentStatus
	number int64
	now    metav1.Time
}

func (w *writer) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&w.status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: w.number, LastTransitionTime: w.now,
	})
}

// claim says who serves the shipment, and how it is reached.
func (w *writer) claim(o *observation) {
	switch {
	case o.released():
		w.status.NodeName, w.status.Endpoint = "", nil
		w.set(v1alpha1.ShipmentAssigned, metav1.ConditionFalse, v1alpha1.ReasonWaitingForMountPod, fault.Message(o.refused))
		meta.RemoveStatusCondition(&w.status.Conditions, v1alpha1.ShipmentExclusive)
		return
	case o.refused != nil:
		w.status.NodeName, w.status.Endpoint = o.node, nil
		w.set(v1alpha1.ShipmentAssigned, metav1.ConditionFalse, fault.Reason(o.refused), fault.Message(o.refused))
		meta.RemoveStatusCondition(&w.status.Conditions, v1alpha1.ShipmentExclusive)
		return
	}
	w.status.NodeName = o.node
	w.status.Endpoint = &v1alpha1.ShipmentEndpoint{KeySHA256: o.keySHA256, PodUID: string(o.mnt.PodUID), Addresses: o.addresses}
	w.set(v1alpha1.ShipmentAssigned, metav1.ConditionTrue, v1alpha1.ReasonAssigned, "")
	if o.shared != nil {
		w.set(v1alpha1.ShipmentExclusive, metav1.ConditionFalse, v1alpha1.ReasonNotExclusive, fault.Message(o.shared))
	} else {
		w.set(v1alpha1.ShipmentExclusive, metav1.ConditionTrue, v1alpha1.ReasonExclusive, "")
	}
}

// begin clears what was about an earlier generation.
func (w *writer) begin(s *v1alpha1.VolumeShipment, reason string) {
	if w.status.ActiveSync == s.Spec.Sync {
		return
	}
	w.status.ActiveSync = s.Spec.Sync
	// How much there was is the best guess of how much there is.
	w.status.Statistics = v1alpha1.ShipmentStatistics{TotalBytes: w.status.Statistics.TotalBytes}
	w.pending(reason, "")
}

// goesOn says that the generation has not ended, and what it waits for.
func (w *writer) pending(reason, message string) {
	w.set(v1alpha1.ShipmentShipped, metav1.ConditionUnknown, reason, message)
	w.set(v1alpha1.ShipmentVerified, metav1.ConditionUnknown, reason, "")
}

func (w *writer) statistics(r *session.Report) {
	f := &w.status.Statistics
	f.Entries, f.ChangedEntries = r.Statistics.Entries, r.Statistics.ChangedDuringRead
	f.ScannedBytes, f.ReadBytes = r.Statistics.ScannedBytes, r.Statistics.ReadBytes
	f.SentBytes, f.WireBytes = r.Statistics.SentBytes, r.Statistics.WireBytes
	f.ChangedBytes = r.Statistics.SentBytes
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
		w.pending(r.Reason, r.Message)
	case r.Err != nil:
		w.set(v1alpha1.ShipmentShipped, metav1.ConditionFalse, r.Reason, r.Message)
		w.set(v1alpha1.ShipmentVerified, metav1.ConditionFalse, r.Reason, "")
	default:
		w.shipped(s, r)
	}
}

func (w *writer) shipped(s *v1alpha1.VolumeShipment, r *session.Report) {
	w.status.ShippedSync = s.Spec.Sync
	w.set(v1alpha1.ShipmentShipped, metav1.ConditionTrue, v1alpha1.ReasonShipped, "")
	if !r.Result.Verified {
		w.set(v1alpha1.ShipmentVerified, metav1.ConditionFalse, v1alpha1.ReasonSourceChanged, changedMessage(r))
		return
	}
	w.status.VerifiedSync = s.Spec.Sync
	w.status.Digest = r.Result.Digest
	w.status.Consistency = consistency(s.Spec.CopyMethod)
	w.set(v1alpha1.ShipmentVerified, metav1.ConditionTrue, v1alpha1.ReasonVerified, "")
}

// consistent sets the condition Consistent as soon as it is known whether the target
// is between two syncs. Before the first sync is applied, an untouched target has none.
func (w *writer) consistent(r *session.Report) {
	switch {
	case r.PartiallyApplied == nil:
	case *r.PartiallyApplied:
		w.set(v1alpha1.ShipmentConsistent, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied,
			fmt.Sprintf("sync %d is partially applied; repeat the migration before anything starts on the volume", r.Job.Sync))
	case w.status.VerifiedSync != 0, meta.FindStatusCondition(w.status.Conditions, v1alpha1.ShipmentConsistent) != nil:
		w.set(v1alpha1.ShipmentConsistent, metav1.ConditionTrue, v1alpha1.ReasonConsistent, "")
	}
}

// consistency is the consistency of a sync by its copy method.
func consistency(v v1alpha1.CopyMethod) string {
	if v == v1alpha1.CopyMethodSnapshot {
		return "CrashConsistent"
	}
	return string(v)
}

// ended says whether nothing more comes of the generation that is asked for.
func ended(s *v1alpha1.VolumeShipment) bool {
	if s.Spec.Sync == 0 {
		return true // nothing is asked for yet
	}
	if s.Status.ActiveSync != s.Spec.Sync {
		return false
	}
	for _, kind := range []string{v1alpha1.ShipmentShipped, v1alpha1.ShipmentVerified} {
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
	// statisticsOnly may wait until statusPeriod has passed since the last write.
	statisticsOnly
	// news is written at once.
	news
)

func compare(old, now *v1alpha1.VolumeShipmentStatus) change {
	if equality.Semantic.DeepEqual(old, now) {
		return same
	}
	a, b := old.DeepCopy(), now.DeepCopy()
	for _, s := range []*v1alpha1.VolumeShipmentStatus{a, b} {
		s.Statistics = v1alpha1.ShipmentStatistics{}
		s.ObservedGeneration = 0
		for i := range s.Conditions {
			s.Conditions[i].Message, s.Conditions[i].ObservedGeneration = "", 0
		}
	}
	if equality.Semantic.DeepEqual(a, b) {
		return statisticsOnly
	}
	return news
}

func changedMessage(r *session.Report) string {
	return fault.Printable(fmt.Sprintf("%d entries changed during read, first %q; the next sync sends the changes", r.Statistics.ChangedDuringRead, r.Statistics.FirstChangedPath))
}
