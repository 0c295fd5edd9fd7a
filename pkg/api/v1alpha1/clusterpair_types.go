// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a ClusterPair.
const (
	// PairReady is True when the credential works and the target answers.
	PairReady = "Ready"
	// PairRenewed is True when the last renewal of the credential worked. It is
	// absent where nothing renews it.
	PairRenewed = "Renewed"
)

// Reasons of PairRenewed.
const (
	// ReasonRenewed goes with True.
	ReasonRenewed = "Renewed"
	// ReasonExpired says that spec.expiryTime is reached: an administrator has to
	// pair again.
	ReasonExpired = "Expired"
	// ReasonRenewalFailed says that the last try failed; the message has why.
	ReasonRenewalFailed = "RenewalFailed"
)

// ClusterPairSpec names a destination for the objects of one namespace.
// +kubebuilder:validation:XValidation:rule="self.clusterID == oldSelf.clusterID",message="clusterID is immutable: delete the pair and pair again to point it at another cluster"
type ClusterPairSpec struct {
	// clusterID is the UID of the target's kube-system namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID"`
	// targetNamespace is where the credential has its rights.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	TargetNamespace string `json:"targetNamespace"`
	// secretName names the Secret in the pair's namespace that has the keys
	// server, ca.crt, token and namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
	// expiryTime is when the pair ends: no credential is renewed after it, and
	// none lives longer.
	// +optional
	ExpiryTime *metav1.Time `json:"expiryTime,omitempty"`
}

// ClusterPairStatus is what was seen of the target.
type ClusterPairStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, Renewed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// server is the API server of the target, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Server string `json:"server,omitempty"`
	// credentialExpiryTime is when the token in the Secret ends.
	// +optional
	CredentialExpiryTime *metav1.Time `json:"credentialExpiryTime,omitempty"`
}

// ClusterPair lets the users of its namespace migrate to a namespace of
// another cluster, within what the administrator allowed when pairing.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=motion
// +kubebuilder:printcolumn:name="Target namespace",type=string,JSONPath=`.spec.targetNamespace`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.status.server`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Expires",type=string,format=date-time,JSONPath=`.status.credentialExpiryTime`
// +kubebuilder:printcolumn:name="Ends",type=string,format=date-time,priority=1,JSONPath=`.spec.expiryTime`
// +kubebuilder:printcolumn:name="Cluster",type=string,priority=1,JSONPath=`.spec.clusterID`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterPair struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterPairSpec   `json:"spec"`
	Status ClusterPairStatus `json:"status,omitempty"`
}

// ClusterPairList is a list of ClusterPairs.
// +kubebuilder:object:root=true
type ClusterPairList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterPair `json:"items"`
}
