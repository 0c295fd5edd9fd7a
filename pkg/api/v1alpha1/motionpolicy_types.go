// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpecialFiles is what an agent does with files that could harm the node or
// cluster that receives them: setuid-root files, device nodes, file capabilities
// and trusted.* extended attributes.
// +kubebuilder:validation:Enum=Refuse;Preserve
type SpecialFiles string

const (
	// SpecialFilesRefuse fails the shipment and reports the first such path.
	SpecialFilesRefuse SpecialFiles = "Refuse"
	// SpecialFilesPreserve copies them as they are.
	SpecialFilesPreserve SpecialFiles = "Preserve"
)

// PolicyPeer is a cluster that the selected namespaces may exchange volumes with.
type PolicyPeer struct {
	// clusterID identifies the peer: the UID of its kube-system namespace.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:MinLength=1
	ClusterID string `json:"clusterID"`
	// name of the peer, for display only.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// cidrs are the networks that agents may connect to for this peer, and accept its connections from.
	// Empty: no connection by IP address is allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	CIDRs []string `json:"cidrs,omitempty"`
	// hosts are the exact DNS names that agents may connect to for this peer.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	Hosts []string `json:"hosts,omitempty"`
	// relay allows this peer's connections through the relay, that is, through the API server. cidrs does
	// not apply to them: access to the relay is controlled by RBAC. The policies of both clusters must
	// allow it.
	// +optional
	Relay bool `json:"relay,omitempty"`
}

// MountPodTemplate configures mount pods: the pods that keep a volume mounted while an agent copies it.
type MountPodTemplate struct {
	// image of the mount pod's container. It must keep running with its default command as a non-root
	// user. Default: registry.k8s.io/pause:3.10.1.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// imagePullSecrets are Secrets in the application's namespace for pulling the image.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// resources of the mount pod's container. A low CPU limit delays its start. Default: requests of 50m
	// CPU and 16Mi memory; limits of the same size only where a quota or LimitRange requires limits.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// MotionPolicySpec is what an administrator allows for a set of namespaces.
type MotionPolicySpec struct {
	// namespaceSelector selects the namespaces whose volumes may be shipped.
	// An empty selector selects every namespace.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	// peers are the clusters that the selected namespaces may exchange volumes with.
	// +listType=map
	// +listMapKey=clusterID
	// +kubebuilder:validation:MaxItems=64
	Peers []PolicyPeer `json:"peers"`
	// maxBandwidth is the maximum network bandwidth of one shipment, in bytes per second, such as 50Mi.
	// Unset: no limit.
	// +optional
	MaxBandwidth *resource.Quantity `json:"maxBandwidth,omitempty"`
	// maxConcurrentShipments is the maximum number of shipments of one namespace that an agent runs at
	// the same time.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxConcurrentShipments int32 `json:"maxConcurrentShipments,omitempty"`
	// specialFiles is the treatment of setuid-root files, device nodes, file capabilities and trusted.*
	// attributes: Refuse fails the shipment, Preserve copies them.
	// +optional
	// +kubebuilder:default=Refuse
	SpecialFiles SpecialFiles `json:"specialFiles,omitempty"`
	// allowUnpaired allows volumes to be sent from a selected namespace that has no ClusterPair, with
	// --to-context. It has to be set in every policy that selects the namespace and lists the peer.
	// +optional
	AllowUnpaired bool `json:"allowUnpaired,omitempty"`
	// mountPodTemplate configures the mount pods of the selected namespaces.
	// +optional
	MountPodTemplate *MountPodTemplate `json:"mountPodTemplate,omitempty"`
}

// MotionPolicy sets which namespaces may exchange volumes with which clusters, and within which limits.
// Volumes of a namespace that no policy selects are not copied.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=motion
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.spec.peers[*].name`
// +kubebuilder:printcolumn:name="Special Files",type=string,JSONPath=`.spec.specialFiles`
// +kubebuilder:printcolumn:name="Max Bandwidth",type=string,JSONPath=`.spec.maxBandwidth`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MotionPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MotionPolicySpec `json:"spec"`
}

// MotionPolicyList is a list of MotionPolicies.
// +kubebuilder:object:root=true
type MotionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MotionPolicy `json:"items"`
}
