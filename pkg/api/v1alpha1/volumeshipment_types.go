// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Role is Send on the source and Receive on the target of a shipment.
// +kubebuilder:validation:Enum=Send;Receive
type Role string

const (
	// RoleSend reads the volume and connects to the peer.
	RoleSend Role = "Send"
	// RoleReceive accepts the connection and writes the volume.
	RoleReceive Role = "Receive"
)

// CopyMethod is how the source volume is read during one sync.
// +kubebuilder:validation:Enum=Live;Stopped;Snapshot
type CopyMethod string

const (
	// CopyMethodLive reads the volume while the application may write to it. The
	// sync is not verified if a file changed during the read.
	CopyMethodLive CopyMethod = "Live"
	// CopyMethodStopped reads the volume while the application is stopped. Before
	// and after the read, the agent verifies that only mount pods use the PVC.
	CopyMethodStopped CopyMethod = "Stopped"
	// CopyMethodSnapshot reads the PVC of spec.snapshot, a clone that was restored
	// from a snapshot. The agent verifies that only mount pods use the clone.
	CopyMethodSnapshot CopyMethod = "Snapshot"
)

// Conditions of a VolumeShipment. The agent writes them.
const (
	// ShipmentAssigned is True while the agent of status.nodeName works on the
	// shipment.
	ShipmentAssigned = "Assigned"
	// ShipmentExclusive is True when only mount pods use the PVC.
	ShipmentExclusive = "Exclusive"
	// ShipmentShipped is True when all data of spec.sync was received, and False
	// with one of the reasons below while it was not.
	ShipmentShipped = "Shipped"
	// ShipmentVerified is True when source and target computed the same digest for
	// spec.sync and the target committed it.
	ShipmentVerified = "Verified"
	// ShipmentConsistent is True when the target volume has the contents of a
	// complete sync, and False while a sync is partially applied: no application may
	// use the volume then. Only for role Receive.
	ShipmentConsistent = "Consistent"
)

// Reasons of the conditions above while a sync makes progress.
const (
	// ReasonAssigned: an agent works on the shipment (status True).
	ReasonAssigned = "Assigned"
	// ReasonExclusive: only mount pods use the PVC (status True).
	ReasonExclusive = "Exclusive"
	// ReasonWaitingForMountPod: no mount pod of the PVC is running yet.
	ReasonWaitingForMountPod = "WaitingForMountPod"
	// ReasonWaitingForPeer: the peer's shipment is not ready yet.
	ReasonWaitingForPeer = "WaitingForPeer"
	// ReasonQueued: the namespace has reached maxConcurrentShipments on this node.
	ReasonQueued = "Queued"
	// ReasonShipping: data is being transferred.
	ReasonShipping = "Shipping"
	// ReasonShipped: all data was received (status True).
	ReasonShipped = "Shipped"
	// ReasonVerified: source and target computed the same digest (status True).
	ReasonVerified = "Verified"
	// ReasonConsistent: the target volume has a complete sync (status True).
	ReasonConsistent = "Consistent"
	// ReasonPartiallyApplied: a part of a sync is applied to the target volume.
	ReasonPartiallyApplied = "PartiallyApplied"
	// ReasonSuperseded: spec.sync was raised before this sync ended.
	ReasonSuperseded = "Superseded"
)

