// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

// Codes of blockers.
const (
	// CodeNamespaceMissing: the target namespace is not there.
	CodeNamespaceMissing Code = "namespace-missing"
	// CodeTargetActive: a copy made by an earlier migration runs on the target.
	CodeTargetActive Code = "target-active"
	// CodeTaken: somebody else's workload or claim has the name on the target.
	CodeTaken Code = "taken"
	// CodeConflict: others own fields of the object on the target.
	CodeConflict Code = "conflict"
	// CodeUnknownFields: the target's version does not know some fields.
	CodeUnknownFields Code = "unknown-fields"
	// CodeDenied: admission on the target refuses the object.
	CodeDenied Code = "denied"
	// CodeQuota: a quota on the target is exhausted.
	CodeQuota Code = "quota"
	// CodeImmutable: the change needs the object to be made anew.
	CodeImmutable Code = "immutable"
	// CodeInvalid: the target's validation refuses the object.
	CodeInvalid Code = "invalid"
	// CodeUnreachable: the target gave no clear answer.
	CodeUnreachable Code = "no-answer"
	// CodeNoClass: no storage class on the target fits the claim.
	CodeNoClass Code = "no-storage-class"
	// CodeKindMissing: the target does not serve the kind.
	CodeKindMissing Code = "kind-missing"
	// CodePodDenied: admission on the target refuses the pods of the workload.
	CodePodDenied Code = "pod-denied"
	// CodeAccountMissing: the pods' service account is not on the target. A
	// warning while nothing is to start.
	CodeAccountMissing Code = "service-account-missing"
	// CodePatchUnused: a patch of the user's selects nothing.
	CodePatchUnused Code = "patch-unused"
	// CodeView: the volume cannot be looked at as the migration needs it.
	CodeView Code = "no-view"
	// CodeNoRoute: the volumes' data has no way to the target.
	CodeNoRoute Code = "no-route"
	// CodeRewrite: the object cannot be rewritten.
	CodeRewrite Code = "rewrite"

	// CodeHook: a hook for snapshots cannot be run as it is written.
	CodeHook Code = "snapshot-hook"
	// CodeReadOnlyClaim: the target's claim could not be filled.
	CodeReadOnlyClaim Code = "read-only-claim"
	// CodeNoBlock: the target's class makes no raw block volumes.
	CodeNoBlock Code = "no-block-volumes"
	// CodeBlockDevicesOff: the agents of a cluster may not open raw block volumes.
	CodeBlockDevicesOff Code = "block-devices-off"
	// CodeTooSmall: the target's claim of an earlier run cannot grow as the
	// source's has.
	CodeTooSmall Code = "target-too-small"

	// The following refuse a cutover only: something would undo the stop, or
	// the stop would destroy data.

	// CodeAutoscaled: an autoscaler sets the replicas.
	CodeAutoscaled Code = "autoscaled"
	// CodeOperator: an operator sets the replicas.
	CodeOperator Code = "operator-owned"
	// CodeGitOps: a GitOps controller puts back what the cluster differs in.
	CodeGitOps Code = "gitops-managed"
	// CodeUserStays: something that stays behind uses a claim that moves.
	CodeUserStays Code = "user-stays"
)

// Codes of warnings.
const (
	// CodeNotExamined: a kind could not be listed.
	CodeNotExamined Code = "not-examined"
	// CodeNeedsAdmin: somebody with more rights must write the object.
	CodeNeedsAdmin Code = "needs-admin"
	// CodeDangling: the object needs one that will not be on the target.
	CodeDangling Code = "dangling-reference"
	// CodeOwnerLost: the owner of the object does not move.
	CodeOwnerLost Code = "owner-not-moved"
	// CodeClassGuessed: the storage class was chosen by ability.
	CodeClassGuessed Code = "storage-class-chosen"
	// CodeAdopted: an object of somebody else on the target is completed.
	CodeAdopted Code = "adopted"
	// CodePullSecret: a service account gave the pods a pull secret.
	CodePullSecret Code = "pull-secret"
	// CodeAccountBound: a service account has an identity of a cloud.
	CodeAccountBound Code = "service-account-bound"
	// CodeClassMissing: an IngressClass is not on the target.
	CodeClassMissing Code = "class-missing"
	// CodeNodes: no node of the target has what the pods ask for.
	CodeNodes Code = "no-node"
	// CodeAccessMode: the target's storage may not support the mode.
	CodeAccessMode Code = "access-mode"
	// CodeWhenScaled: scaling the StatefulSet to zero would delete its claims; they
	// are retained first.
	CodeWhenScaled Code = "when-scaled-delete"
	// CodeNotPruned: an object stays although its source may be gone.
	CodeNotPruned Code = "not-pruned"
	// CodeTwoCopies: a copy beside the running source does for a second time
	// what can be seen from outside.
	CodeTwoCopies Code = "two-copies"
	// CodeOnlyStopped: nothing can be read of the volume before its application is
	// stopped.
	CodeOnlyStopped Code = "read-only-when-stopped"
	// CodeNotMoved: data outside of claims stays behind.
	CodeNotMoved Code = "data-not-moved"
)
