// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

func TestWithoutASnapshotWhatNeedsOneIsBlockedAndTheReasonIsGiven(t *testing.T) {
	none := snapshot.Choice{Why: "its driver tape has no volumesnapshotclass"}
	some := snapshot.Choice{Offer: &snapshot.Offer{Plugin: "csi", Consistency: snapshot.CrashConsistent}}
	exact := snapshot.Choice{Offer: &snapshot.Offer{Plugin: "csi", Consistency: snapshot.CrashConsistent, ChangeDetection: v1alpha1.ChangeDetectionTimestamps}}
	once, pod := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	for name, c := range map[string]struct {
		mode    v1alpha1.Mode
		wish    snapshot.Mode
		choice  snapshot.Choice
		access  []corev1.PersistentVolumeAccessMode
		blocked bool
		worth   string
	}{
		"on standby, live":                 {v1alpha1.ModeStandby, snapshot.Auto, none, once, false, "live: cannot be started"},
		"on standby, snapshot":             {v1alpha1.ModeStandby, snapshot.Auto, some, once, false, "snapshot: crash-consistent, increments read all data"},
		"on standby, a snapshot is wanted": {v1alpha1.ModeStandby, snapshot.Snapshot, none, once, true, "live: cannot be started"},
		"to be started, live":              {v1alpha1.ModeStart, snapshot.Auto, none, once, true, "live: cannot be started"},
		"to be started, snapshot":          {v1alpha1.ModeStart, snapshot.Auto, some, once, false, "snapshot: crash-consistent, increments read all data"},
		"for good, live":                   {v1alpha1.ModeCutover, snapshot.Auto, none, once, false, "live: cannot be started"},
		"for good, lagging":                {v1alpha1.ModeCutover, snapshot.Auto, some, once, false, "live: cannot be started"},
		"for good, lagging, wanted":        {v1alpha1.ModeCutover, snapshot.Snapshot, some, once, false, "snapshot: crash-consistent, increments read all data"},
		"for good, exact":                  {v1alpha1.ModeCutover, snapshot.Auto, exact, once, false, "snapshot: crash-consistent, change detection by timestamps"},
		"for good, lagging, of one pod":    {v1alpha1.ModeCutover, snapshot.Auto, some, pod, false, "snapshot: crash-consistent, increments read all data"},
		"of one pod, live":                 {v1alpha1.ModeStandby, snapshot.Auto, none, pod, true, "only when stopped"},
		"of one pod, for good":             {v1alpha1.ModeCutover, snapshot.Auto, none, pod, false, "only when stopped"},
		"of one pod, wanted, for good":     {v1alpha1.ModeCutover, snapshot.Snapshot, none, pod, true, "only when stopped"},
		"of one pod, snapshot":             {v1alpha1.ModeStandby, snapshot.Auto, some, pod, false, "snapshot: crash-consistent, increments read all data"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Draft{inv: &inventory.Inventory{Namespace: "blue"}, request: Request{Mode: c.mode, CopyMethods: snapshot.Chooser{Preference: snapshot.Preference{Mode: c.wish}}}}
			d.volumes = []Volume{{Claim: "data", AccessModes: c.access, InUse: true}}
			d.WithCopyMethods(map[string]snapshot.Choice{"data": c.choice})
			if got := len(d.blockers) > 0; got != c.blocked {
				t.Errorf("blockers %v", d.blockers)
			}
			if got := d.volumes[0].CopyDescription(); got != c.worth {
				t.Errorf("worth %q", got)
			}
			if warned := len(d.warnings) > 0; warned != (name == "of one pod, for good") {
				t.Errorf("warnings %v", d.warnings)
			}
		})
	}
}
