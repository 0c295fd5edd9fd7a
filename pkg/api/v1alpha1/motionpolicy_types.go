// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SpecialFiles says what an agent does with entries that could harm the node
// or the cluster that receives them: setuid-root files, device nodes, file
// capabilities and trusted.* attributes.
// +kubebuilder:validation:Enum=Refuse;Preserve
type SpecialFiles string

const (
	// SpecialFilesRefuse fails the shipment with the first such path.
	SpecialFilesRefuse SpecialFiles = "Refuse"
	// SpecialFilesPreserve carries them over.
	SpecialFilesPreserve SpecialFiles = "Preserve"
)

// PolicyPeer is one cluster that namespaces under the policy may exchange
// volumes with.
type PolicyPeer struct {
	// clusterID is the UID of the peer's kube-system namespace.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:MinLength=1
	ClusterID string `json:"clusterID"`
	// name is what the administrator calls the peer; shown, never compared.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// cidrs are the networks that agents may dial for this peer and accept
	// connections of this peer from. No entry: nothing is dialled or accepted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	CIDRs []string `json:"cidrs,omitempty"`
	// hosts are names that agents may dial for this peer, as exact DNS names.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	Hosts []string `json:"hosts,omitempty"`
	// relay lets this peer's connections come by way of the relay, through an API
	// server, whatever cidrs says: there is no address to compare, and who reaches
	// the relay is a matter of rights. Both clusters' policies must allow it.
	// +optional
	Relay bool `json:"relay,omitempty"`
}

// MountPodTemplate is what an administrator may set of the pods that hold volumes.
type MountPodTemplate struct {
	// image of the mount pod; it must keep running with its default command as a
	// non-root user. Default: registry.k8s.io/pause:3.10.1.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// imagePullSecrets in the application's namespace.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// resources of the mount pod's one container. A small limit of the processor makes
	// its start slow. Default: 50m and 16Mi, and that limit only where one is asked for.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

// MotionPolicySpec is the administrator's design for a set of namespaces.
type MotionPolicySpec struct {
	// namespaceSelector selects the namespaces whose volumes may be shipped.
	// An empty selector selects every namespace.
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	// peers are the clusters that may be at the other end.
	// +listType=map
	// +listMapKey=clusterID
	// +kubebuilder:validation:MaxItems=64
	Peers []PolicyPeer `json:"peers"`
	// maxBandwidth bounds the bytes per second on the wire of one shipment.
	// +optional
	MaxBandwidth *resource.Quantity `json:"maxBandwidth,omitempty"`
	// maxConcurrentShipments bounds how many shipments of one namespace an
	// agent works on at a time.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxConcurrentShipments int32 `json:"maxConcurrentShipments,omitempty"`
	// specialFiles says what happens to setuid-root files, devices, file
	// capabilities and trusted.* attributes.
	// +optional
	// +kubebuilder:default=Refuse
	SpecialFiles SpecialFiles `json:"specialFiles,omitempty"`
	// allowUnpaired lets volumes leave the namespaces under the policy without a
	// ClusterPair in them, with --to-context. Every policy that selects a
	// namespace and names the peer must say so.
	// +optional
	AllowUnpaired bool `json:"allowUnpaired,omitempty"`
	// mountPodTemplate shapes the pods that hold volumes.
	// +optional
	MountPodTemplate *MountPodTemplate `json:"mountPodTemplate,omitempty"`
}

// MotionPolicy is an administrator's rule about which namespaces may move,
// where to, and how. A namespace that no policy selects ships nothing.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=motion
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.spec.peers[*].name`
// +kubebuilder:printcolumn:name="Special files",type=string,JSONPath=`.spec.specialFiles`
// +kubebuilder:printcolumn:name="Bandwidth",type=string,JSONPath=`.spec.maxBandwidth`
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
