// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package shipment

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
	// Promoted: both ends agree on what is on the target.
	Promoted bool
	// Shipped: every byte arrived, although the pass may not be promotable.
	Shipped bool
	// Early: it ended by the receiver's word, and the sender, which alone knows what was
	// read and what moved, has not said its last. The figures are not complete yet.
	Early bool
	// Reason and Message of the shipment's closed set when the generation
	// failed, cannot be promoted, or waits.
	Reason, Message string
	Figures         v1alpha1.ShipmentFigures
	Digest          string
	Consistency     string
}

// OutcomeOf reads the statuses of both ends for one generation.
//
// A generation is promoted when both say so: the receiver has the bytes, and the
// sender knows whether anybody could write while it read them. A failure that
// either end reports as final ends the generation.
func OutcomeOf(p Pair, generation int64) Outcome {
	o := Outcome{Figures: figures(p, generation)}
	r, s := p.Receive, p.Send
	for _, end := range []*v1alpha1.VolumeShipment{r, s} {
		if end.Status.ActiveGeneration != generation {
			continue
		}
		shipped, promoted := condition(end, v1alpha1.ShipmentShipped), condition(end, v1alpha1.ShipmentPromoted)
		switch {
		case shipped.Status == metav1.ConditionTrue && promoted.Status == metav1.ConditionFalse && Final(promoted.Reason):
			o.Ended, o.Shipped = true, true
			o.Early = s.Status.ActiveGeneration != generation || condition(s, v1alpha1.ShipmentShipped).Status == metav1.ConditionUnknown
			o.Reason, o.Message = promoted.Reason, promoted.Message
			// Only the end that reads knows what moved.
			if c := condition(s, v1alpha1.ShipmentPromoted); c.Reason == promoted.Reason && c.Message != "" {
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
	if r.Status.PromotedGeneration == generation && s.Status.ActiveGeneration == generation &&
		condition(s, v1alpha1.ShipmentPromoted).Status == metav1.ConditionTrue {
		o.Ended, o.Promoted, o.Shipped = true, true, true
		o.Digest, o.Consistency = r.Status.Digest, r.Status.Consistency
		o.Reason, o.Message = "", ""
	}
	return o
}

// Final says whether a reason ends a generation; the others are progress, or
// the agents try again by themselves.
func Final(reason string) bool {
	switch reason {
	case v1alpha1.ReasonClaimMismatch, v1alpha1.ReasonHolderInvalid, v1alpha1.ReasonMountInvalid,
		v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed, v1alpha1.ReasonNotExclusive,
		v1alpha1.ReasonPeerKeyMismatch, v1alpha1.ReasonPeerRejected, v1alpha1.ReasonPeerVersion,
		v1alpha1.ReasonSpecialFileRefused, v1alpha1.ReasonUnreadable, v1alpha1.ReasonTargetFull,
		v1alpha1.ReasonTargetTooSmall, v1alpha1.ReasonTargetAbility, v1alpha1.ReasonSourceMoved,
		v1alpha1.ReasonDigestMismatch, v1alpha1.ReasonStateCorrupt, v1alpha1.ReasonInternal,
		v1alpha1.ReasonSuperseded:
		return true
	}
	return false
}

// figures takes the sender's: it is the end that knows the total and what was
// read. The receiver's serve until the sender has written any.
func figures(p Pair, generation int64) v1alpha1.ShipmentFigures {
	if p.Send.Status.ActiveGeneration == generation {
		return p.Send.Status.Figures
	}
	if p.Receive.Status.ActiveGeneration == generation {
		return p.Receive.Status.Figures
	}
	return v1alpha1.ShipmentFigures{}
}

// Line is the progress line of a generation.
func (o Outcome) Line(claim string, generation int64) progress.VolumeFigures {
	v := progress.VolumeFigures{
		Claim: claim, Generation: generation, State: progress.VolumeShipping,
		DoneBytes: o.Figures.ScannedBytes, TotalBytes: o.Figures.TotalBytes,
		SentBytes: o.Figures.SentBytes, WireBytes: o.Figures.WireBytes,
	}
	switch {
	case o.Promoted:
		v.State = progress.VolumePromoted
	case o.Ended && o.Shipped:
		v.State = progress.VolumeShipped
	case o.Ended:
		v.State = progress.VolumeFailed
	case o.Figures.StartTime == nil:
		v.State = progress.VolumeWaiting
	}
	if o.Reason != "" && !o.Promoted {
		v.Detail = o.Reason
		if o.Message != "" {
			v.Detail = fmt.Sprintf("%s: %s", o.Reason, o.Message)
		}
	}
	return v
}
