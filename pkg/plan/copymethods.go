// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// Copied returns the PVC as volume plugins need it.
func (v Volume) Copied(namespace string) snapshot.Claim {
	size := v.Requested
	if v.Capacity.Cmp(size) > 0 {
		size = v.Capacity
	}
	return snapshot.Claim{
		Namespace: namespace, Name: v.Claim, UID: string(v.UID), Class: v.StorageClass,
		AccessModes: v.AccessModes, Block: v.VolumeMode == corev1.PersistentVolumeBlock, Size: size,
	}
}

// Occupied is true when a pod uses the PVC and its access mode allows no second pod,
// not even a mount pod.
func (v Volume) Occupied() bool {
	return v.InUse && slices.Contains(v.AccessModes, corev1.ReadWriteOncePod)
}

// CopyDescription describes the copy method and its guarantee for people.
func (v Volume) CopyDescription() string {
	switch {
	case !v.InUse:
		return "stopped"
	case v.CopyMethod.Offer == nil && v.Occupied():
		return "only when stopped"
	case v.CopyMethod.Offer == nil:
		return v.CopyMethod.Guarantee()
	}
	return "snapshot: " + v.CopyMethod.Guarantee()
}

// inUse sets Volume.InUse and returns the PVCs that running pods use, for a plugin.
// Mount pods of a run that was killed do not count.
func (d *Draft) inUse() []snapshot.Claim {
	var out []snapshot.Claim
	for i := range d.volumes {
		v := &d.volumes[i]
		v.InUse = slices.ContainsFunc(v.Pods, func(p inventory.PodUse) bool {
			o := d.inv.Find(inventory.ID{Kind: "Pod", Name: p.Pod})
			return p.Running && (o == nil || o.Reason != inventory.ReasonMotionInternal)
		})
		if v.InUse {
			out = append(out, v.Copied(d.inv.Namespace))
		}
	}
	return out
}

// WithCopyMethods sets the copy method of each PVC in use.
func (d *Draft) WithCopyMethods(methods map[string]snapshot.Choice) {
	for i := range d.volumes {
		v := &d.volumes[i]
		choice, asked := methods[v.Claim]
		if !asked {
			continue
		}
		v.CopyMethod = choice
		if d.readLive(v) {
			v.CopyMethod = snapshot.Choice{Why: "after a snapshot without change detection by timestamps, a cutover has to read the whole volume while the application is " +
				"stopped; its increments are read live instead (use --copy-method snapshot for snapshots)"}
			continue
		}
		if choice.Offer == nil {
			d.snapshotUnavailable(v)
		}
	}
}

// readLive is true when a snapshot has no advantage: nothing is started from the
// increments before the stop of a cutover, and the last one should be short.
func (d *Draft) readLive(v *Volume) bool {
	return d.request.Mode == v1alpha1.ModeCutover && d.request.CopyMethods.Preference.Mode != snapshot.Snapshot &&
		v.CopyMethod.Offer != nil && v.CopyMethod.Offer.ChangeDetection != v1alpha1.ChangeDetectionTimestamps && !v.Occupied()
}

// snapshotUnavailable reports the consequence of a volume in use without a snapshot.
func (d *Draft) snapshotUnavailable(v *Volume) {
	ref := inventory.Ref{Version: "v1", Kind: kindClaim.Kind, Resource: "persistentvolumeclaims", Namespace: d.inv.Namespace, Name: v.Claim}
	f := Finding{Code: CodeSnapshotUnavailable, Object: &ref, Message: "no snapshot can be taken: " + v.CopyMethod.Why}
	switch {
	case d.request.CopyMethods.Preference.Mode == snapshot.Snapshot:
		f.Hint = "remove --copy-method snapshot, or stop the application"
		d.block(f)
	case v.Occupied() && d.request.Mode == v1alpha1.ModeCutover:
		f.Code = CodeReadOnlyWhenStopped
		f.Message = fmt.Sprintf("it is ReadWriteOncePod and in use: it is copied after the application is stopped, which makes the downtime longer; %s", f.Message)
		d.warn(f)
	case v.Occupied():
		f.Message = fmt.Sprintf("it is ReadWriteOncePod and in use, so no mount pod can read it; %s", f.Message)
		f.Hint = "stop the application and run the same command, or use --cutover"
		d.block(f)
	case d.request.Mode == v1alpha1.ModeStart:
		f.Message = "a live copy cannot be started, and " + f.Message
		f.Hint = "stop the application, or use --cutover"
		d.block(f)
	}
}
