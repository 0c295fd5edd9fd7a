// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// CheckClaim proves that pvc is the one that the shipment names, and that pv is
// bound to it (check a). Either is nil when it does not exist. The error has the
// reason ClaimMismatch.
func CheckClaim(s *v1alpha1.VolumeShipment, pvc *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) error {
	name, uid := s.Spec.Mounted()
	switch {
	case pvc == nil || pvc.Namespace != s.Namespace || pvc.Name != name:
		return mismatch("PVC %s does not exist", name)
	case pvc.UID == "" || string(pvc.UID) != uid:
		return mismatch("PVC %s has UID %s, but the shipment is for UID %s: the PVC was recreated; delete the shipment", pvc.Name, pvc.UID, uid)
	case pvc.DeletionTimestamp != nil:
		return mismatch("PVC %s is being deleted", pvc.Name)
	case pvc.Status.Phase != corev1.ClaimBound || pvc.Spec.VolumeName == "":
		return mismatch("PVC %s is not bound", pvc.Name)
	case pv == nil || pv.Name != pvc.Spec.VolumeName:
		return mismatch("PVC %s is bound to PersistentVolume %s, which does not exist", pvc.Name, pvc.Spec.VolumeName)
	}
	if errs := validation.IsDNS1123Subdomain(pv.Name); len(errs) > 0 {
		return mismatch("PVC %s is bound to a PersistentVolume with an invalid name", pvc.Name)
	}
	ref := pv.Spec.ClaimRef
	switch {
	case pv.Status.Phase != corev1.VolumeBound:
		return mismatch("PersistentVolume %s of PVC %s is not bound", pv.Name, pvc.Name)
	case pv.DeletionTimestamp != nil:
		return mismatch("PersistentVolume %s of PVC %s is being deleted", pv.Name, pvc.Name)
	case ref == nil || ref.Namespace != pvc.Namespace || ref.Name != pvc.Name || ref.UID != pvc.UID:
		return mismatch("PersistentVolume %s does not belong to PVC %s", pv.Name, pvc.Name)
	}
	return nil
}

// CheckOrigin proves that origin, the PVC that a snapshot was taken of, is the
// shipment's: the agent's state of earlier syncs is stored under its UID. The PVC
// may be terminating, and is nil when it does not exist. The error has the reason
// ClaimMismatch.
func CheckOrigin(s *v1alpha1.VolumeShipment, origin *corev1.PersistentVolumeClaim) error {
	switch {
	case origin == nil || origin.Namespace != s.Namespace || origin.Name != s.Spec.ClaimName:
		return mismatch("PVC %s, the origin of the snapshot, does not exist", s.Spec.ClaimName)
	case origin.UID == "" || string(origin.UID) != s.Spec.ClaimUID:
		return mismatch("PVC %s has UID %s, but the shipment is for UID %s: the PVC was recreated; delete the shipment", origin.Name, origin.UID, s.Spec.ClaimUID)
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fault.New(v1alpha1.ReasonClaimMismatch, format, args...)
}

// IsBlock reports whether the PVC is a raw block volume.
func IsBlock(pvc *corev1.PersistentVolumeClaim) bool {
	return pvc.Spec.VolumeMode != nil && *pvc.Spec.VolumeMode == corev1.PersistentVolumeBlock
}
