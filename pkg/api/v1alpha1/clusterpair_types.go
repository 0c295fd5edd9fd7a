// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Conditions of a ClusterPair.
const (
	// PairReady is True when the target's API server accepts the credential.
	PairReady = "Ready"
	// PairTokenRotated is True when the token rotator last succeeded. It is absent
	// when the pair has no token rotator, or it has not run yet.
	PairTokenRotated = "TokenRotated"
)

// Reasons of PairTokenRotated.
const (
	// ReasonRotated: the last rotation succeeded (status True).
	ReasonRotated = "Rotated"
	// ReasonExpired: spec.expiryTime has passed; an administrator has to pair again.
	ReasonExpired = "Expired"
	// ReasonRotationFailed: the last rotation failed; the message has the cause.
	ReasonRotationFailed = "RotationFailed"
)

// ClusterPairSpec is the target of migrations from the pair's namespace.
// +kubebuilder:validation:XValidation:rule="self.clusterID == oldSelf.clusterID",message="clusterID is immutable: delete the pair and pair again to point it at another cluster"
type ClusterPairSpec struct {
	// clusterID identifies the target cluster: the UID of its kube-system namespace. Immutable.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID"`
	// targetNamespace is the namespace of the target cluster that the credential grants access to.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	TargetNamespace string `json:"targetNamespace"`
	// server is the URL of the target's API server. No other is contacted: the Secret of the pair
	// cannot change it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Server string `json:"server"`
	// caBundle holds the certificates, PEM encoded, that the API server's certificate is verified with.
	// Empty: the certificates of the system.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	CABundle []byte `json:"caBundle,omitempty"`
	// secretName is the name of the Secret with the credential, in the pair's namespace. Only its key
	// token is used.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
	// expiryTime is when the pair expires. No token of the pair is valid after it, and none is renewed.
	// Unset: the pair does not expire.
	// +optional
	ExpiryTime *metav1.Time `json:"expiryTime,omitempty"`
}

// ClusterPairStatus is the observed state of a ClusterPair.
type ClusterPairStatus struct {
	// observedGeneration is the metadata.generation that the status was last updated for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions of the pair: Ready (the target accepts the credential) and TokenRotated (the token
	// rotator last succeeded).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// credentialExpiryTime is when the token in the Secret expires.
	// +optional
	CredentialExpiryTime *metav1.Time `json:"credentialExpiryTime,omitempty"`
}

// ClusterPair allows the users of its namespace to migrate to one namespace of another cluster. It is
// created by "kubectl motion pair".
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=motion
// +kubebuilder:printcolumn:name="Target namespace",type=string,JSONPath=`.spec.targetNamespace`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.spec.server`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Token expires",type=string,format=date-time,JSONPath=`.status.credentialExpiryTime`
// +kubebuilder:printcolumn:name="Pair expires",type=string,format=date-time,priority=1,JSONPath=`.spec.expiryTime`
// +kubebuilder:printcolumn:name="Cluster ID",type=string,priority=1,JSONPath=`.spec.clusterID`
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
