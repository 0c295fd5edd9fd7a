// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestAnApplicationStartsOnlyOnAVolumeThatWasProvedAndNotCopiedLive(t *testing.T) {
	for name, c := range map[string]struct {
		volume v1alpha1.MigrationVolume
		want   bool
	}{
		"never verified":              {v1alpha1.MigrationVolume{ShippedSync: 1}, false},
		"verified when stopped":       {v1alpha1.MigrationVolume{VerifiedSync: 2, ShippedSync: 2, Consistency: "Stopped"}, true},
		"verified live":               {v1alpha1.MigrationVolume{VerifiedSync: 2, ShippedSync: 2, Consistency: "Live"}, false},
		"overwritten by a later pass": {v1alpha1.MigrationVolume{VerifiedSync: 2, ShippedSync: 3, Consistency: "Stopped"}, false},
	} {
		if got := startable(c.volume); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatAnEarlierRunRememberedIsNotReplacedByTheZerosOfNow(t *testing.T) {
	earlier := []v1alpha1.StoppedWorkload{{Name: "a", UID: "1", OriginalState: `{"replicas":3}`}}
	now := []v1alpha1.StoppedWorkload{{Name: "a", UID: "1", OriginalState: `{"replicas":1}`}, {Name: "b", UID: "2"}}
	got := merge(earlier, now)
	if len(got) != 2 || got[0].OriginalState != `{"replicas":3}` || got[1].Name != "b" {
		t.Errorf("got %+v", got)
	}
}

func TestTheDowntimeIsFromTheStopUntilTheTargetIsReady(t *testing.T) {
	at := func(ms int64) *metav1.MicroTime { m := metav1.NewMicroTime(time.UnixMilli(ms)); return &m }
	r := &record{kept: &v1alpha1.Migration{}}
	r.kept.Status.StoppedTime, r.kept.Status.ReadyTime = at(1000), at(4500)
	if got := r.result(time.Now()).DowntimeSeconds; got != 3.5 {
		t.Errorf("downtime %v", got)
	}
	r.kept.Status.ReadyTime = at(500) // of an earlier activation
	if got := r.result(time.Now()).DowntimeSeconds; got != 0 {
		t.Errorf("downtime %v from a ready time before the stop", got)
	}
}
