// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

// Codes of blockers.
const (
	// CodeNamespaceMissing: the target namespace is not there.
	CodeNamespaceMissing Code = "NamespaceMissing"
	// CodeTargetActive: a copy made by an earlier migration runs on the target.
	CodeTargetActive Code = "TargetActive"
	// CodeNameInUse: somebody else's workload or claim has the name on the target.
	CodeNameInUse Code = "NameInUse"
	// CodeConflict: others own fields of the object on the target.
	CodeConflict Code = "Conflict"
	// CodeUnknownFields: the target's version does not know some fields.
	CodeUnknownFields Code = "UnknownFields"
	// CodeDenied: admission on the target refuses the object.
	CodeDenied Code = "Denied"
	// CodeQuota: a quota on the target is exhausted.
	CodeQuota Code = "Quota"
	// CodeImmutable: the change needs the object to be made anew.
	CodeImmutable Code = "Immutable"
	// CodeInvalid: the target's validation refuses the object.
	CodeInvalid Code = "Invalid"
	// CodeTargetUnavailable: the target gave no clear answer.
	CodeTargetUnavailable Code = "TargetUnavailable"
	// CodeStorageClassMissing: no storage class on the target fits the claim.
	CodeStorageClassMissing Code = "StorageClassMissing"
	// CodeKindMissing: the target does not serve the kind.
	CodeKindMissing Code = "KindMissing"
	// CodePodDenied: admission on the target refuses the pods of the workload.
	CodePodDenied Code = "PodDenied"
	// CodeServiceAccountMissing: the pods' service account is not on the target. A
	// warning while nothing is to start.
	CodeServiceAccountMissing Code = "ServiceAccountMissing"
	// CodePatchUnused: a patch of the user's selects nothing.
	CodePatchUnused Code = "PatchUnused"
	// CodeSnapshotUnavailable: the volume cannot be looked at as the migration needs it.
	CodeSnapshotUnavailable Code = "SnapshotUnavailable"
	// CodeNoRoute: the volumes' data has no way to the target.
	CodeNoRoute Code = "NoRoute"
	// CodeTransformFailed: the object cannot be rewritten.
	CodeTransformFailed Code = "TransformFailed"

	// CodeSnapshotHook: a hook for snapshots cannot be run as it is written.
	CodeSnapshotHook Code = "SnapshotHook"
	// CodeReadOnlyClaim: the target's claim could not be filled.
	CodeReadOnlyClaim Code = "ReadOnlyClaim"
	// CodeBlockVolumesUnsupported: the target's class makes no raw block volumes.
	CodeBlockVolumesUnsupported Code = "BlockVolumesUnsupported"
	// CodeBlockDevicesDisabled: the agents of a cluster may not open raw block volumes.
	CodeBlockDevicesDisabled Code = "BlockDevicesDisabled"
	// CodeTargetTooSmall: the target's claim of an earlier run cannot grow as the
	// source's has.
	CodeTargetTooSmall Code = "TargetTooSmall"

	// The following refuse a cutover only: something would undo the stop, or
	// the stop would destroy data.

	// CodeAutoscaled: an autoscaler sets the replicas.
	CodeAutoscaled Code = "Autoscaled"
	// CodeOperatorOwned: an operator sets the replicas.
	CodeOperatorOwned Code = "OperatorOwned"
	// CodeGitOpsManaged: a GitOps controller puts back what the cluster differs in.
	CodeGitOpsManaged Code = "GitOpsManaged"
	// CodeUserNotMoved: something that stays behind uses a claim that moves.
	CodeUserNotMoved Code = "UserNotMoved"
)

// Codes of warnings.
const (
	// CodeNotExamined: a kind could not be listed.
	CodeNotExamined Code = "NotExamined"
	// CodeNeedsAdmin: somebody with more rights must write the object.
	CodeNeedsAdmin Code = "NeedsAdmin"
	// CodeMissingReference: the object needs one that will not be on the target.
	CodeMissingReference Code = "MissingReference"
	// CodeOwnerNotMoved: the owner of the object does not move.
	CodeOwnerNotMoved Code = "OwnerNotMoved"
	// CodeStorageClassSelected: the storage class was chosen by ability.
	CodeStorageClassSelected Code = "StorageClassSelected"
	// CodeAdopted: an object of somebody else on the target is completed.
	CodeAdopted Code = "Adopted"
	// CodePullSecret: a service account gave the pods a pull secret.
	CodePullSecret Code = "PullSecret"
	// CodeServiceAccountBound: a service account has an identity of a cloud.
	CodeServiceAccountBound Code = "ServiceAccountBound"
	// CodeClassMissing: an IngressClass is not on the target.
	CodeClassMissing Code = "ClassMissing"
	// CodeNodeUnavailable: no node of the target has what the pods ask for.
	CodeNodeUnavailable Code = "NodeUnavailable"
	// CodeAccessMode: the target's storage may not support the mode.
	CodeAccessMode Code = "AccessMode"
	// CodeWhenScaledDelete: scaling the StatefulSet to zero would delete its claims; they
	// are retained first.
	CodeWhenScaledDelete Code = "WhenScaledDelete"
	// CodeNotPruned: an object stays although its source may be gone.
	CodeNotPruned Code = "NotPruned"
	// CodeTwoCopies: a copy beside the running source does for a second time
	// what can be seen from outside.
	CodeTwoCopies Code = "TwoCopies"
	// CodeReadOnlyWhenStopped: nothing can be read of the volume before its application is
	// stopped.
	CodeReadOnlyWhenStopped Code = "ReadOnlyWhenStopped"
	// CodeDataNotMoved: data outside of claims stays behind.
	CodeDataNotMoved Code = "DataNotMoved"
)
