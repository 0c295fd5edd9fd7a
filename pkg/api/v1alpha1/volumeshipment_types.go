// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Role is the end of a shipment that a VolumeShipment describes.
// +kubebuilder:validation:Enum=Send;Receive
type Role string

const (
	// RoleSend reads the claim and dials the peer.
	RoleSend Role = "Send"
	// RoleReceive writes the claim and is dialled.
	RoleReceive Role = "Receive"
)

// CopyMethod is how the source's bytes are looked at for one generation.
// +kubebuilder:validation:Enum=Live;Stopped;Snapshot
type CopyMethod string

const (
	// CopyMethodLive reads the mounted volume while the application may write it.
	// Entries that move under the read keep the generation from being verified.
	CopyMethodLive CopyMethod = "Live"
	// CopyMethodStopped reads the mounted volume after the application was stopped;
	// the agent proves that nobody but a mount pod has the claim, before the read
	// and after it.
	CopyMethodStopped CopyMethod = "Stopped"
	// CopyMethodSnapshot reads a clone of a snapshot, which spec.snapshot names; the
	// agent proves that nobody but a mount pod has the clone.
	CopyMethodSnapshot CopyMethod = "Snapshot"
)

// Conditions of a VolumeShipment. All are written by the agent.
const (
	// ShipmentAssigned is True while an agent serves the shipment.
	ShipmentAssigned = "Assigned"
	// ShipmentExclusive is True when only mount pods reference the claim.
	ShipmentExclusive = "Exclusive"
	// ShipmentShipped is True when every byte of spec.sync has arrived,
	// False with a reason of the closed set below when it cannot.
	ShipmentShipped = "Shipped"
	// ShipmentVerified is True when both ends computed the same digest for
	// spec.sync and the receiver committed it.
	ShipmentVerified = "Verified"
	// ShipmentConsistent is False while the target's volume is between two syncs:
	// nothing may start on it. It is True once a sync was applied in full. Only for
	// role Receive.
	ShipmentConsistent = "Consistent"
)

// Reasons of the conditions above, a closed set. The first group is progress,
// the second ends a generation (the plugin raises spec.sync to try
// again), the third is retried by the agent itself.
const (
	ReasonWaitingForPeer     = "WaitingForPeer"
	ReasonWaitingForMountPod = "WaitingForMountPod"
	ReasonQueued             = "Queued"
	ReasonShipping           = "Shipping"
	ReasonShipped            = "Shipped"
	ReasonVerified           = "Verified"
	ReasonConsistent         = "Consistent"       // the target holds a sync in full
	ReasonPartiallyApplied   = "PartiallyApplied" // the target holds a part of a sync
	ReasonAssigned           = "Assigned"
	ReasonExclusive          = "Exclusive"
	ReasonSuperseded         = "Superseded"

	ReasonClaimMismatch        = "ClaimMismatch"        // check a: PVC or PV is not what the shipment says
	ReasonMountPodInvalid      = "MountPodInvalid"      // check b: no fit pod on this node
	ReasonMountInvalid         = "MountInvalid"         // check c, d: path is no mount of that volume
	ReasonBlockDevicesDisabled = "BlockDevicesDisabled" // the agents of this cluster may not open raw block volumes
	ReasonPolicyDenied         = "PolicyDenied"         // no policy selects the namespace or names the peer
	ReasonAddressNotAllowed    = "AddressNotAllowed"    // the policy does not allow dialling the address
	ReasonNotExclusive         = "NotExclusive"         // a pod other than a mount pod has the claim
	ReasonPeerKeyMismatch      = "PeerKeyMismatch"      // TLS: the peer's key is not the pinned one
	ReasonPeerRejected         = "PeerRejected"         // the peer's hello is about another shipment
	ReasonPeerVersionMismatch  = "PeerVersionMismatch"  // the ends speak different protocol versions
	ReasonSpecialFileRefused   = "SpecialFileRefused"   // check g
	ReasonUnreadable           = "Unreadable"           // an entry could not be read
	ReasonTargetFull           = "TargetFull"           // no space or quota on the target volume
	ReasonTargetTooSmall       = "TargetTooSmall"       // the target device is smaller than the source
	ReasonTargetUnsupported    = "TargetUnsupported"    // the target cannot hold an entry (xattr, name, size ...)
	ReasonSourceChanged        = "SourceChanged"        // entries moved under a live read: shipped, not promotable
	ReasonDigestMismatch       = "DigestMismatch"       // the ends disagree about what is on the target
	ReasonStateCorrupt         = "StateCorrupt"         // the agent's own state does not verify
	ReasonInternal             = "Internal"

	ReasonPeerUnreachable = "PeerUnreachable" // no connection to any address
	ReasonConnectionLost  = "ConnectionLost"  // the connection ended in mid-shipment
)

