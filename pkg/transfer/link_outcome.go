// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// Outcome is where a generation stands.
type Outcome struct {
	// Ended: nothing more comes of this generation.
	Ended bool
	// Verified: both ends agree on what is on the target.
	Verified bool
	// Shipped: every byte arrived, although the sync may not be verifiable.
	Shipped bool
	// Early: it ended by the receiver's word, and the sender, which alone knows what was
	// read and what changed, has not finished. The statistics are not complete yet.
	Early bool
	// Reason and Message of the shipment's closed set when the generation
	// failed, cannot be verified, or waits.
	Reason, Message string
	Statistics      v1alpha1.ShipmentStatistics
	Digest          string
	Consistency     string
}

// OutcomeOf reads the statuses of both ends for one generation.
//
// A generation is verified when both say so: the receiver has the bytes, and the
// sender knows whether anybody could write while it read them. A target that is
// partially applied is not verified. A failure that
// either end reports as final ends the generation.
func OutcomeOf(p Pair, number int64) Outcome {
	o := Outcome{Statistics: statistics(p, number)}
	r, s := p.Receive, p.Send
	for _, end := range []*v1alpha1.VolumeShipment{r, s} {
		if end.Status.ActiveSync != number {
			continue
		}
		shipped, verified := condition(end, v1alpha1.ShipmentShipped), condition(end, v1alpha1.ShipmentVerified)
		switch {
		case shipped.Status == metav1.ConditionTrue && verified.Status == metav1.ConditionFalse && Final(verified.Reason):
			o.Ended, o.Shipped = true, true
			o.Early = s.Status.ActiveSync != number || condition(s, v1alpha1.ShipmentShipped).Status == metav1.ConditionUnknown
			o.Reason, o.Message = verified.Reason, verified.Message
			// Only the end that reads knows what moved.
			if c := condition(s, v1alpha1.ShipmentVerified); c.Reason == verified.Reason && c.Message != "" {
				o.Message = c.Message
			}
			return o
		case shipped.Status == metav1.ConditionFalse && Final(shipped.Reason):
			o.Ended = true
			o.Reason, o.Message = shipped.Reason, shipped.Message
			return o
		case shipped.Status != metav1.ConditionTrue && shipped.Reason != "" && shipped.Reason != v1alpha1.ReasonShipping:
			o.Reason, o.Message = shipped.Reason, shipped.Message
		}
	}
	if r.Status.VerifiedSync == number && s.Status.ActiveSync == number &&
		condition(s, v1alpha1.ShipmentVerified).Status == metav1.ConditionTrue &&
		condition(r, v1alpha1.ShipmentConsistent).Status != metav1.ConditionFalse {
		o.Ended, o.Verified, o.Shipped = true, true, true
		o.Digest, o.Consistency = r.Status.Digest, r.Status.Consistency
		o.Reason, o.Message = "", ""
	}
	return o
}

// Final says whether a reason ends a generation; the others are progress, or
// the agents retry.
func Final(reason string) bool {
	switch reason {
	case v1alpha1.ReasonClaimMismatch, v1alpha1.ReasonMountPodInvalid, v1alpha1.ReasonMountInvalid,
		v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed, v1alpha1.ReasonNotExclusive,
		v1alpha1.ReasonPeerKeyMismatch, v1alpha1.ReasonPeerRejected, v1alpha1.ReasonPeerVersionMismatch,
		v1alpha1.ReasonSpecialFileRefused, v1alpha1.ReasonUnreadable, v1alpha1.ReasonTargetFull,
		v1alpha1.ReasonTargetTooSmall, v1alpha1.ReasonTargetUnsupported, v1alpha1.ReasonSourceChanged,
		v1alpha1.ReasonDigestMismatch, v1alpha1.ReasonStateCorrupt, v1alpha1.ReasonInternal,
		v1alpha1.ReasonSuperseded:
		return true
	}
	return false
}

// statistics takes the sender's: it is the end that knows the total and what was
// read. The receiver's serve until the sender has written any.
func statistics(p Pair, number int64) v1alpha1.ShipmentStatistics {
	if p.Send.Status.ActiveSync == number {
		return p.Send.Status.Statistics
	}
	if p.Receive.Status.ActiveSync == number {
		return p.Receive.Status.Statistics
	}
	return v1alpha1.ShipmentStatistics{}
}

// Line is the progress line of a generation.
func (o Outcome) Line(claim string, number int64) progress.VolumeProgress {
	v := progress.VolumeProgress{
		Claim: claim, Sync: number, State: progress.VolumeShipping,
		DoneBytes: o.Statistics.ScannedBytes, TotalBytes: o.Statistics.TotalBytes,
		SentBytes: o.Statistics.SentBytes, WireBytes: o.Statistics.WireBytes,
	}
	switch {
	case o.Verified:
		v.State = progress.VolumeVerified
	case o.Ended && o.Shipped:
		v.State = progress.VolumeShipped
	case o.Ended:
		v.State = progress.VolumeFailed
	case o.Statistics.StartTime == nil:
		v.State = progress.VolumeWaiting
	}
	if o.Reason != "" && !o.Verified {
		v.Detail = o.Reason
		if o.Message != "" {
			v.Detail = fmt.Sprintf("%s: %s", o.Reason, o.Message)
		}
	}
	return v
}
