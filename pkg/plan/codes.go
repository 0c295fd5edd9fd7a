// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

// Codes of blockers.
const (
	// CodeNamespaceMissing: the target namespace does not exist.
	CodeNamespaceMissing Code = "NamespaceMissing"
	// CodeTargetActive: a copy created by an earlier migration runs on the target.
	CodeTargetActive Code = "TargetActive"
	// CodeNameInUse: another workload or PVC has the name on the target.
	CodeNameInUse Code = "NameInUse"
	// CodeConflict: other managers own fields of the object on the target.
	CodeConflict Code = "Conflict"
	// CodeUnknownFields: the target's version does not support some fields.
	CodeUnknownFields Code = "UnknownFields"
	// CodeDenied: admission on the target rejects the object.
	CodeDenied Code = "Denied"
	// CodeQuota: a quota on the target is exhausted.
	CodeQuota Code = "Quota"
	// CodeImmutable: the object must be deleted and recreated for the change.
	CodeImmutable Code = "Immutable"
	// CodeInvalid: the target's validation rejects the object.
	CodeInvalid Code = "Invalid"
	// CodeTargetUnavailable: the target returned another error.
	CodeTargetUnavailable Code = "TargetUnavailable"
	// CodeStorageClassMissing: no storage class on the target fits the PVC.
	CodeStorageClassMissing Code = "StorageClassMissing"
	// CodeKindMissing: the target does not serve the kind.
	CodeKindMissing Code = "KindMissing"
	// CodePodDenied: admission on the target rejects the pods of the workload.
	CodePodDenied Code = "PodDenied"
	// CodeServiceAccountMissing: the pods' ServiceAccount does not exist on the target.
	// A warning for a plan that does not start the copy.
	CodeServiceAccountMissing Code = "ServiceAccountMissing"
	// CodePatchUnused: a patch selects no object.
	CodePatchUnused Code = "PatchUnused"
	// CodeSnapshotUnavailable: the volume cannot be read by snapshot as requested.
	CodeSnapshotUnavailable Code = "SnapshotUnavailable"
	// CodeNoRoute: there is no network route to the target agents.
	CodeNoRoute Code = "NoRoute"
	// CodeTransformFailed: the object cannot be transformed for the target.
	CodeTransformFailed Code = "TransformFailed"

	// CodeSnapshotHook: a hook for snapshots is invalid.
	CodeSnapshotHook Code = "SnapshotHook"
	// CodeReadOnlyClaim: the target's PVC cannot be written to.
	CodeReadOnlyClaim Code = "ReadOnlyClaim"
	// CodeBlockVolumesUnsupported: the target's class does not support raw block volumes.
	CodeBlockVolumesUnsupported Code = "BlockVolumesUnsupported"
	// CodeBlockDevicesDisabled: block devices are disabled for the agents of a cluster.
	CodeBlockDevicesDisabled Code = "BlockDevicesDisabled"
	// CodeTargetTooSmall: the target's PVC of an earlier run cannot be expanded to the
	// size of the source's.
	CodeTargetTooSmall Code = "TargetTooSmall"

	// CodeMountPodDenied: a LimitRange rejects the mount pods.
	CodeMountPodDenied Code = "MountPodDenied"
	// CodePaused: the rollout of the Deployment is paused. A warning for a plan that
	// does not start the copy.
	CodePaused Code = "RolloutPaused"

	// The following block a cutover only: something would undo the stop, or the stop
	// would destroy data.

	// CodeAutoscaled: an autoscaler sets the replicas.
	CodeAutoscaled Code = "Autoscaled"
	// CodeOperatorOwned: an operator sets the replicas.
	CodeOperatorOwned Code = "OperatorOwned"
	// CodeGitOpsManaged: a GitOps controller reverts the stop.
	CodeGitOpsManaged Code = "GitOpsManaged"
	// CodeStopDeletes: the stop deletes an object of the source.
	CodeStopDeletes Code = "StopDeletes"
	// CodeBarePod: a pod without a controller uses volumes.
	CodeBarePod Code = "BarePod"
	// CodeNoRollback: the source rejects a pod that a rollback has to create.
	CodeNoRollback Code = "RollbackDenied"
	// CodeUserNotMoved: an object that is not migrated uses a migrated PVC.
	CodeUserNotMoved Code = "UserNotMoved"
)

// Codes of warnings.
const (
	// CodeNotExamined: a kind could not be listed.
	CodeNotExamined Code = "NotExamined"
	// CodeNeedsAdmin: an administrator must create the object.
	CodeNeedsAdmin Code = "NeedsAdmin"
	// CodeMissingReference: the object references one that will not exist on the target.
	CodeMissingReference Code = "MissingReference"
	// CodeOwnerNotMoved: the owner of the object is not migrated.
	CodeOwnerNotMoved Code = "OwnerNotMoved"
	// CodeStorageClassSelected: another storage class was selected by its properties.
	CodeStorageClassSelected Code = "StorageClassSelected"
	// CodeAdopted: an object on the target that no migration created is completed.
	CodeAdopted Code = "Adopted"
	// CodePullSecret: the ServiceAccount adds a pull secret on the source only.
	CodePullSecret Code = "PullSecret"
	// CodeServiceAccountBound: the ServiceAccount is bound to a cloud identity.
	CodeServiceAccountBound Code = "ServiceAccountBound"
	// CodeClassMissing: an IngressClass does not exist on the target.
	CodeClassMissing Code = "ClassMissing"
	// CodeNodeUnavailable: no node of the target matches the node selector of the pods.
	CodeNodeUnavailable Code = "NodeUnavailable"
	// CodeAccessMode: the target's storage may not support the access mode.
	CodeAccessMode Code = "AccessMode"
	// CodeWhenScaledDelete: scaling the StatefulSet to zero would delete its PVCs; the
	// policy is set to Retain first.
	CodeWhenScaledDelete Code = "WhenScaledDelete"
	// CodePodFinalizer: a pod stays in deletion until its finalizer is removed.
	CodePodFinalizer Code = "PodFinalizer"
	// CodeOlderPods: pods of the source run an older template than the workload has.
	CodeOlderPods Code = "OlderPods"
	// CodeSchedulingGate: the pods stay pending until their scheduling gates are
	// removed.
	CodeSchedulingGate Code = "SchedulingGate"
	// CodeFinalStatus: the status of a custom resource is final and is not migrated.
	CodeFinalStatus Code = "FinalStatus"
	// CodeStatusNotMoved: the status of a custom resource has an identity.
	CodeStatusNotMoved Code = "StatusNotMoved"
	// CodeNotPruned: an object is not pruned although it may be deleted on the source.
	CodeNotPruned Code = "NotPruned"
	// CodeTwoCopies: a copy beside the running source has a second effect outside of
	// the cluster.
	CodeTwoCopies Code = "TwoCopies"
	// CodeReadOnlyWhenStopped: the volume can be read only after the application is
	// stopped.
	CodeReadOnlyWhenStopped Code = "ReadOnlyWhenStopped"
	// CodeDataNotMoved: data outside of PVCs is not migrated.
	CodeDataNotMoved Code = "DataNotMoved"
)