// Reasons that end a sync. The plugin raises spec.sync to try again.
const (
	// ReasonClaimMismatch: the PVC or its PersistentVolume is not the one that the
	// shipment names.
	ReasonClaimMismatch = "ClaimMismatch"
	// ReasonMountPodInvalid: the pod that mounts the PVC is not a valid mount pod.
	ReasonMountPodInvalid = "MountPodInvalid"
	// ReasonMountInvalid: the path in the kubelet's directory is not a mount of the
	// volume.
	ReasonMountInvalid = "MountInvalid"
	// ReasonBlockDevicesDisabled: the agents of this cluster are installed without
	// access to raw block volumes.
	ReasonBlockDevicesDisabled = "BlockDevicesDisabled"
	// ReasonPolicyDenied: no MotionPolicy selects the namespace and lists the peer.
	ReasonPolicyDenied = "PolicyDenied"
	// ReasonAddressNotAllowed: no MotionPolicy allows connections to the peer's
	// address.
	ReasonAddressNotAllowed = "AddressNotAllowed"
	// ReasonNotExclusive: a pod other than a mount pod uses the PVC.
	ReasonNotExclusive = "NotExclusive"
	// ReasonPeerKeyMismatch: the peer's TLS key is not the one in spec.peer.
	ReasonPeerKeyMismatch = "PeerKeyMismatch"
	// ReasonPeerRejected: the peer rejected the connection, or its greeting names
	// another shipment, role or sync.
	ReasonPeerRejected = "PeerRejected"
	// ReasonPeerVersionMismatch: the agents of the two clusters have no protocol
	// version in common.
	ReasonPeerVersionMismatch = "PeerVersionMismatch"
	// ReasonSpecialFileRefused: the volume has a special file and the policy's
	// specialFiles is Refuse.
	ReasonSpecialFileRefused = "SpecialFileRefused"
	// ReasonUnreadable: a file could not be read.
	ReasonUnreadable = "Unreadable"
	// ReasonTargetFull: the target volume has no space, inodes or quota left.
	ReasonTargetFull = "TargetFull"
	// ReasonTargetTooSmall: the target device is smaller than the source device.
	ReasonTargetTooSmall = "TargetTooSmall"
	// ReasonTargetUnsupported: the target's filesystem cannot store a file as it is
	// (extended attributes, name, size).
	ReasonTargetUnsupported = "TargetUnsupported"
	// ReasonSourceChanged: files changed during a live read. The data was received,
	// but the sync cannot be verified.
	ReasonSourceChanged = "SourceChanged"
	// ReasonDigestMismatch: source and target computed different digests.
	ReasonDigestMismatch = "DigestMismatch"
	// ReasonStateCorrupt: the agent's saved state of the volume is corrupt.
	ReasonStateCorrupt = "StateCorrupt"
	// ReasonInternal: an unexpected error of the agent; the message has the cause.
	ReasonInternal = "Internal"
)

// Reasons of failures that the agent retries.
const (
	// ReasonPeerUnreachable: none of the peer's addresses accepts a connection.
	ReasonPeerUnreachable = "PeerUnreachable"
	// ReasonConnectionLost: the connection was lost during the transfer.
	ReasonConnectionLost = "ConnectionLost"
)

// ShipmentPeer is the shipment at the other end. The plugin sets its fields as
// they become known. Only keySHA256 and addresses may change afterwards: they do
// when the peer's volume is mounted on another node.
// +kubebuilder:validation:XValidation:rule="self.clusterID == oldSelf.clusterID && self.__namespace__ == oldSelf.__namespace__",message="clusterID and namespace are immutable"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.shipmentUID) || (has(self.shipmentUID) && self.shipmentUID == oldSelf.shipmentUID)",message="shipmentUID is immutable once set"
type ShipmentPeer struct {
	// clusterID identifies the peer's cluster: the UID of its kube-system namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID"`
	// namespace of the peer's shipment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// shipmentUID is the UID of the peer's VolumeShipment.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ShipmentUID string `json:"shipmentUID,omitempty"`
	// keySHA256 is the lower-case hex SHA-256 of the peer's TLS public key (SubjectPublicKeyInfo).
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	KeySHA256 string `json:"keySHA256,omitempty"`
	// addresses (host:port) at which the peer is reached, in the order in which they are tried. Only for
	// role Send.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=261
	Addresses []string `json:"addresses,omitempty"`
}

// ShipmentLimits are limits set by the user, in addition to those of the policy.
type ShipmentLimits struct {
	// bandwidth is the maximum network bandwidth, in bytes per second, such as 50Mi.
	// +optional
	Bandwidth *resource.Quantity `json:"bandwidth,omitempty"`
}

// ChangeDetection is how an incremental sync from a snapshot finds changed files.
// +kubebuilder:validation:Enum=Timestamps;Content
type ChangeDetection string

const (
	// ChangeDetectionTimestamps: a file whose size and timestamps are unchanged is
	// not read. Only safe when the filesystem was frozen, with everything written
	// out, while the snapshot was taken.
	ChangeDetectionTimestamps ChangeDetection = "Timestamps"
	// ChangeDetectionContent: every file is read and compared, because in a
	// snapshot of a filesystem in use data may be newer than its timestamps.
	ChangeDetectionContent ChangeDetection = "Content"
)

