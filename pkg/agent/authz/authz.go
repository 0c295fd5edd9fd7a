// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package authz decides whether this node's agent may touch the volume of a
// VolumeShipment, for whom, and at which addresses.
//
// A shipment's spec is written by a user of its namespace and proves nothing.
// Authorizer.Authorize is the one decision. It goes from the spec to bytes on the
// node in steps that the user cannot bend:
//
//	Evaluate        namespace, peer cluster -> MotionPolicies -> Grant
//	Grant.Paired    a sender: a ClusterPair of the namespace that has not expired
//	CheckClaim      shipment -> PVC (name, UID) -> PV (which points back with its UID)
//	FindMount       PVC -> a pod of the namespace on this node -> its place in the
//	                kubelet's folder (pod UID, container, index: syntax checked)
//	CheckExclusive  only mount pods can write the volume
//	Grant.Dial, Grant.Accept, Grant.ThroughRelay
//	                which addresses may be the peer, at every connection
//
// A user can create a PVC whose volumeName is another PVC's PV, can label any pod
// as a mount pod, and can write any UID into a spec. CheckClaim rejects the first,
// the second reaches only volumes that the kubelet mounted into a pod of the same
// namespace, and a UID is only compared with what the API server returns. With
// copyMethod Snapshot all of this is about the clone, a PVC of the same namespace;
// of the shipment's own PVC only the identity is proved (CheckOrigin).
//
// A namespace that no MotionPolicy selects ships nothing, and neither does a
// selected one to or from a peer that its policies do not name. When several
// policies select a namespace and name the peer, they add up in where (the union
// of CIDRs and hosts, and the relay) and restrict each other in how (the lowest
// bandwidth, the lowest concurrency, Refuse before Preserve, a pair before none),
// so that adding a policy never lifts a limit that another one set. An invalid
// value in a policy (a CIDR or selector that does not parse) allows nothing.
//
// Every object is read from the API server for each decision, consistently (no
// cache, no resourceVersion): a cache lags by an unknown time, in which a PVC may
// have been recreated or an application pod started. An error with a reason of the
// closed set (package fault) is a decision. Any other is the API server's, which
// decides nothing: retry.
package authz

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
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

// Authorizer decides about the shipments of one cluster that one node serves.
type Authorizer struct {
	Cluster *cluster.Cluster
	// Node is this agent's node.
	Node string
	// NodeIP is its address; invalid when it is not known.
	NodeIP netip.Addr
	// AgentNamespace is never shipped.
	AgentNamespace string

	podsOnce sync.Once
	podSlots chan struct{}
}

// Volume is the volume of a shipment on this node.
type Volume struct {
	// Claim is the mounted PVC: with copyMethod Snapshot the clone.
	Claim *corev1.PersistentVolumeClaim
	// Origin is the shipment's own PVC. The agent's state of the volume is stored
	// under its UID.
	Origin *corev1.PersistentVolumeClaim
	PV     *corev1.PersistentVolume
	// Mount is how the volume is reached.
	Mount *Mount
	// Shared is nil when only this shipment can write the volume, otherwise an
	// error with the reason NotExclusive.
	Shared error
	// pods of the namespace.
	pods []corev1.Pod
}

// Authorization is everything that was proved about a shipment at one time.
type Authorization struct {
	Volume
	Shipment *v1alpha1.VolumeShipment
	Grant    *Grant
}

// Shipment reads a shipment, which must have uid, must not be terminating, and must
// be assigned to this node.
func (v *Authorizer) Shipment(ctx context.Context, namespace, name string, uid types.UID) (*v1alpha1.VolumeShipment, error) {
	s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment was deleted")
	case err != nil:
		return nil, fmt.Errorf("shipment %s/%s: %w", namespace, name, err)
	case s.UID != uid || s.DeletionTimestamp != nil:
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment was deleted")
	case v.forOtherNode(s):
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the mount pod of the shipment runs on node %s", s.Spec.NodeName)
	case s.Status.NodeName != v.Node:
		return nil, fault.New(v1alpha1.ReasonSuperseded, "the shipment is no longer assigned to node %s", v.Node)
	}
	return s, nil
}

// forOtherNode reports whether spec.nodeName excludes this node.
func (v *Authorizer) forOtherNode(s *v1alpha1.VolumeShipment) bool {
	return s.Spec.NodeName != "" && s.Spec.NodeName != v.Node
}

// Authorize proves all that can be proved of the shipment with uid without touching
// the node (checks a and b, exclusivity, policy). Volume.Shared is the caller's to
// judge: with copyMethod Live the volume may be shared.
func (v *Authorizer) Authorize(ctx context.Context, namespace, name string, uid types.UID) (*Authorization, error) {
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
	return &Authorization{Volume: *volume, Shipment: s, Grant: grant}, nil
}

// Grant reads what the policies allow the shipment.
func (v *Authorizer) Grant(ctx context.Context, s *v1alpha1.VolumeShipment) (*Grant, error) {
	ns, err := v.Cluster.Kube.CoreV1().Namespaces().Get(ctx, s.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", s.Namespace, err)
	}
	policies, err := v.policies(ctx)
	if err != nil {
		return nil, err
	}
	grant, err := Evaluate(policies, Request{
		Namespace: s.Namespace, Labels: ns.Labels, Peer: s.Spec.Peer.ClusterID, AgentNamespace: v.AgentNamespace,
	})
	if err != nil {
		return nil, err
	}
	grant.NodeIP = v.NodeIP
	return grant, nil
}

