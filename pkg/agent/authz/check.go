// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package authz decides, from objects that were just read from the API server,
// whether an agent may touch the volume of a VolumeShipment. It is pure.
//
// A shipment's spec is written by a user of its namespace and proves nothing.
// The checks go from it to bytes on the node in steps that the user cannot bend:
//
//	Claim      shipment -> PVC (name, UID) -> PV (which points back with its UID)
//	Seat       PVC -> a pod of the namespace on this node -> its place in the
//	           kubelet's folder (pod UID, container, index: syntax proved)
//	Exclusive  nobody but mount pods can write the volume
//
// NewSelectionFlags view Snapshot all of this is about the clone, a claim of the same
// namespace; of the shipment's own claim only the identity is proved (Origin),
// because what is remembered of earlier generations is kept under it.
//
// A user can make a PVC whose volumeName is someone else's PV, can label any pod
// as a mount pod, and can write any UID into a spec. Claim refuses the first, the
// second reaches only volumes that the kubelet mounted into a pod of the same
// namespace, and a UID is only ever compared with what the API server says.
package authz

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Claim proves that the shipment's claim is the one it names, and that the
// PersistentVolume is that claim's (check a). pvc or pv may be nil when it does
// not exist. The error has the reason ClaimMismatch.
func Claim(s *v1alpha1.VolumeShipment, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) error {
	name, uid := s.Spec.Mounted()
	switch {
	case pvc == nil || pvc.Namespace != s.Namespace || pvc.Name != name:
		return mismatch("claim %s does not exist", name)
	case pvc.UID == "" || string(pvc.UID) != uid:
		return mismatch("claim %s has the UID %s, the shipment is for %s: it was deleted and made again; delete the shipment", pvc.Name, pvc.UID, uid)
	case pvc.DeletionTimestamp != nil:
		return mismatch("claim %s is being deleted", pvc.Name)
	case pvc.Status.Phase != corev1.ClaimBound || pvc.Spec.VolumeName == "":
		return mismatch("claim %s is not bound", pvc.Name)
	case pv == nil || pv.Name != pvc.Spec.VolumeName:
		return mismatch("claim %s is bound to volume %s, which does not exist", pvc.Name, pvc.Spec.VolumeName)
	}
	if errs := validation.IsDNS1123Subdomain(pv.Name); len(errs) > 0 {
		return mismatch("claim %s is bound to a volume whose name is malformed", pvc.Name)
	}
	ref := pv.Spec.ClaimRef
	switch {
	case pv.Status.Phase != corev1.VolumeBound:
		return mismatch("volume %s of claim %s is not bound", pv.Name, pvc.Name)
	case pv.DeletionTimestamp != nil:
		return mismatch("volume %s of claim %s is being deleted", pv.Name, pvc.Name)
	case ref == nil || ref.Namespace != pvc.Namespace || ref.Name != pvc.Name || ref.UID != pvc.UID:
		return mismatch("volume %s does not belong to claim %s", pv.Name, pvc.Name)
	}
	return nil
}

// Origin proves that the claim which a snapshot's clone stands for is the
// shipment's: what the agent remembers of earlier generations is kept under its
// UID, and belongs to nobody else. The claim may be going. origin may be nil when
// it does not exist. The error has the reason ClaimMismatch.
func Origin(s *v1alpha1.VolumeShipment, origin *corev1.PersistentVolumeClaim) error {
	switch {
	case origin == nil || origin.Namespace != s.Namespace || origin.Name != s.Spec.ClaimName:
		return mismatch("claim %s, of which there is a snapshot, does not exist", s.Spec.ClaimName)
	case origin.UID == "" || string(origin.UID) != s.Spec.ClaimUID:
		return mismatch("claim %s has the UID %s, the shipment is for %s: it was deleted and made again; delete the shipment", origin.Name, origin.UID, s.Spec.ClaimUID)
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fault.New(v1alpha1.ReasonClaimMismatch, format, args...)
}

// IsBlock says whether the claim is a raw block volume.
func IsBlock(pvc *corev1.PersistentVolumeClaim) bool {
	return pvc.Spec.VolumeMode != nil && *pvc.Spec.VolumeMode == corev1.PersistentVolumeBlock
}
