// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Basis is the origin of an estimate.
type Basis string

const (
	// BasisCapacity is the size of the volume. Only the kubelet has its usage, which
	// namespace users cannot read.
	BasisCapacity Basis = "Capacity"
	// BasisShipment is the amount of data that the last sync found in the volume.
	BasisShipment Basis = "LastShipment"
	// BasisMeasured is the rate of earlier shipments from this namespace to the target.
	BasisMeasured Basis = "Measured"
	// BasisAssumed is AssumedRate.
	BasisAssumed Basis = "Assumed"
)

// AssumedRate is the rate in bytes per second before anything was shipped to the
// target: half of a network of 1 Gbit/s.
const AssumedRate = 50 << 20

// Transfer estimates bytes and time of shipping the volumes, as upper bounds: data
// that is on the target already is not sent again, and data is compressed.
type Transfer struct {
	// AtMostBytes is the sum over all volumes.
	AtMostBytes int64 `json:"atMostBytes"`
	// BytesPerSecond is the rate that AtMostSeconds is computed with.
	BytesPerSecond int64 `json:"bytesPerSecond"`
	// RateBasis is Measured or Assumed.
	RateBasis Basis `json:"rateBasis"`
	// AtMostSeconds is the time for AtMostBytes at that rate.
	AtMostSeconds int64 `json:"atMostSeconds"`
	// ObjectBytes is the size of the objects that are written.
	ObjectBytes int64 `json:"objectBytes,omitempty"`
}

// Shipped are the statistics of the last sync of one PVC to the target.
type Shipped struct {
	ClaimUID string
	// TotalBytes is the data that the sync found in the volume.
	TotalBytes int64
	// SentBytes of it went to the target, in Took.
	SentBytes int64
	Took      time.Duration
	Ended     bool
}

// shippedTo returns the statistics of a shipment to a namespace of the target; ok is
// false for any other shipment, and for one that has not started.
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

// minRateBytes is the minimum that shipments must have sent for a measured rate: the
// times in a shipment are whole seconds.
const minRateBytes = 16 << 20

// rate is the rate of earlier shipments to the target.
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

// estimate sets the amount of data of each volume and returns the totals.
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

// estimate sets the upper bound of the volume's data.
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
