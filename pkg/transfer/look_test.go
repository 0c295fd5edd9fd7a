// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

func TestTheMountPodOfCopiesHasTheClonesOfItsGroupAndStandsWhereTheApplicationIs(t *testing.T) {
	copied := func(name string) look {
		return look{method: v1alpha1.CopyMethodSnapshot, snapshot: &v1alpha1.ShipmentSnapshot{ClaimName: name}}
	}
	f := &Volumes{Volumes: []*Volume{
		{Claim: "data", pass: copied("copy-of-data")},
		{Claim: "raw", pass: copied("copy-of-raw")},
		{Claim: "logs", pass: look{method: v1alpha1.CopyMethodLive}},
		{Claim: "other", pass: copied("copy-of-other")},
	}}
	g := mountpod.Group{Name: "pg-0", Claims: []string{"data", "raw", "logs"}, Block: []string{"raw"}}
	g.Placement.NodeName = "node-1"
	got := f.copiesOf(g)
	if !slices.Equal(got.Claims, []string{"copy-of-data", "copy-of-raw"}) || !slices.Equal(got.Block, []string{"copy-of-raw"}) || got.Placement.NodeName != "node-1" {
		t.Errorf("got %+v", got)
	}
	if mountpod.Name("m", got) == mountpod.Name("m", g) {
		t.Error("the clones' mount pod has the name of the claims'")
	}
	if got := f.MethodCounts(); got != "3 Snapshot, 1 Live" {
		t.Errorf("looks: %s", got)
	}
}

func TestOnTheSourceOnlyWhatIsReadAsItIsHasAMountPodFromTheBeginning(t *testing.T) {
	offer := snapshot.Choice{Offer: &snapshot.Offer{Plugin: "csi"}}
	f := &Volumes{Volumes: []*Volume{{Claim: "data", Choice: offer}, {Claim: "logs", Choice: offer}, {Claim: "live"}}}
	data, both := mountpod.Group{Claims: []string{"data", "logs"}}, mountpod.Group{Claims: []string{"data", "live"}}
	if !f.unheld(data) || f.unheld(both) {
		t.Error("a group of which nothing but copies is read has no mount pod, and any other has one")
	}
	f.Stops = true
	if f.unheld(data) {
		t.Error("nothing has the claims when the application is stopped: they would be detached and attached again")
	}
	f.Stops, f.Volumes[1].direct = false, true
	if f.unheld(data) {
		t.Error("a claim of which no copy could be had is read without a mount pod")
	}
}

func TestAVolumeThatWaitsForTheStopIsNoFailureAndItsRecordStays(t *testing.T) {
	before := []v1alpha1.MigrationVolume{{Claim: "data", VerifiedSync: 4, ShippedSync: 4, Consistency: "Stopped"}}
	f := &Volumes{Volumes: []*Volume{{Claim: "data", pass: look{method: v1alpha1.CopyMethodLive, skipped: true}, Outcome: Outcome{Ended: true}}}}
	if f.Broken() != nil || f.Changed() {
		t.Errorf("broken %v, moved %v", f.Broken(), f.Changed())
	}
	if l := f.Lines(before)[0]; l.VerifiedSync != 4 || l.Consistency != "Stopped" || l.Reason != "" {
		t.Errorf("line %+v", l)
	}
	if got := f.MethodCounts(); got != "1 to be copied when stopped" {
		t.Errorf("looks: %s", got)
	}
}

func TestAClaimGrowsUntilItHasWhatItAsksFor(t *testing.T) {
	claim := func(phase corev1.PersistentVolumeClaimPhase, asks, has string) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: phase}}
		c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(asks)}
		c.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(has)}
		return c
	}
	if q := growing(claim(corev1.ClaimBound, "2Gi", "1Gi")); q == nil || q.String() != "2Gi" {
		t.Errorf("it asks for more: %v", q)
	}
	for name, c := range map[string]*corev1.PersistentVolumeClaim{
		"it has more": claim(corev1.ClaimBound, "1Gi", "2Gi"), "it waits for its first pod": claim(corev1.ClaimPending, "1Gi", "0"),
	} {
		if q := growing(c); q != nil {
			t.Errorf("%s: %v", name, q)
		}
	}
}

func TestCopiesEndWithAJobThatNeedsNoPod(t *testing.T) {
	f := &Volumes{Name: "west", Source: Side{Namespace: cluster.Namespace{Name: "blue"}, Owner: metav1.OwnerReference{UID: "migration"}}}
	j := f.timer()
	if *j.Spec.Completions != 0 || *j.Spec.Parallelism != 0 || *j.Spec.TTLSecondsAfterFinished != mountpod.Deadline {
		t.Errorf("spec %+v", j.Spec)
	}
	if j.OwnerReferences[0].UID != "migration" || f.ownerOfCopies().UID != "migration" {
		t.Errorf("owners %v", j.OwnerReferences)
	}
	if f.copiesOwner = (&metav1.OwnerReference{UID: "job"}); f.task().Owner.UID != "job" {
		t.Errorf("copies end with %v", f.task().Owner)
	}
}

func TestAClaimOfOnePodHasNoMountPodWhileThatPodHasIt(t *testing.T) {
	f := &Volumes{Volumes: []*Volume{{Claim: "data", Occupied: true}, {Claim: "logs"}}}
	if !f.occupied(mountpod.Group{Claims: []string{"logs", "data"}}) || f.occupied(mountpod.Group{Claims: []string{"logs"}}) {
		t.Error("occupied is what the application alone can have")
	}
}
