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

// Copied is what a volume plugin is told about the claim.
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

// Occupied says whether a pod has the claim and no second one can, not even a
// mount pod.
func (v Volume) Occupied() bool {
	return v.InUse && slices.Contains(v.AccessModes, corev1.ReadWriteOncePod)
}

// CopyDescription says for people how the volume is looked at and what that guarantees.
func (v Volume) CopyDescription() string {
	switch {
	case !v.InUse:
		return "stopped: as it is"
	case v.CopyMethod.Offer == nil && v.Occupied():
		return "only when stopped"
	case v.CopyMethod.Offer == nil:
		return v.CopyMethod.Guarantee()
	}
	return "snapshot: " + v.CopyMethod.Guarantee()
}

// inUse are the claims that running pods have, for a plugin. Our own mount pods of a
// run that was killed are no users.
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

// WithCopyMethods takes over how each claim in use is looked at.
func (d *Draft) WithCopyMethods(views map[string]snapshot.Choice) {
	for i := range d.volumes {
		v := &d.volumes[i]
		choice, asked := views[v.Claim]
		if !asked {
			continue
		}
		v.CopyMethod = choice
		if d.readLive(v) {
			v.CopyMethod = snapshot.Choice{Why: "a cutover reads all of a volume when it is stopped if what was copied before is a " +
				"snapshot whose stamps lag; its increments are read live instead (--copy-method snapshot insists)"}
			continue
		}
		if choice.Offer == nil {
			d.snapshotUnavailable(v)
		}
	}
}

// readLive says whether a copy that could be had is no gain: before the stop of a
// cutover nothing is started from an increment, and the last one should be short.
func (d *Draft) readLive(v *Volume) bool {
	return d.request.Mode == v1alpha1.ModeCutover && d.request.CopyMethods.Preference.Mode != snapshot.Snapshot &&
		v.CopyMethod.Offer != nil && v.CopyMethod.Offer.ChangeDetection != v1alpha1.ChangeDetectionTimestamps && !v.Occupied()
}

// snapshotUnavailable says what follows when there is no copy of a volume in use.
func (d *Draft) snapshotUnavailable(v *Volume) {
	ref := inventory.Ref{Version: "v1", Kind: kindClaim.Kind, Resource: "persistentvolumeclaims", Namespace: d.inv.Namespace, Name: v.Claim}
	f := Finding{Code: CodeSnapshotUnavailable, Object: &ref, Message: "there is no snapshot of it: " + v.CopyMethod.Why}
	switch {
	case d.request.CopyMethods.Preference.Mode == snapshot.Snapshot:
		f.Hint = "leave out --copy-method snapshot, or stop the application"
		d.block(f)
	case v.Occupied() && d.request.Mode == v1alpha1.ModeCutover:
		f.Code = CodeReadOnlyWhenStopped
		f.Message = fmt.Sprintf("it is ReadWriteOncePod and in use: nothing of it is copied before the application is stopped, which takes that much longer; %s", f.Message)
		d.warn(f)
	case v.Occupied():
		f.Message = fmt.Sprintf("it is ReadWriteOncePod and in use, so only its own pod can have it; %s", f.Message)
		f.Hint = "stop the application and run the same command, or move it for good with --cutover"
		d.block(f)
	case d.request.Mode == v1alpha1.ModeStart:
		f.Message = "a copy that was read while its application ran cannot be started, and " + f.Message
		f.Hint = "stop the application, or move it for good with --cutover"
		d.block(f)
	}
}