// paired proves that a volume is sent only to a cluster that an administrator paired
// its namespace with. A receiver needs no pair: the policies decide.
func (v *Authorizer) paired(ctx context.Context, s *v1alpha1.VolumeShipment, grant *Grant) error {
	if s.Spec.Role != v1alpha1.RoleSend || grant.AllowUnpaired {
		return nil
	}
	pairs, err := cluster.List[v1alpha1.ClusterPair](ctx, v.Cluster, v1alpha1.ClusterPairs, s.Namespace, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("clusterpairs of %s: %w", s.Namespace, err)
	}
	return grant.Paired(pairs, s.Spec.Peer.ClusterID, time.Now())
}

func (v *Authorizer) policies(ctx context.Context) ([]v1alpha1.MotionPolicy, error) {
	policies, err := cluster.List[v1alpha1.MotionPolicy](ctx, v.Cluster, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("motionpolicies: %w", err)
	}
	return policies, nil
}

// Volume proves whose volume the shipment's PVC is bound to, through which pod of
// this node it is reached, and whether another writer is possible. With an error
// that has a reason, the returned volume holds what was proved before it.
func (v *Authorizer) Volume(ctx context.Context, s *v1alpha1.VolumeShipment) (*Volume, error) {
	out := &Volume{}
	if v.forOtherNode(s) {
		return out, fault.New(v1alpha1.ReasonWaitingForMountPod, "the mount pod of the shipment runs on node %s", s.Spec.NodeName)
	}
	var err error
	if out.Claim, out.PV, err = v.claim(ctx, s); err != nil {
		return out, err
	}
	if err := CheckClaim(s, out.Claim, out.PV); err != nil {
		return out, err
	}
	out.Origin = out.Claim
	if string(out.Claim.UID) != s.Spec.ClaimUID {
		if out.Origin, err = v.pvc(ctx, s.Namespace, s.Spec.ClaimName); err != nil {
			return out, err
		}
		if err := CheckOrigin(s, out.Origin); err != nil {
			return out, err
		}
	}
	users, err := v.volumeUsers(ctx, s, out.PV)
	if err != nil {
		return out, err
	}
	if out.Mount, err = FindMount(out.Claim, users.Pods, v.Node); err != nil {
		return out, err
	}
	out.pods = users.Pods
	out.Shared = CheckExclusive(s, out.PV, v.Node, *users)
	return out, nil
}

// claim reads the PVC and its PV; either is nil when it does not exist.
func (v *Authorizer) claim(ctx context.Context, s *v1alpha1.VolumeShipment) (*corev1.PersistentVolumeClaim, *corev1.PersistentVolume, error) {
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
		return nil, nil, fmt.Errorf("PersistentVolume %s of PVC %s/%s: %w", pvc.Spec.VolumeName, pvc.Namespace, pvc.Name, err)
	}
	return pvc, pv, nil
}

// pvc reads a PVC; nil when it does not exist.
func (v *Authorizer) pvc(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	pvc, err := v.Cluster.Kube.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("PVC %s/%s: %w", namespace, name, err)
	}
	return pvc, nil
}

func (v *Authorizer) volumeUsers(ctx context.Context, s *v1alpha1.VolumeShipment, pv *corev1.PersistentVolume) (*VolumeUsers, error) {
	pods, err := v.listPods(ctx, s.Namespace)
	if err != nil {
		return nil, fmt.Errorf("pods of %s: %w", s.Namespace, err)
	}
	shipments, err := v.otherReceivers(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("shipments of %s: %w", s.Namespace, err)
	}
	out := &VolumeUsers{Pods: pods, Shipments: shipments}
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

// otherReceivers lists at least the shipments by which other nodes receive into s's
// PVC. CheckExclusive would accept all of the namespace, but with a thousand of them,
// each authorized repeatedly, the lists would load the API server. Servers before
// Kubernetes 1.31, and those with an older definition, reject the field selector.
func (v *Authorizer) otherReceivers(ctx context.Context, s *v1alpha1.VolumeShipment) ([]v1alpha1.VolumeShipment, error) {
	claim, _ := s.Spec.Mounted()
	selector := fields.AndSelectors(
		fields.OneTermEqualSelector("spec.role", string(v1alpha1.RoleReceive)),
		fields.OneTermEqualSelector("spec.claimName", claim),
		fields.OneTermNotEqualSelector("status.nodeName", ""),
		fields.OneTermNotEqualSelector("status.nodeName", v.Node))
	found, err := cluster.List[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, s.Namespace,
		metav1.ListOptions{FieldSelector: selector.String()})
	if apierrors.IsBadRequest(err) {
		return cluster.List[v1alpha1.VolumeShipment](ctx, v.Cluster, v1alpha1.VolumeShipments, s.Namespace, metav1.ListOptions{})
	}
	return found, err
}
