// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package authz asks the API server whether a shipment's volume may be touched
// now. Every answer is read anew and consistently (no cache, no resourceVersion):
// a cache is behind by an unknown time, and a claim that was deleted and made
// again, or an application pod that started, may be in that time.
//
// What the objects mean is decided by the packages check and policy. An error
// with a reason of the closed set (package fault) is a decision; any other is
// the API server's, which decides nothing: ask again.
package authz

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Verifier asks one cluster about shipments that one node serves.
type Verifier struct {
	Cluster *cluster.Cluster
	// Node is this agent's node.
	Node string
	// AgentNamespace is never shipped.
	AgentNamespace string
}

// Volume is what stands behind a shipment on this node.
type Volume struct {
	// Claim is what is mounted: with view Snapshot the clone.
	Claim *corev1.PersistentVolumeClaim
	// Origin is the shipment's own claim. What is remembered of the volume is
	// kept under it.
	Origin *corev1.PersistentVolumeClaim
	PV     *corev1.PersistentVolume
	// Mount is how the volume is reached.
	Mount *Mount
	// Shared is nil when nobody else can write the volume, otherwise an error with
	// the reason NotExclusive.
	Shared error
	// pods of the namespace.
	pods []corev1.Pod
}

// Facts are everything that was proved about a shipment at one time.
type Facts struct {
	Volume
	Shipment *v1alpha1.VolumeShipment
	Grant    *Grant
}

// Shipment reads a shipment that must be the one with uid, must not go, and must
// be served by this node.
func (v *Verifier) Shipment(ctx context.Context, namespace, name string, uid types.UID) (*v1alpha1.VolumeShipment, error) {
	s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment was deleted")
	case err != nil:
		return nil, fmt.Errorf("shipment %s/%s: %w", namespace, name, err)
	case s.UID != uid || s.DeletionTimestamp != nil:
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment was deleted")
	case s.Status.NodeName != v.Node:
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment is no longer served by node %s", v.Node)
	}
	return s, nil
}

// Verify proves all that can be proved without touching the node (checks a and
// b, exclusivity, policy) of the shipment with uid. Volume.Shared is for the
// caller to judge: a live view may be shared.
func (v *Verifier) Verify(ctx context.Context, namespace, name string, uid types.UID) (*Facts, error) {
	s, err := v.Shipment(ctx, namespace, name, uid)
	if err != nil {
		return nil, err
	}
	grant, err := v.Grant(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := v.paired(ctx, s, grant); err != nil {
		return nil, err
	}
	volume, err := v.Volume(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := MountPodImages(volume.Claim, volume.pods, grant.MountPodImages); err != nil {
		return nil, err
	}
	return &Facts{Volume: *volume, Shipment: s, Grant: grant}, nil
}

// Grant reads what the policies allow the shipment.
func (v *Verifier) Grant(ctx context.Context, s *v1alpha1.VolumeShipment) (*Grant, error) {
	ns, err := v.Cluster.Kube.CoreV1().Namespaces().Get(ctx, s.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", s.Namespace, err)
	}
	policies, err := v.policies(ctx)
	if err != nil {
		return nil, err
	}
	return Decide(policies, Request{
		Namespace: s.Namespace, Labels: ns.Labels, Peer: s.Spec.Peer.ClusterID, AgentNamespace: v.AgentNamespace,
	})
}

// paired proves that a volume which is sent goes where an administrator paired its
// namespace with. What comes in is for the policies alone.
func (v *Verifier) paired(ctx context.Context, s *v1alpha1.VolumeShipment, grant *Grant) error {
	if s.Spec.Role != v1alpha1.RoleSend || grant.AllowUnpaired {
		return nil
	}
	pairs, err := cluster.List[v1alpha1.ClusterPair](ctx, v.Cluster, v1alpha1.ClusterPairs, s.Namespace, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("clusterpairs of %s: %w", s.Namespace, err)
	}
	return grant.Paired(pairs, s.Spec.Peer.ClusterID, time.Now())
}

func (v *Verifier) policies(ctx context.Context) ([]v1alpha1.MotionPolicy, error) {
	policies, err := cluster.List[v1alpha1.MotionPolicy](ctx, v.Cluster, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("motionpolicies: %w", err)
	}
	return policies, nil
}

// AnyAccepts says whether any policy accepts connections from addr, for probes.
func (v *Verifier) AnyAccepts(ctx context.Context, addr netip.Addr) (bool, error) {
	policies, err := v.policies(ctx)
	if err != nil {
		return false, err
	}
	return AnyAccepts(policies, addr), nil
}

// Volume proves whose volume the shipment's claim has, through which pod of this
// node it is reached, and whether anybody else could write it. With an error that
// has a reason, the volume holds what was proved before it.
func (v *Verifier) Volume(ctx context.Context, s *v1alpha1.VolumeShipment) (*Volume, error) {
	out := &Volume{}
	var err error
	if out.Claim, out.PV, err = v.claim(ctx, s); err != nil {
		return out, err
	}
	if err := Claim(s, out.Claim, out.PV); err != nil {
		return out, err
	}
	out.Origin = out.Claim
	if string(out.Claim.UID) != s.Spec.ClaimUID {
		if out.Origin, err = v.pvc(ctx, s.Namespace, s.Spec.ClaimName); err != nil {
			return out, err
		}
		if err := Origin(s, out.Origin); err != nil {
			return out, err
		}
	}
	around, err := v.neighbours(ctx, s, out.PV)
	if err != nil {
		return out, err
	}
	if out.Mount, err = FindMount(out.Claim, around.Pods, v.Node); err != nil {
		return out, err
	}
	out.pods = around.Pods
	out.Shared = Exclusive(s, out.PV, v.Node, *around)
	return out, nil
}

// claim reads the PVC and its PV; what does not exist is nil.
func (v *Verifier) claim(ctx context.Context, s *v1alpha1.VolumeShipment) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
	name, _ := s.Spec.Mounted()
	pvc, err := v.pvc(ctx, s.Namespace, name)
	if err != nil || pvc == nil || pvc.Spec.VolumeName == "" {
		return pvc, nil, err
	}
	pv, err := v.Cluster.Kube.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return pvc, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("volume %s of claim %s/%s: %w", pvc.Spec.VolumeName, pvc.Namespace, pvc.Name, err)
	}
	return pvc, pv, nil
}

