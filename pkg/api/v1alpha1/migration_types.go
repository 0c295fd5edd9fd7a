// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Mode is how far a migration goes.
// +kubebuilder:validation:Enum=Standby;Start;Cutover
type Mode string

const (
	// ModeStandby ends with everything on the target, verified and on standby.
	ModeStandby Mode = "Standby"
	// ModeStart starts the copy beside the running source.
	ModeStart Mode = "Start"
	// ModeCutover moves for good: the source stops, the target starts.
	ModeCutover Mode = "Cutover"
)

// Conditions of a Migration, written by the plugin.
const (
	// MigrationPlanned is True when the plan has no blockers.
	MigrationPlanned = "Planned"
	// MigrationVolumesShipped is True when every volume arrived.
	MigrationVolumesShipped = "VolumesShipped"
	// MigrationObjectsApplied is True when every object is on the target, on standby.
	MigrationObjectsApplied = "ObjectsApplied"
	// MigrationSourceStopped is True while the source is stopped by this migration.
	MigrationSourceStopped = "SourceStopped"
	// MigrationTargetActive is True when a target pod may run: the point of no
	// return is the write of this condition.
	MigrationTargetActive = "TargetActive"
	// MigrationSucceeded sums up.
	MigrationSucceeded = "Succeeded"
)

// MigrationSpec is what was asked.
type MigrationSpec struct {
	// clusterPair in the Migration's namespace; empty with --to-context.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClusterPair string `json:"clusterPair,omitempty"`
	// source and target as the plugin saw them.
	Source MigrationEnd `json:"source"`
	Target MigrationEnd `json:"target"`
	Mode   Mode         `json:"mode"`
}

// MigrationEnd is a namespace of a cluster.
type MigrationEnd struct {
	// clusterID is the UID of the kube-system namespace.
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID"`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}

// StoppedWorkload remembers how a workload was before it was stopped. It is
// written before the workload is touched, so that whoever comes later can put
// it back exactly as it was.
type StoppedWorkload struct {
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version"`
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource"`
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// atRest is the JSON of the original values (see package workload).
	// +kubebuilder:validation:MaxLength=16384
	OriginalState string `json:"originalState"`
}

// BegunHook is a snapshot hook of a pod whose post hook is still to run. It is
// written before the pre hook begins, and names the command by its digest only:
// what is run comes from where the user put it, never from here.
type BegunHook struct {
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// +kubebuilder:validation:MaxLength=64
	PodUID string `json:"podUID"`
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container"`
	// +kubebuilder:validation:MaxLength=64
	CommandSHA256 string `json:"commandSHA256"`
}

// MigrationVolume is one volume's line.
type MigrationVolume struct {
	// claim is the source's PersistentVolumeClaim.
	// +kubebuilder:validation:MaxLength=253
	Claim string `json:"claim"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TargetClaim string `json:"targetClaim,omitempty"`
	// verifiedSync and its worth, as the shipment said.
	// +optional
	VerifiedSync int64 `json:"verifiedSync,omitempty"`
	// +optional
	ShippedSync int64 `json:"shippedSync,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Consistency string `json:"consistency,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// bytes sent and bytes on the wire over all generations of this migration.
	// +optional
	SentBytes int64 `json:"sentBytes,omitempty"`
	// +optional
	WireBytes int64 `json:"wireBytes,omitempty"`
	// reason when the volume did not arrive, of the shipment's closed set.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`
}

// MigrationCounts is the ledger in numbers. Everything that was found ends in
// exactly one of them.
type MigrationCounts struct {
	// +optional
	Moved int32 `json:"moved,omitempty"`
	// +optional
	Unchanged int32 `json:"unchanged,omitempty"`
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
	// +optional
	NeedsAdmin int32 `json:"needsAdmin,omitempty"`
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// notExamined counts resource types that the user may not list.
	// +optional
	NotExamined int32 `json:"notExamined,omitempty"`
}

// MigrationStatus is the plugin's record.
type MigrationStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Planned, VolumesShipped, ObjectsApplied, SourceStopped,
	// TargetActive, Succeeded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// step is the step in work, or the last one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Step string `json:"step,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=claim
	// +kubebuilder:validation:MaxItems=1024
	Volumes []MigrationVolume `json:"volumes,omitempty"`
	// stopped workloads of the source.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Stopped []StoppedWorkload `json:"stopped,omitempty"`
	// hooks whose post hook is still to run, also after the plugin was killed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Hooks []BegunHook `json:"hooks,omitempty"`
	// +optional
	Counts MigrationCounts `json:"counts,omitempty"`
	// stoppedTime and activatedTime bound the downtime of a cutover.
	// +optional
	StoppedTime *metav1.MicroTime `json:"stoppedTime,omitempty"`
	// +optional
	ActivatedTime *metav1.MicroTime `json:"activatedTime,omitempty"`
	// +optional
	ReadyTime *metav1.MicroTime `json:"readyTime,omitempty"`
}

// Migration is one application's move.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=motion
// +kubebuilder:printcolumn:name="Pair",type=string,JSONPath=`.spec.clusterPair`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.conditions[?(@.type=="TargetActive")].status`
// +kubebuilder:printcolumn:name="Succeeded",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].status`
// +kubebuilder:printcolumn:name="Moved",type=integer,priority=1,JSONPath=`.status.counts.moved`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Migration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MigrationSpec   `json:"spec"`
	Status MigrationStatus `json:"status,omitempty"`
}

// MigrationList is a list of Migrations.
// +kubebuilder:object:root=true
type MigrationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Migration `json:"items"`
}
