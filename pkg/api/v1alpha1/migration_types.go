// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Mode is the last phase of a migration: Standby, Start or Cutover.
// +kubebuilder:validation:Enum=Standby;Start;Cutover
type Mode string

const (
	// ModeStandby: objects and verified volumes are on the target, workloads on
	// standby; the source keeps running.
	ModeStandby Mode = "Standby"
	// ModeStart: the workloads are started on the target; the source keeps running.
	ModeStart Mode = "Start"
	// ModeCutover: the workloads are stopped on the source and started on the target.
	ModeCutover Mode = "Cutover"
)

// Conditions of a Migration. The plugin writes them.
const (
	// MigrationPlanned is True when the plan has no blocking findings.
	MigrationPlanned = "Planned"
	// MigrationVolumesShipped is True when every volume was copied to the target.
	MigrationVolumesShipped = "VolumesShipped"
	// MigrationObjectsApplied is True when every object is on the target, on standby.
	MigrationObjectsApplied = "ObjectsApplied"
	// MigrationSourceStopped is True while the source's workloads are stopped by
	// this migration.
	MigrationSourceStopped = "SourceStopped"
	// MigrationTargetActive is True when pods may run on the target. Writing it is
	// the point of no return of a cutover.
	MigrationTargetActive = "TargetActive"
	// MigrationSucceeded is True when the last run completed without failures.
	MigrationSucceeded = "Succeeded"
)

// MigrationSpec is the request of the user.
type MigrationSpec struct {
	// clusterPair is the name of the ClusterPair in the same namespace. Empty when the migration was
	// started with --to-context.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClusterPair string `json:"clusterPair,omitempty"`
	// source is the namespace that is migrated.
	Source MigrationEnd `json:"source"`
	// target is the namespace that it is migrated to.
	Target MigrationEnd `json:"target"`
	// mode is Standby (copy everything, start nothing), Start (also start the workloads on the target) or
	// Cutover (stop the source, then start the target).
	Mode Mode `json:"mode"`
}