// pvc reads a claim; nil when it does not exist.
func (v *Verifier) pvc(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	pvc, err := v.Cluster.Kube.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s/%s: %w", namespace, name, err)
	}
	return pvc, nil
}

func (v *Verifier) neighbours(ctx context.Context, s *v1alpha1.VolumeShipment, pv *corev1.PersistentVolume) (*Neighbours, error) {
	pods, err := v.Cluster.Kube.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("pods of %s: %w", s.Namespace, err)
	}
	shipments, err := v.otherReceivers(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("shipments of %s: %w", s.Namespace, err)
	}
	out := &Neighbours{Pods: pods.Items, Shipments: shipments}
	if pv.Spec.HostPath != nil || pv.Spec.Local != nil {
		return out, nil // never attached to anything
	}
	attachments, err := v.Cluster.Kube.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("volumeattachments: %w", err)
	}
	out.Attachments = attachments.Items
	return out, nil
}

// otherReceivers lists at least the shipments that other nodes receive into s's claim with. All
// of the namespace would be the same to check.Exclusive; but where there are a thousand, and each is
// verified again and again, listing them all every time leaves the API server no time for anybody else.
// Servers before Kubernetes 1.31, and those with an older definition, do not know the selector.
func (v *Verifier) otherReceivers(ctx context.Context, s *v1alpha1.VolumeShipment) ([]v1alpha1.VolumeShipment, error) {
	claim, _ := s.Spec.Mounted()
	those := fields.AndSelectors(
		fields.OneTermEqualSelector("spec.role", string(v1alpha1.RoleReceive)),
		fields.OneTermEqualSelector("spec.claimName", claim),
		fields.OneTermNotEqualSelector("status.nodeName", ""),
		fields.OneTermNotEqualSelector("status.nodeName", v.Node))
	found, err := cluster.List[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, s.Namespace,
		metav1.ListOptions{FieldSelector: those.String()})
	if apierrors.IsBadRequest(err) {
		return cluster.List[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, s.Namespace, metav1.ListOptions{})
	}
	return found, err
}
