// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// VolumeUsers is the input of CheckExclusive: everything that may be a writer.
type VolumeUsers struct {
	// Pods of the claim's namespace, on any node.
	Pods []corev1.Pod
	// Attachments of any volume.
	Attachments []storagev1.VolumeAttachment
	// Shipments of the claim's namespace.
	Shipments []v1alpha1.VolumeShipment
}

// CheckExclusive proves that the volume has no writer except, for a receiver, this
// agent: only mount pods reference it, no other node has it attached, and no other
// node's agent receives into it. A terminating pod counts until it is deleted, on an
// unreachable node too: only a final phase, which the kubelet reports after the last
// container ended, does not count. The error has the reason NotExclusive and names
// the first other user.
func CheckExclusive(s *v1alpha1.VolumeShipment, pv *corev1.PersistentVolume, node string, n VolumeUsers) error {
	claim, _ := s.Spec.Mounted()
	for i := range n.Pods {
		p := &n.Pods[i]
		if p.Namespace == s.Namespace && References(p, claim) && !finished(p) && !IsMountPod(p, s.Spec.Role) {
			return shared("pod %s (%s) uses PVC %s", p.Name, podState(p), claim)
		}
	}
	for i := range n.Attachments {
		a := &n.Attachments[i]
		source := a.Spec.Source.PersistentVolumeName
		if source != nil && *source == pv.Name && a.Spec.NodeName != node {
			return shared("PersistentVolume %s of PVC %s is attached to node %s", pv.Name, claim, a.Spec.NodeName)
		}
	}
	for i := range n.Shipments {
		if o := &n.Shipments[i]; writes(o, s, node) {
			return shared("shipment %s receives into PVC %s on node %s", o.Name, claim, o.Status.NodeName)
		}
	}
	return nil
}

// writes reports whether an agent of another node may write the claim. On this
// node the agent itself works on a volume for one shipment at a time.
func writes(other, s *v1alpha1.VolumeShipment, node string) bool {
	claim, _ := s.Spec.Mounted()
	return other.UID != s.UID && other.Namespace == s.Namespace &&
		other.Spec.ClaimName == claim && other.Spec.Role == v1alpha1.RoleReceive &&
		other.Status.NodeName != "" && other.Status.NodeName != node
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func podState(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	return string(p.Status.Phase)
}

// IsMountPod reports whether the pod is a mount pod in the sense of CheckExclusive: labelled
// as one, with nothing but claims mounted, and on the source only for reading.
// That keeps an application from passing as a mount pod by accident; a user who
// builds one on purpose damages only a copy of the same namespace's data.
func IsMountPod(p *corev1.Pod, role v1alpha1.Role) bool {
	if !isLabelled(p) || len(p.Spec.InitContainers) > 0 || len(p.Spec.EphemeralContainers) > 0 {
		return false
	}
	claims := map[string]bool{}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if pvc := v.PersistentVolumeClaim; pvc != nil {
			claims[v.Name] = pvc.ReadOnly
		}
	}
	for i := range p.Spec.Containers {
		if !mountsOnly(&p.Spec.Containers[i], claims, role == v1alpha1.RoleSend) {
			return false
		}
	}
	return true
}

// mountsOnly reports whether the container mounts nothing but claims (name ->
// read-only as a whole), read-only where asked.
func mountsOnly(c *corev1.Container, claims map[string]bool, readOnly bool) bool {
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		whole, ok := claims[m.Name]
		if !ok || (readOnly && !m.ReadOnly && !whole) {
			return false
		}
	}
	for i := range c.VolumeDevices {
		// A raw block device in a pod cannot be made read-only.
		if _, ok := claims[c.VolumeDevices[i].Name]; !ok {
			return false
		}
	}
	return true
}

func shared(format string, args ...any) error {
	return fault.New(v1alpha1.ReasonNotExclusive, format, args...)
}
