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
	// CodeRewrite: the object cannot be rewritten.
	CodeRewrite Code = "rewrite"

	// The following refuse a cutover only: something would undo the stop, or
	// the stop would destroy data.

	// CodeWhenScaled: scaling the StatefulSet to zero deletes its claims.
	CodeWhenScaled Code = "when-scaled-delete"
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
	// CodeNotMoved: data outside of claims stays behind.
	CodeNotMoved Code = "data-not-moved"
)