// MigrationEnd is a namespace of a cluster: the source or the target.
type MigrationEnd struct {
	// clusterID identifies the cluster: the UID of its kube-system namespace.
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID"`
	// namespace is the name of the namespace.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}

// StoppedWorkload is a workload of the source and its original state. It is
// recorded before the workload is changed, so that a later run or a rollback can
// restore it exactly.
type StoppedWorkload struct {
	// group is the API group of the workload. Empty for the core group.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// version is the API version of the workload.
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version"`
	// resource is the plural resource name, such as deployments.
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource"`
	// kind is the kind of the workload.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// name is the name of the workload.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid is the UID of the workload. A workload that was deleted and recreated is not restored.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// originalState has, as JSON, the values that were changed to stop the workload.
	// +kubebuilder:validation:MaxLength=16384
	OriginalState string `json:"originalState"`
	// readyPods is the number of ready pods that the workload had. After the start the
	// target must have as many.
	// +optional
	ReadyPods int32 `json:"readyPods,omitempty"`
}

// BegunHook is a snapshot hook of a pod whose post hook has not run yet. It is
// recorded before the pre hook starts. It identifies the command by its digest
// only: the command that runs is always read from the user's own configuration.
type BegunHook struct {
	// pod is the name of the pod in which the hook runs.
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// podUID is the UID of the pod.
	// +kubebuilder:validation:MaxLength=64
	PodUID string `json:"podUID"`
	// container is the container in which the hook runs.
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container"`
	// commandSHA256 is the lower-case hex SHA-256 of the post hook's command.
	// +kubebuilder:validation:MaxLength=64
	CommandSHA256 string `json:"commandSHA256"`
}

// MigrationVolume is the state of one volume of the migration.
type MigrationVolume struct {
	// claim is the name of the PersistentVolumeClaim on the source.
	// +kubebuilder:validation:MaxLength=253
	Claim string `json:"claim"`
	// targetClaim is the name of the PersistentVolumeClaim on the target, when it differs.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TargetClaim string `json:"targetClaim,omitempty"`
	// verifiedSync is the last sync for which source and target computed the same digest. 0: none yet.
	// +optional
	VerifiedSync int64 `json:"verifiedSync,omitempty"`
	// shippedSync is the last sync of which all data was received by the target. 0: none yet.
	// +optional
	ShippedSync int64 `json:"shippedSync,omitempty"`
	// consistency of the verified sync: Stopped (copied while the application was stopped),
	// ApplicationConsistent or CrashConsistent (copied from a snapshot, with or without hooks), or Live
	// (copied while the application ran).
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Consistency string `json:"consistency,omitempty"`
	// digest is the lower-case hex digest of the volume's contents at verifiedSync.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// sentBytes is the data sent by all syncs of this migration, in bytes before compression.
	// +optional
	SentBytes int64 `json:"sentBytes,omitempty"`
	// wireBytes is the network traffic of all syncs of this migration, in bytes.
	// +optional
	WireBytes int64 `json:"wireBytes,omitempty"`
	// reason is why the volume is not verified: a reason of the VolumeShipment's conditions. Empty when
	// it is.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`
}

// MigrationCounts is the number of objects by result. Every object that was
// found is counted exactly once.
type MigrationCounts struct {
	// moved counts objects that were created or changed on the target.
	// +optional
	Moved int32 `json:"moved,omitempty"`
	// unchanged counts objects that were already identical on the target.
	// +optional
	Unchanged int32 `json:"unchanged,omitempty"`
	// skipped counts objects that are not migrated, for the reasons in the report.
	// +optional
	Skipped int32 `json:"skipped,omitempty"`
	// needsAdmin counts objects that only an administrator can create on the target.
	// +optional
	NeedsAdmin int32 `json:"needsAdmin,omitempty"`
	// failed counts objects that could not be created or changed on the target.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// waiting counts objects that are created on activation.
	// +optional
	Waiting int32 `json:"waiting,omitempty"`
	// notExamined counts resource types (not objects) that the user may not list.
	// +optional
	NotExamined int32 `json:"notExamined,omitempty"`
}

// MigrationStatus is the observed state of a Migration.
type MigrationStatus struct {
	// observedGeneration is the metadata.generation that the status was last updated for.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions of the migration: Planned, VolumesShipped, ObjectsApplied, SourceStopped, TargetActive
	// and Succeeded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// step is the step that is running, or the last one that ran, as a CamelCase name
	// such as CopyingVolumes. Finished after the last step.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Step string `json:"step,omitempty"`
	// volumes of the migration, one entry for each PersistentVolumeClaim of the source.
	// +optional
	// +listType=map
	// +listMapKey=claim
	// +kubebuilder:validation:MaxItems=1024
	Volumes []MigrationVolume `json:"volumes,omitempty"`
	// stopped lists the workloads of the source that this migration stopped, with their original state.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Stopped []StoppedWorkload `json:"stopped,omitempty"`
	// hooks lists the snapshot hooks whose post hook has not run yet. The next run runs them first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Hooks []BegunHook `json:"hooks,omitempty"`
	// counts is the number of objects by result.
	// +optional
	Counts MigrationCounts `json:"counts,omitempty"`
	// stoppedTime is when a cutover began to stop the source. The downtime lasts until readyTime.
	// +optional
	StoppedTime *metav1.MicroTime `json:"stoppedTime,omitempty"`
	// activatedTime is when the workloads of the target were allowed to start.
	// +optional
	ActivatedTime *metav1.MicroTime `json:"activatedTime,omitempty"`
	// readyTime is when the workloads of the target were ready.
	// +optional
	ReadyTime *metav1.MicroTime `json:"readyTime,omitempty"`
}

// Migration is the migration of one application to another cluster, as requested with "kubectl motion
// migrate". The plugin creates and updates it on both clusters.
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