// ShipmentPeer is the other end. The plugin fills it in as it learns it; what
// is once set stays, except for a key that the peer's agent had to renew
// because it moved to another node, and its addresses.
// +kubebuilder:validation:XValidation:rule="self.clusterID == oldSelf.clusterID && self.__namespace__ == oldSelf.__namespace__",message="clusterID and namespace are immutable"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.shipmentUID) || (has(self.shipmentUID) && self.shipmentUID == oldSelf.shipmentUID)",message="shipmentUID is immutable once set"
type ShipmentPeer struct {
	// clusterID is the UID of the peer's kube-system namespace.
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
	// keySHA256 is the lower-case hex SHA-256 of the peer's SubjectPublicKeyInfo.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	KeySHA256 string `json:"keySHA256,omitempty"`
	// addresses are host:port pairs to dial, in order. Only for role Send.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=261
	Addresses []string `json:"addresses,omitempty"`
}

// ShipmentLimits are wishes of the user within the policy's bounds.
type ShipmentLimits struct {
	// bandwidth bounds the bytes per second on the wire.
	// +optional
	Bandwidth *resource.Quantity `json:"bandwidth,omitempty"`
}

// ChangeDetection say whether equal change times of a file in two views prove equal
// content.
// +kubebuilder:validation:Enum=Timestamps;Content
type ChangeDetection string

const (
	// ChangeDetectionTimestamps: the filesystem was quiet and written out when the snapshot was
	// taken. An increment reads only files whose stamps changed.
	ChangeDetectionTimestamps ChangeDetection = "Timestamps"
	// ChangeDetectionContent: data may be newer than its stamps, as in an image of a device
	// that was mounted and written. An increment reads everything.
	ChangeDetectionContent ChangeDetection = "Content"
)

// ShipmentSnapshot is the clone that a generation with view Snapshot reads: a
// claim in the shipment's namespace, restored from a snapshot of its claim. The
// agent proves of it whatever it proves of a claim. Whether the clone really
// comes from the shipment's claim is the user's own matter: both are theirs.
type ShipmentSnapshot struct {
	// claimName of the clone.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName"`
	// claimUID of the clone.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClaimUID string `json:"claimUID"`
	// changeDetection of the clone, Content unless the driver is known to freeze
	// the filesystem for a snapshot.
	// +optional
	// +kubebuilder:default=Content
	ChangeDetection ChangeDetection `json:"changeDetection,omitempty"`
	// requestedTime is when the snapshot was asked for, by the API server's clock. A
	// file that changed later than that, as the clone has it, is read again in
	// the next generation whatever its stamps say then.
	RequestedTime metav1.Time `json:"requestedTime"`
}

// VolumeShipmentSpec is what the user asks of the agents. It names no pod, no
// node, no PersistentVolume and no path: those the agent finds out by itself.
// +kubebuilder:validation:XValidation:rule="self.role == oldSelf.role && self.claimName == oldSelf.claimName && self.claimUID == oldSelf.claimUID",message="role, claimName and claimUID are immutable: a shipment belongs to one claim"
// +kubebuilder:validation:XValidation:rule="self.sync >= oldSelf.sync",message="generation must not decrease"
// +kubebuilder:validation:XValidation:rule="self.sync > oldSelf.sync || self.copyMethod == oldSelf.copyMethod",message="view may only change together with generation"
// +kubebuilder:validation:XValidation:rule="self.sync > oldSelf.sync || (has(self.snapshot) == has(oldSelf.snapshot) && (!has(self.snapshot) || self.snapshot == oldSelf.snapshot))",message="snapshot may only change together with generation"
// +kubebuilder:validation:XValidation:rule="self.role != 'Send' || (self.copyMethod == 'Snapshot') == has(self.snapshot)",message="a sender has a snapshot with view Snapshot, and only then"
// +kubebuilder:validation:XValidation:rule="self.role == 'Send' || !has(self.snapshot)",message="only a sender has a snapshot"
type VolumeShipmentSpec struct {
	Role Role `json:"role"`
	// claimName is the PersistentVolumeClaim in the shipment's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClaimName string `json:"claimName"`
	// claimUID is its UID: a claim that was deleted and made again is another one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClaimUID string       `json:"claimUID"`
	Peer     ShipmentPeer `json:"peer"`
	// view is how the source is looked at for this generation. Receivers copy
	// it, so that both ends agree on what the generation is worth.
	// +kubebuilder:default=Live
	CopyMethod CopyMethod `json:"copyMethod"`
	// snapshot is what view Snapshot reads. Only for role Send.
	// +optional
	Snapshot *ShipmentSnapshot `json:"snapshot,omitempty"`
	// generation asks for one pass; raising it asks for the next.
	// 0: claim the shipment and report the endpoint, ship nothing.
	// +kubebuilder:validation:Minimum=0
	Sync int64 `json:"sync"`
	// +optional
	Limits *ShipmentLimits `json:"limits,omitempty"`
}

