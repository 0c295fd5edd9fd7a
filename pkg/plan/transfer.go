// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Basis says where a figure comes from.
type Basis string

const (
	// BasisCapacity: the size of the volume. How much of it is in use only the
	// kubelet knows, and users may not ask it.
	BasisCapacity Basis = "Capacity"
	// BasisShipment: what the last shipment of the volume found in it.
	BasisShipment Basis = "LastShipment"
	// BasisMeasured: what earlier shipments from this namespace to the target did.
	BasisMeasured Basis = "Measured"
	// BasisAssumed: nothing was measured yet.
	BasisAssumed Basis = "Assumed"
)

// AssumedRate, in bytes per second, stands in as long as nothing was shipped to
// the target: what a network of 1 Gbit/s gives to one of two users.
const AssumedRate = 50 << 20

// Transfer is what shipping the volumes costs. All of it is an upper bound: what
// is on the target already is not sent again, and what is sent is compressed.
type Transfer struct {
	// AtMostBytes is the sum over all volumes.
	AtMostBytes int64 `json:"atMostBytes"`
	// BytesPerSecond is the rate that the time is reckoned with.
	BytesPerSecond int64 `json:"bytesPerSecond"`
	// RateBasis is measured or assumed.
	RateBasis Basis `json:"rateBasis"`
	// AtMostSeconds is how long that takes at that rate.
	AtMostSeconds int64 `json:"atMostSeconds"`
	// ObjectBytes is what the objects that are written weigh.
	ObjectBytes int64 `json:"objectBytes,omitempty"`
}

// Shipped is what the last pass of one claim to the target did.
type Shipped struct {
	ClaimUID string
	// TotalBytes is the data that the pass found in the volume.
	TotalBytes int64
	// SentBytes of it went to the target, in Took.
	SentBytes int64
	Took      time.Duration
	Ended     bool
}

// shippedTo takes the figures of a shipment that sends to a namespace of the
// target; ok is false for any other, and for one that has shipped nothing.
func shippedTo(s v1alpha1.VolumeShipment, clusterID, namespace string) (out Shipped, ok bool) {
	f := s.Status.Statistics
	if s.Spec.Role != v1alpha1.RoleSend || s.Spec.Peer.ClusterID != clusterID || s.Spec.Peer.Namespace != namespace || f.StartTime == nil {
		return Shipped{}, false
	}
	out = Shipped{ClaimUID: s.Spec.ClaimUID, TotalBytes: f.TotalBytes, SentBytes: f.SentBytes}
	if f.CompletionTime != nil {
		out.Ended, out.Took = true, f.CompletionTime.Sub(f.StartTime.Time)
	}
	return out, true
}

// minRateBytes is how much shipments must have sent for their rate to mean anything:
// the times in a shipment are whole seconds.
const minRateBytes = 16 << 20

// rate of what was shipped to the target so far.
func rate(shipped []Shipped) (int64, Basis) {
	var sent int64
	var took time.Duration
	for _, s := range shipped {
		if s.Ended {
			sent += s.SentBytes
			took += max(s.Took, time.Second)
		}
	}
	if sent < minRateBytes || took == 0 {
		return AssumedRate, BasisAssumed
	}
	return max(int64(float64(sent)/took.Seconds()), 1), BasisMeasured
}

// reckon fills in what the volumes weigh, and what shipping them costs.
func (d *Draft) estimate(items []Item, volumes []Volume) *Transfer {
	t := &Transfer{}
	for _, i := range items {
		if i.Action == Create || i.Action == Configure {
			t.ObjectBytes += int64(len(i.json))
		}
	}
	for i := range volumes {
		volumes[i].estimate(d.facts.Shipped)
		t.AtMostBytes += volumes[i].AtMostBytes
	}
	t.BytesPerSecond, t.RateBasis = rate(d.facts.Shipped)
	t.AtMostSeconds = (t.AtMostBytes + t.BytesPerSecond - 1) / t.BytesPerSecond
	return t
}

// weigh says how much data the volume holds at most, as far as a user of the
// namespace can know.
func (v *Volume) estimate(shipped []Shipped) {
	size := v.Capacity
	if size.IsZero() {
		size = v.Requested
	}
	v.AtMostBytes, v.BytesBasis = size.Value(), BasisCapacity
	for _, s := range shipped {
		if s.ClaimUID == string(v.UID) && s.TotalBytes > 0 {
			v.AtMostBytes, v.BytesBasis = s.TotalBytes, BasisShipment
		}
	}
}
