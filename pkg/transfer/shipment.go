// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package transfer drives the two VolumeShipments of a claim from the user's
// side.
//
// A Link is a pair of shipments, Send on the source and Receive on the target,
// that name each other. The plugin makes both, waits until an agent has claimed
// each, and copies what one end published (its UID, the hash of its key, its
// addresses) into the other's spec.peer. From then on the agents talk to each
// other, and the plugin only raises spec.sync to ask for a pass and
// watches both statuses.
//
// Nothing here is kept between runs but what stands in the two objects: a
// plugin that was killed finds the links again by their names, and a pass that
// the agents finished meanwhile is finished.
package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// End is one side of a link: a claim in a namespace of a cluster.
type End struct {
	cluster.Namespace
	ClaimName string
	ClaimUID  string
}

// Link is what ships one claim from Source to Target.
type Link struct {
	Source, Target End
	// Migration and the peer's name go into the objects' names and labels.
	Migration string
	Limits    *v1alpha1.ShipmentLimits
	// Addressless: the sender gets no address, and waits for connections from the
	// relay.
	Addressless bool
	// Relayed: the relay can connect to the sender, so that it works without
	// addresses where there are none.
	Relayed bool

	// placed are the endpoints that place has compared with the pods, by role.
	placed map[v1alpha1.Role]placement
	// misplaced is why an end's agent is not the one of the volume's node; "" if both are.
	misplaced string
}

// Name of a shipment: the same for the same claim, peer and role.
func Name(claim, peerCluster, peerNamespace string, role v1alpha1.Role) string {
	sum := sha256.Sum256([]byte(claim + "\x00" + peerCluster + "\x00" + peerNamespace + "\x00" + string(role)))
	if len(claim) > 45 {
		claim = claim[:45]
	}
	return fmt.Sprintf("%s-%s-%s", strings.Trim(claim, "-."), strings.ToLower(string(role)), hex.EncodeToString(sum[:4]))
}

func (l *Link) sendName() string {
	return Name(l.Source.ClaimName, l.Target.Cluster.ID, l.Target.Name, v1alpha1.RoleSend)
}

func (l *Link) receiveName() string {
	return Name(l.Target.ClaimName, l.Source.Cluster.ID, l.Source.Name, v1alpha1.RoleReceive)
}

// Pair is a snapshot of both ends' objects.
type Pair struct {
	Send, Receive *v1alpha1.VolumeShipment
}

// Get reads both ends.
func (l *Link) Get(ctx context.Context) (Pair, error) {
	send, err := get(ctx, l.Source, l.sendName())
	if err != nil {
		return Pair{}, err
	}
	receive, err := get(ctx, l.Target, l.receiveName())
	return Pair{Send: send, Receive: receive}, err
}

func get(ctx context.Context, e End, name string) (*v1alpha1.VolumeShipment, error) {
	s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, e.Cluster, v1alpha1.VolumeShipments, e.Name, name)
	if err != nil {
		return nil, fmt.Errorf("volumeshipment %s/%s on %s: %w", e.Name, name, e.Cluster, err)
	}
	return s, nil
}

// Ensure makes both shipments exist. A shipment of a claim that was deleted and
// recreated since is replaced: its state is about another volume.
func (l *Link) Ensure(ctx context.Context) error {
	if err := l.ensure(ctx, l.Target, l.Source, v1alpha1.RoleReceive, l.receiveName()); err != nil {
		return err
	}
	return l.ensure(ctx, l.Source, l.Target, v1alpha1.RoleSend, l.sendName())
}

func (l *Link) ensure(ctx context.Context, own, peer End, role v1alpha1.Role, name string) error {
	old, err := cluster.Get[v1alpha1.VolumeShipment](ctx, own.Cluster, v1alpha1.VolumeShipments, own.Name, name)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("volumeshipment %s/%s on %s: %w", own.Name, name, own.Cluster, err)
	case old.Spec.ClaimUID == own.ClaimUID && old.Spec.ClaimName == own.ClaimName && old.DeletionTimestamp == nil:
		return nil
	default:
		if err := l.delete(ctx, own, name); err != nil {
			return err
		}
	}
	_, err = cluster.Create(ctx, own.Cluster, v1alpha1.VolumeShipments, own.Name, &v1alpha1.VolumeShipment{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: own.Name,
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue, v1alpha1.LabelMigration: l.Migration},
		},
		Spec: v1alpha1.VolumeShipmentSpec{
			Role: role, ClaimName: own.ClaimName, ClaimUID: own.ClaimUID, CopyMethod: v1alpha1.CopyMethodLive,
			Peer:   v1alpha1.ShipmentPeer{ClusterID: peer.Cluster.ID, Namespace: peer.Name},
			Limits: l.Limits,
		},
	})
	if err != nil {
		return fmt.Errorf("volumeshipment %s/%s on %s: %w", own.Name, name, own.Cluster, err)
	}
	return nil
}