// ShipmentSnapshot is the clone that a sync with copyMethod Snapshot reads: a PVC
// in the shipment's namespace that was restored from a snapshot of the shipment's
// PVC. The agent makes the same checks on it as on any PVC. It does not verify
// where the clone comes from: PVC and clone belong to the same user.
type ShipmentSnapshot struct {
	// claimName is the name of the clone's PersistentVolumeClaim.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName"`
	// claimUID is the UID of the clone's PersistentVolumeClaim.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClaimUID string `json:"claimUID"`
	// changeDetection is Timestamps (read only files whose size or timestamps changed) or Content (read
	// all files). Timestamps is only safe when the driver freezes the filesystem for a snapshot.
	// +optional
	// +kubebuilder:default=Content
	ChangeDetection ChangeDetection `json:"changeDetection,omitempty"`
	// requestedTime is when the snapshot was requested, by the API server's clock. Files whose timestamps
	// in the clone are later are read again by the next sync, even if their timestamps are unchanged.
	RequestedTime metav1.Time `json:"requestedTime"`
}

// VolumeShipmentSpec is the requested state of a shipment. It has no fields for a
// pod, PersistentVolume or path: the agent finds and verifies those. nodeName only
// narrows down which agent may be assigned.
// +kubebuilder:validation:XValidation:rule="self.role == oldSelf.role && self.claimName == oldSelf.claimName && self.claimUID == oldSelf.claimUID",message="role, claimName and claimUID are immutable: a shipment belongs to one PersistentVolumeClaim"
// +kubebuilder:validation:XValidation:rule="self.sync >= oldSelf.sync",message="sync must not decrease"
// +kubebuilder:validation:XValidation:rule="self.sync > oldSelf.sync || self.copyMethod == oldSelf.copyMethod",message="copyMethod may only change together with sync"
// +kubebuilder:validation:XValidation:rule="self.sync > oldSelf.sync || (has(self.snapshot) == has(oldSelf.snapshot) && (!has(self.snapshot) || self.snapshot == oldSelf.snapshot))",message="snapshot may only change together with sync"
// +kubebuilder:validation:XValidation:rule="self.role != 'Send' || (self.copyMethod == 'Snapshot') == has(self.snapshot)",message="with role Send, snapshot must be set if and only if copyMethod is Snapshot"
// +kubebuilder:validation:XValidation:rule="self.role == 'Send' || !has(self.snapshot)",message="snapshot may only be set with role Send"
type VolumeShipmentSpec struct {
	// role is Send on the source and Receive on the target. Immutable.
	Role Role `json:"role"`
	// claimName is the name of the PersistentVolumeClaim, in the shipment's namespace. Immutable.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName"`
	// claimUID is the UID of the PersistentVolumeClaim. A PVC that was deleted and recreated needs a new
	// shipment. Immutable.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClaimUID string `json:"claimUID"`
	// nodeName is the node on which the mount pod runs. When it is set, only the agent of that node may be
	// assigned (status.nodeName); admission rejects any other. The plugin sets it when the mount pod is scheduled.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// peer is the shipment at the other end.
	Peer ShipmentPeer `json:"peer"`
	// copyMethod is how the source is read during this sync: Live (while the application runs), Stopped or
	// Snapshot. It has the same value at both ends.
	// +kubebuilder:default=Live
	CopyMethod CopyMethod `json:"copyMethod"`
	// snapshot is the clone that copyMethod Snapshot reads. Only for role Send.
	// +optional
	Snapshot *ShipmentSnapshot `json:"snapshot,omitempty"`
	// sync is the number of the requested sync. Raising it requests another one. With 0 an agent is
	// assigned and reports its endpoint, but no data is transferred.
	// +kubebuilder:validation:Minimum=0
	Sync int64 `json:"sync"`
	// limits of this shipment, within those of the policies.
	// +optional
	Limits *ShipmentLimits `json:"limits,omitempty"`
}

// ShipmentEndpoint is how the agent of this end is reached and identified.
type ShipmentEndpoint struct {
	// keySHA256 is the lower-case hex SHA-256 of this end's TLS public key (SubjectPublicKeyInfo).
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KeySHA256 string `json:"keySHA256,omitempty"`
	// podUID is the UID of the mount pod through which the agent accesses the volume.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PodUID string `json:"podUID,omitempty"`
	// addresses (host:port) at which the peer can connect. Only for role Receive.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=261
	Addresses []string `json:"addresses,omitempty"`
}

