// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const twoClaims = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: new, uid: new}
spec: {volumeName: pv1, storageClassName: fast, resources: {requests: {storage: 1Gi}}}
status: {capacity: {storage: 2Gi}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: known, uid: known}
spec: {volumeName: pv2, storageClassName: fast, resources: {requests: {storage: 10Gi}}}
status: {capacity: {storage: 10Gi}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: v}`

func TestWithoutShipmentsTheSizeOfTheVolumesCountsAndTheRateIsAssumed(t *testing.T) {
	p := tell(t, twoClaims).plan()
	tr := p.Transfer
	if tr.AtMostBytes != 12<<30 || tr.RateBasis != BasisAssumed || tr.BytesPerSecond != AssumedRate || tr.AtMostSeconds != (12<<30+AssumedRate-1)/AssumedRate {
		t.Errorf("%+v", tr)
	}
	if tr.ObjectBytes < 100 {
		t.Errorf("the objects weigh %d bytes", tr.ObjectBytes)
	}
	for _, v := range p.Volumes {
		if v.BytesBasis != BasisCapacity || v.AtMostBytes != v.Capacity.Value() {
			t.Errorf("%s: %d bytes by %s", v.Claim, v.AtMostBytes, v.BytesBasis)
		}
	}
}

func TestWhatTheLastShipmentFoundAndItsRateCount(t *testing.T) {
	s := tell(t, twoClaims)
	s.facts.Shipped = []Shipped{
		{ClaimUID: "known", TotalBytes: 1 << 30, SentBytes: 1 << 30, Took: 10 * time.Second, Ended: true},
		{ClaimUID: "of-a-claim-that-is-gone", TotalBytes: 7 << 30},
	}
	p := s.plan()
	if tr := p.Transfer; tr.AtMostBytes != 3<<30 || tr.RateBasis != BasisMeasured || tr.AtMostSeconds != 31 {
		t.Errorf("%+v", tr)
	}
	for _, v := range p.Volumes {
		if (v.BytesBasis == BasisShipment) != (v.Claim == "known") {
			t.Errorf("%s: %d bytes by %s", v.Claim, v.AtMostBytes, v.BytesBasis)
		}
	}
}

func TestAPassThatSentLittleSaysNothingAboutTheRate(t *testing.T) {
	if bps, basis := rate([]Shipped{{SentBytes: 4096, Took: 0, Ended: true}}); basis != BasisAssumed || bps != AssumedRate {
		t.Errorf("%d %s", bps, basis)
	}
	// One that is under way has sent something, but in which time is not known.
	if _, basis := rate([]Shipped{{SentBytes: 1 << 40}}); basis != BasisAssumed {
		t.Error(basis)
	}
}

func TestOnlyShipmentsThatSendToTheTargetCount(t *testing.T) {
	begin := metav1.NewTime(time.Unix(1000, 0))
	end := metav1.NewTime(time.Unix(1004, 0))
	of := func(change func(*v1alpha1.VolumeShipment)) v1alpha1.VolumeShipment {
		s := v1alpha1.VolumeShipment{
			Spec:   v1alpha1.VolumeShipmentSpec{Role: v1alpha1.RoleSend, ClaimUID: "c", Peer: v1alpha1.ShipmentPeer{ClusterID: "b", Namespace: "shop"}},
			Status: v1alpha1.VolumeShipmentStatus{Statistics: v1alpha1.ShipmentStatistics{TotalBytes: 9, SentBytes: 5, StartTime: &begin, CompletionTime: &end}},
		}
		change(&s)
		return s
	}
	got, ok := shippedTo(of(func(*v1alpha1.VolumeShipment) {}), "b", "shop")
	if want := (Shipped{ClaimUID: "c", TotalBytes: 9, SentBytes: 5, Took: 4 * time.Second, Ended: true}); !ok || got != want {
		t.Errorf("%+v %v, want %+v", got, ok, want)
	}
	for name, change := range map[string]func(*v1alpha1.VolumeShipment){
		"one that receives":        func(s *v1alpha1.VolumeShipment) { s.Spec.Role = v1alpha1.RoleReceive },
		"to another cluster":       func(s *v1alpha1.VolumeShipment) { s.Spec.Peer.ClusterID = "c" },
		"to another namespace":     func(s *v1alpha1.VolumeShipment) { s.Spec.Peer.Namespace = "other" },
		"one that has never begun": func(s *v1alpha1.VolumeShipment) { s.Status.Statistics.StartTime = nil },
	} {
		if _, ok := shippedTo(of(change), "b", "shop"); ok {
			t.Errorf("%s counts", name)
		}
	}
}
