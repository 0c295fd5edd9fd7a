// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

func class(name, driver string, annotations ...string) unstructured.Unstructured {
	u := unstructured.Unstructured{Object: map[string]any{"driver": driver}}
	u.SetName(name)
	m := map[string]string{}
	for _, a := range annotations {
		m[a] = "true"
	}
	u.SetAnnotations(m)
	return u
}

func TestTheClassIsTheDriversAndTheUsersWordCountsFirst(t *testing.T) {
	classes := []unstructured.Unstructured{
		class("z", "disk"), class("a", "disk"), class("default", "nfs", defaultClass), class("main", "ssd", defaultClass), class("also", "ssd"),
	}
	for name, c := range map[string]struct{ driver, wanted, want, why string }{
		"the default":             {"ssd", "", "main", ""},
		"no default":              {"disk", "", "a", ""},
		"the user's":              {"ssd", "also", "also", ""},
		"the user's of another":   {"ssd", "default", "", "no volumesnapshotclass default of its driver ssd"},
		"a driver without":        {"tape", "", "", "its driver tape has no volumesnapshotclass"},
		"one that does not exist": {"ssd", "nothing", "", "no volumesnapshotclass nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := choose(classes, c.driver, c.wanted)
			if (got == nil) != (c.want == "") || got != nil && got.GetName() != c.want || !strings.Contains(why, c.why) {
				t.Errorf("got %v, %q", got, why)
			}
		})
	}
}

func TestStampsAreLaggingUnlessAnAdministratorSaysExact(t *testing.T) {
	snapshots, volumes := class("s", "d"), &storagev1.StorageClass{}
	if got := stamps(&snapshots, volumes); got != v1alpha1.ChangeDetectionContent {
		t.Errorf("nothing said: %s", got)
	}
	snapshots.SetAnnotations(map[string]string{ChangeDetectionAnnotation: "yes"})
	if got := stamps(&snapshots, volumes); got != v1alpha1.ChangeDetectionContent {
		t.Errorf("another word: %s", got)
	}
	snapshots.SetAnnotations(map[string]string{ChangeDetectionAnnotation: "timestamps"})
	if got := stamps(&snapshots, volumes); got != v1alpha1.ChangeDetectionTimestamps {
		t.Errorf("the snapshot class says exact: %s", got)
	}
	volumes.Annotations = map[string]string{ChangeDetectionAnnotation: "timestamps"}
	if got := stamps(new(class("s", "d")), volumes); got != v1alpha1.ChangeDetectionTimestamps {
		t.Errorf("the storage class says exact: %s", got)
	}
}

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

func TestClonesThatNoQuotaHasRoomForAreDeclinedTogether(t *testing.T) {
	q := corev1.ResourceQuota{}
	q.Name = "team"
	q.Status.Hard = corev1.ResourceList{corev1.ResourceRequestsStorage: quantity("10Gi")}
	q.Status.Used = corev1.ResourceList{corev1.ResourceRequestsStorage: quantity("5Gi")}
	r := room{q}
	if why := r.take(snapshot.Claim{Name: "a", Size: quantity("3Gi")}); why != "" {
		t.Errorf("the first fits: %s", why)
	}
	if why := r.take(snapshot.Claim{Name: "b", Size: quantity("3Gi")}); !strings.Contains(why, "quota team of the source has 2Gi") {
		t.Errorf("the second does not fit beside it: %q", why)
	}
}

func TestACloneIsAsLargeAsTheLargerOfSnapshotAndClaim(t *testing.T) {
	snap := func(restore string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"restoreSize": restore}}}
	}
	w := snapshot.Requirements{Claim: snapshot.Claim{Name: "data", Class: "fast", Size: quantity("2Gi"), Block: true}}
	for restore, want := range map[string]string{"1Gi": "2Gi", "3Gi": "3Gi", "": "2Gi"} {
		c := newClone(snapshot.Task{Migration: "m", Namespace: "blue"}, w, snap(restore))
		got := c.Spec.Resources.Requests[corev1.ResourceStorage]
		if got.Cmp(quantity(want)) != 0 || *c.Spec.StorageClassName != "fast" || *c.Spec.VolumeMode != corev1.PersistentVolumeBlock {
			t.Errorf("restore size %q: %s", restore, got.String())
		}
	}
}

func TestNamesFitAndTellClaimsApart(t *testing.T) {
	long := strings.Repeat("x", 253)
	a, b := name(snapshot.Task{Migration: "m"}, long), name(snapshot.Task{Migration: "m"}, long+"y")
	if a == b {
		t.Error("two claims have one name")
	}
	if msgs := validation.IsDNS1123Label(a + "abcde"); len(msgs) > 0 {
		t.Errorf("%s: %v", a, msgs)
	}
}

func TestTheDriversOwnWordsAreShown(t *testing.T) {
	failed := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"error": map[string]any{"message": "pool is full"}}}}
	if got := trouble(failed); !strings.Contains(got, "pool is full") {
		t.Error(got)
	}
	if got := trouble(&unstructured.Unstructured{Object: map[string]any{}}); !strings.Contains(got, "snapshot controller is not running") {
		t.Error(got)
	}
}
