// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

// Codes of blockers.
const (
	// CodeNamespaceMissing: the target namespace is not there.
	CodeNamespaceMissing Code = "NamespaceMissing"
	// CodeTargetActive: a copy made by an earlier migration runs on the target.
	CodeTargetActive Code = "TargetActive"
	// CodeTaken: somebody else's workload or claim has the name on the target.
	CodeTaken Code = "NameInUse"
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
	// CodeUnreachable: the target gave no clear answer.
	CodeUnreachable Code = "TargetUnavailable"
	// CodeNoClass: no storage class on the target fits the claim.
	CodeNoClass Code = "StorageClassMissing"
	// CodeKindMissing: the target does not serve the kind.
	CodeKindMissing Code = "KindMissing"
	// CodePodDenied: admission on the target refuses the pods of the workload.
	CodePodDenied Code = "PodDenied"
	// CodeAccountMissing: the pods' service account is not on the target. A
	// warning while nothing is to start.
	CodeAccountMissing Code = "ServiceAccountMissing"
	// CodePatchUnused: a patch of the user's selects nothing.
	CodePatchUnused Code = "PatchUnused"
	// CodeSnapshotUnavailable: the volume cannot be looked at as the migration needs it.
	CodeSnapshotUnavailable Code = "SnapshotUnavailable"
	// CodeNoRoute: the volumes' data has no way to the target.
	CodeNoRoute Code = "NoRoute"
	// CodeRewrite: the object cannot be rewritten.
	CodeRewrite Code = "TransformFailed"

	// CodeHook: a hook for snapshots cannot be run as it is written.
	CodeHook Code = "SnapshotHook"
	// CodeReadOnlyClaim: the target's claim could not be filled.
	CodeReadOnlyClaim Code = "ReadOnlyClaim"
	// CodeNoBlock: the target's class makes no raw block volumes.
	CodeNoBlock Code = "BlockVolumesUnsupported"
	// CodeBlockDevicesDisabled: the agents of a cluster may not open raw block volumes.
	CodeBlockDevicesDisabled Code = "BlockDevicesDisabled"
	// CodeTooSmall: the target's claim of an earlier run cannot grow as the
	// source's has.
	CodeTooSmall Code = "TargetTooSmall"

	// The following refuse a cutover only: something would undo the stop, or
	// the stop would destroy data.

	// CodeAutoscaled: an autoscaler sets the replicas.
	CodeAutoscaled Code = "Autoscaled"
	// CodeOperator: an operator sets the replicas.
	CodeOperator Code = "OperatorOwned"
	// CodeGitOps: a GitOps controller puts back what the cluster differs in.
	CodeGitOps Code = "GitOpsManaged"
	// CodeUserStays: something that stays behind uses a claim that moves.
	CodeUserStays Code = "UserNotMoved"
)

// Codes of warnings.
const (
	// CodeNotExamined: a kind could not be listed.
	CodeNotExamined Code = "NotExamined"
	// CodeNeedsAdmin: somebody with more rights must write the object.
	CodeNeedsAdmin Code = "NeedsAdmin"
	// CodeDangling: the object needs one that will not be on the target.
	CodeDangling Code = "MissingReference"
	// CodeOwnerLost: the owner of the object does not move.
	CodeOwnerLost Code = "OwnerNotMoved"
	// CodeClassGuessed: the storage class was chosen by ability.
	CodeClassGuessed Code = "StorageClassSelected"
	// CodeAdopted: an object of somebody else on the target is completed.
	CodeAdopted Code = "Adopted"
	// CodePullSecret: a service account gave the pods a pull secret.
	CodePullSecret Code = "PullSecret"
	// CodeAccountBound: a service account has an identity of a cloud.
	CodeAccountBound Code = "ServiceAccountBound"
	// CodeClassMissing: an IngressClass is not on the target.
	CodeClassMissing Code = "ClassMissing"
	// CodeNodes: no node of the target has what the pods ask for.
	CodeNodes Code = "NodeUnavailable"
	// CodeAccessMode: the target's storage may not support the mode.
	CodeAccessMode Code = "AccessMode"
	// CodeWhenScaled: scaling the StatefulSet to zero would delete its claims; they
	// are retained first.
	CodeWhenScaled Code = "WhenScaledDelete"
	// CodeNotPruned: an object stays although its source may be gone.
	CodeNotPruned Code = "NotPruned"
	// CodeTwoCopies: a copy beside the running source does for a second time
	// what can be seen from outside.
	CodeTwoCopies Code = "TwoCopies"
	// CodeOnlyStopped: nothing can be read of the volume before its application is
	// stopped.
	CodeOnlyStopped Code = "ReadOnlyWhenStopped"
	// CodeNotMoved: data outside of claims stays behind.
	CodeNotMoved Code = "DataNotMoved"
)