func (l *Link) delete(ctx context.Context, e End, name string) error {
	err := e.Cluster.Resource(v1alpha1.VolumeShipments, e.Name).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("volumeshipment %s/%s on %s: %w", e.Name, name, e.Cluster, err)
	}
	return nil
}

// Delete removes both shipments.
func (l *Link) Delete(ctx context.Context) error {
	if err := l.delete(ctx, l.Source, l.sendName()); err != nil {
		return err
	}
	return l.delete(ctx, l.Target, l.receiveName())
}

// Connect copies what each end published into the other's spec.peer, as far as
// it is known. It replaces a shipment whose peer is no longer the one it was
// linked to, because a peer's UID cannot be changed. It returns true when both
// ends know each other.
func (l *Link) Connect(ctx context.Context, p Pair) (bool, error) {
	for _, side := range []struct {
		end     End
		peerOf  End
		s, peer *v1alpha1.VolumeShipment
	}{{l.Source, l.Target, p.Send, p.Receive}, {l.Target, l.Source, p.Receive, p.Send}} {
		if linked := side.s.Spec.Peer.ShipmentUID; linked != "" && linked != string(side.peer.UID) {
			if err := l.delete(ctx, side.end, side.s.Name); err != nil {
				return false, err
			}
			return false, l.Ensure(ctx)
		}
	}
	l.misplaced = ""
	for _, side := range []struct {
		end End
		s   *v1alpha1.VolumeShipment
	}{{l.Target, p.Receive}, {l.Source, p.Send}} {
		why, err := l.place(ctx, side.end, side.s)
		if err != nil {
			return false, err
		}
		l.misplaced = cmp.Or(l.misplaced, why)
	}
	if l.misplaced != "" || !Assigned(p.Send) || !Assigned(p.Receive) {
		return false, nil
	}
	addresses := p.Receive.Status.Endpoint.Addresses
	switch {
	case l.Addressless:
		addresses = nil
	case len(addresses) == 0 && !l.Relayed:
		return false, nil
	}
	if err := l.introduce(ctx, l.Target, p.Receive, p.Send, nil); err != nil {
		return false, err
	}
	return true, l.introduce(ctx, l.Source, p.Send, p.Receive, addresses)
}

func (l *Link) introduce(ctx context.Context, e End, s, peer *v1alpha1.VolumeShipment, addresses []string) error {
	want := s.Spec.Peer
	want.ShipmentUID, want.KeySHA256, want.Addresses = string(peer.UID), peer.Status.Endpoint.KeySHA256, addresses
	return l.change(ctx, e, s.Name, func(s *v1alpha1.VolumeShipment) bool {
		same := s.Spec.Peer.ShipmentUID == want.ShipmentUID && s.Spec.Peer.KeySHA256 == want.KeySHA256 &&
			slices.Equal(s.Spec.Peer.Addresses, want.Addresses)
		s.Spec.Peer = want
		return !same
	})
}

// Request asks both ends for a pass of the given generation. The receiver is
// asked first, so that it expects the sender when it dials. snapshot is what view
// Snapshot reads, and nil with any other.
func (l *Link) Request(ctx context.Context, number int64, source v1alpha1.CopyMethod, snapshot *v1alpha1.ShipmentSnapshot) error {
	ask := func(s *v1alpha1.VolumeShipment) bool {
		if s.Spec.Sync >= number {
			return false
		}
		s.Spec.Sync, s.Spec.CopyMethod, s.Spec.Limits = number, source, l.Limits
		if s.Spec.Snapshot = nil; s.Spec.Role == v1alpha1.RoleSend {
			s.Spec.Snapshot = snapshot
		}
		return true
	}
	if err := l.change(ctx, l.Target, l.receiveName(), ask); err != nil {
		return err
	}
	return l.change(ctx, l.Source, l.sendName(), ask)
}

func (l *Link) change(ctx context.Context, e End, name string, f func(*v1alpha1.VolumeShipment) bool) error {
	err := cluster.RetryOnConflict(func() error {
		s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, e.Cluster, v1alpha1.VolumeShipments, e.Name, name)
		if err != nil || !f(s) {
			return err
		}
		_, err = cluster.Update(ctx, e.Cluster, v1alpha1.VolumeShipments, e.Name, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("volumeshipment %s/%s on %s: %w", e.Name, name, e.Cluster, err)
	}
	return nil
}

// Assigned says whether an agent serves the shipment and has published its end.
func Assigned(s *v1alpha1.VolumeShipment) bool {
	return s.Status.NodeName != "" && s.Status.Endpoint != nil && s.Status.Endpoint.KeySHA256 != ""
}

// Last is the highest generation that either end knows of.
func (p Pair) Last() int64 {
	return max(p.Send.Spec.Sync, p.Receive.Spec.Sync,
		p.Send.Status.ActiveSync, p.Receive.Status.ActiveSync)
}

func condition(s *v1alpha1.VolumeShipment, t string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Status.Conditions, t); c != nil {
		return *c
	}
	return metav1.Condition{Type: t, Status: metav1.ConditionUnknown}
}