// ShipmentEndpoint is where and with which key an end can be reached.
type ShipmentEndpoint struct {
	// keySHA256 is the lower-case hex SHA-256 of the end's SubjectPublicKeyInfo.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KeySHA256 string `json:"keySHA256,omitempty"`
	// podUID is the mount pod through which the agent has the volume.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PodUID string `json:"podUID,omitempty"`
	// addresses are host:port pairs at which the peer may dial. Only for role Receive.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=261
	Addresses []string `json:"addresses,omitempty"`
}

// ShipmentStatistics are about the generation in work, or the last one.
type ShipmentStatistics struct {
	// entries is the number of files, directories and other entries seen.
	// +optional
	Entries int64 `json:"entries,omitempty"`
	// totalBytes is the apparent data in the source as far as known.
	// +optional
	TotalBytes int64 `json:"totalBytes,omitempty"`
	// scannedBytes is how much of it was looked at: a file that its stamps prove
	// unchanged counts without being read.
	// +optional
	ScannedBytes int64 `json:"scannedBytes,omitempty"`
	// readBytes is how much was read of the volume for that. On the target it is
	// what had to be read of the target itself.
	// +optional
	ReadBytes int64 `json:"readBytes,omitempty"`
	// changedBytes is how much of it differs from what the target holds.
	// +optional
	ChangedBytes int64 `json:"changedBytes,omitempty"`
	// sentBytes is how much of it has been sent, before compression.
	// +optional
	SentBytes int64 `json:"sentBytes,omitempty"`
	// wireBytes is what went over the network for it.
	// +optional
	WireBytes int64 `json:"wireBytes,omitempty"`
	// changedEntries counts entries that moved under a live read.
	// +optional
	ChangedEntries int64 `json:"changedEntries,omitempty"`
	// startTime is when the first connection of the generation stood.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// completionTime is when the generation ended, well or not.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// VolumeShipmentStatus is written by the agent of status.nodeName only.
type VolumeShipmentStatus struct {
	// observedGeneration is metadata.generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// nodeName is the node whose agent serves the shipment. Agents claim by
	// writing it with a resourceVersion precondition.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// +optional
	Endpoint *ShipmentEndpoint `json:"endpoint,omitempty"`
	// conditions: Assigned, Exclusive, Shipped, Verified, Consistent.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// activeSync is the spec.sync that figures and the conditions
	// Shipped and Verified are about.
	// +optional
	ActiveSync int64 `json:"activeSync,omitempty"`
	// shippedSync is the last spec.sync of which every byte arrived.
	// +optional
	ShippedSync int64 `json:"shippedSync,omitempty"`
	// verifiedSync is the last spec.sync that both ends agree on.
	// +optional
	VerifiedSync int64 `json:"verifiedSync,omitempty"`
	// consistency says what the verified generation is worth: Stopped,
	// ApplicationConsistent, CrashConsistent or Live.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Consistency string `json:"consistency,omitempty"`
	// digest is the lower-case hex digest of the verified generation's tree.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// +optional
	Statistics ShipmentStatistics `json:"statistics,omitempty"`
}

// VolumeShipment ships one claim in one direction, again and again: each pass
// is a generation.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=motion
// +kubebuilder:selectablefield:JSONPath=`.spec.role`
// +kubebuilder:selectablefield:JSONPath=`.spec.claimName`
// +kubebuilder:selectablefield:JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Claim",type=string,JSONPath=`.spec.claimName`
// +kubebuilder:printcolumn:name="View",type=string,JSONPath=`.spec.copyMethod`
// +kubebuilder:printcolumn:name="Generation",type=integer,JSONPath=`.spec.sync`
// +kubebuilder:printcolumn:name="Verified",type=integer,JSONPath=`.status.verifiedSync`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Shipped")].reason`
// +kubebuilder:printcolumn:name="Sent",type=integer,JSONPath=`.status.statistics.sentBytes`
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

// Mounted is the claim whose bytes the generation is about: the clone of a
// snapshot, or the shipment's own. What is remembered from one generation to the
// next belongs to the shipment's own claim in either case.
func (s *VolumeShipmentSpec) Mounted() (name, uid string) {
	if s.Role == RoleSend && s.CopyMethod == CopyMethodSnapshot && s.Snapshot != nil {
		return s.Snapshot.ClaimName, s.Snapshot.ClaimUID
	}
	return s.ClaimName, s.ClaimUID
}