// ShipmentStatistics are the statistics of the current sync, or of the last one.
type ShipmentStatistics struct {
	// entries is the number of files, directories and other entries found in the source.
	// +optional
	Entries int64 `json:"entries,omitempty"`
	// totalBytes is the apparent size of the source's files found so far, in bytes.
	// +optional
	TotalBytes int64 `json:"totalBytes,omitempty"`
	// scannedBytes is how much of totalBytes was examined, in bytes. It includes files that were not read
	// because their timestamps are unchanged.
	// +optional
	ScannedBytes int64 `json:"scannedBytes,omitempty"`
	// readBytes is the data read from the volume, in bytes. On the target it is the data read from the
	// target volume.
	// +optional
	ReadBytes int64 `json:"readBytes,omitempty"`
	// changedBytes is the data that differs from the target's, in bytes.
	// +optional
	ChangedBytes int64 `json:"changedBytes,omitempty"`
	// sentBytes is the data sent, in bytes before compression.
	// +optional
	SentBytes int64 `json:"sentBytes,omitempty"`
	// wireBytes is the network traffic, in bytes.
	// +optional
	WireBytes int64 `json:"wireBytes,omitempty"`
	// changedEntries is the number of entries that changed during a live read.
	// +optional
	ChangedEntries int64 `json:"changedEntries,omitempty"`
	// startTime is when the first connection of the sync was established.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// completionTime is when the sync ended, whether it succeeded or not.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// VolumeShipmentStatus is the observed state of a shipment. Only the agent of
// status.nodeName writes it.
type VolumeShipmentStatus struct {
	// observedGeneration is the metadata.generation that the status was last updated for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// nodeName is the node whose agent works on the shipment. An agent takes the shipment by writing it
	// with a resourceVersion precondition.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// endpoint is how the agent of this end is reached and identified.
	// +optional
	Endpoint *ShipmentEndpoint `json:"endpoint,omitempty"`
	// conditions of the shipment: Assigned (an agent works on it), Exclusive (only mount pods use the
	// PVC), Shipped (all data was received), Verified (both ends computed the same digest) and, with role
	// Receive, Consistent (the target volume has the contents of a complete sync).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// activeSync is the sync that statistics and the conditions Shipped and Verified refer to.
	// +optional
	ActiveSync int64 `json:"activeSync,omitempty"`
	// shippedSync is the last sync of which all data was received. 0: none yet.
	// +optional
	ShippedSync int64 `json:"shippedSync,omitempty"`
	// verifiedSync is the last sync for which source and target computed the same digest. 0: none yet.
	// +optional
	VerifiedSync int64 `json:"verifiedSync,omitempty"`
	// consistency of the last sync: Stopped (copied while the application was stopped), CrashConsistent
	// (copied from a snapshot) or Live (copied while the application ran).
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Consistency string `json:"consistency,omitempty"`
	// digest is the lower-case hex digest of the volume's contents at verifiedSync.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// statistics of activeSync.
	// +optional
	Statistics ShipmentStatistics `json:"statistics,omitempty"`
}

// VolumeShipment replicates one PersistentVolumeClaim in one direction. Each sync copies what changed
// since the last one. A pair of them, one in each cluster, makes a shipment.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=motion
// +kubebuilder:selectablefield:JSONPath=`.spec.role`
// +kubebuilder:selectablefield:JSONPath=`.spec.claimName`
// +kubebuilder:selectablefield:JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="PVC",type=string,JSONPath=`.spec.claimName`
// +kubebuilder:printcolumn:name="Method",type=string,JSONPath=`.spec.copyMethod`
// +kubebuilder:printcolumn:name="Sync",type=integer,JSONPath=`.spec.sync`
// +kubebuilder:printcolumn:name="Verified",type=integer,JSONPath=`.status.verifiedSync`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Shipped")].reason`
// +kubebuilder:printcolumn:name="Sent Bytes",type=integer,JSONPath=`.status.statistics.sentBytes`
// +kubebuilder:printcolumn:name="Node",type=string,priority=1,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VolumeShipment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   VolumeShipmentSpec   `json:"spec"`
	Status VolumeShipmentStatus `json:"status,omitempty"`
}

// VolumeShipmentList is a list of VolumeShipments.
// +kubebuilder:object:root=true
type VolumeShipmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []VolumeShipment `json:"items"`
}

// Mounted returns the PVC that the sync reads or writes: the clone of a snapshot,
// or the shipment's own PVC. The state kept between syncs belongs to the
// shipment's own PVC in either case.
func (s *VolumeShipmentSpec) Mounted() (name, uid string) {
	if s.Role == RoleSend && s.CopyMethod == CopyMethodSnapshot && s.Snapshot != nil {
		return s.Snapshot.ClaimName, s.Snapshot.ClaimUID
	}
	return s.ClaimName, s.ClaimUID
}
