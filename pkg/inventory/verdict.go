// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

// Verdict is the decision about an object. Every listed object has one.
type Verdict string

const (
	// Move: the object is written to the target.
	Move Verdict = "Move"
	// Skip: the object is not migrated, for a reason.
	Skip Verdict = "Skip"
	// NeedsAdmin: an administrator of the target must create the object. The plan
	// has the manifest.
	NeedsAdmin Verdict = "NeedsAdmin"
)

// Reason is the reason of a verdict other than Move, from a closed set.
type Reason string

// Reasons of the verdict Skip.
const (
	// ReasonMotionInternal: created by kubectl-motion for its own use.
	ReasonMotionInternal Reason = "MotionInternal"
	// ReasonUserSkip: the user annotated it with kubectl-motion.dev/skip.
	ReasonUserSkip Reason = "SkippedByUser"
	// ReasonNotSelected: not selected by -l, --include or --exclude.
	ReasonNotSelected Reason = "NotSelected"
	// ReasonTerminating: it is being deleted on the source.
	ReasonTerminating Reason = "Terminating"
	// ReasonOwned: the controller of its owner recreates it.
	ReasonOwned Reason = "Owned"
	// ReasonGenerated: every cluster generates its own (kube-root-ca.crt, the
	// endpoints of a Service with a selector, ...).
	ReasonGenerated Reason = "Generated"
	// ReasonServiceAccount: ServiceAccounts are created by the target's administrator.
	ReasonServiceAccount Reason = "ServiceAccount"
	// ReasonClusterCredential: a credential that is valid on the source cluster only
	// (service account tokens, bootstrap tokens, internal registry).
	ReasonClusterCredential Reason = "ClusterCredential"
	// ReasonRevisionHistory: a ControllerRevision; only rollout history is lost.
	ReasonRevisionHistory Reason = "RevisionHistory"
	// ReasonLeaderLock: a leader election record; a copied lock would block its
	// controller.
	ReasonLeaderLock Reason = "LeaderLock"
	// ReasonCompleted: a Job, Pod or custom resource that is finished and would run
	// again.
	ReasonCompleted Reason = "Completed"
	// ReasonEphemeral: a PVC that is created and deleted with a Pod.
	ReasonEphemeral Reason = "Ephemeral"
	// ReasonMirrorPod: a static pod of a node.
	ReasonMirrorPod Reason = "MirrorPod"
	// ReasonSnapshot: a VolumeSnapshot; on the target it would be a request for a
	// snapshot of the copy, under the old name.
	ReasonSnapshot Reason = "Snapshot"
	// ReasonOneTimeRequest: a request to a third party that must not be sent twice
	// (certificate orders and challenges).
	ReasonOneTimeRequest Reason = "OneTimeRequest"
	// ReasonUserAccess: a RoleBinding for users or groups only. The target's
	// administrator grants access there, and the names may be those of other users.
	ReasonUserAccess Reason = "UserAccess"
	// ReasonTargetManaged: the target's administrator has set another limit.
	ReasonTargetManaged Reason = "TargetManaged"
	// ReasonPlatform: created by the platform in every namespace
	// (gke-resource-quotas, ...).
	ReasonPlatform Reason = "Platform"
)

// Reasons of the verdict NeedsAdmin.
const (
	// ReasonNotPermitted: the user is not allowed to create or change it on the target.
	ReasonNotPermitted Reason = "NotPermitted"
	// ReasonKindMissing: the target does not serve the kind; its
	// CustomResourceDefinition must be installed first.
	ReasonKindMissing Reason = "KindMissing"
)

// Explanation is the text of a reason for people.
func (r Reason) Explanation() string {
	return explanations()[r]
}

// Reasons lists the closed set.
func Reasons() []Reason {
	return []Reason{
		ReasonMotionInternal, ReasonUserSkip, ReasonNotSelected, ReasonTerminating, ReasonOwned,
		ReasonGenerated, ReasonServiceAccount, ReasonClusterCredential, ReasonRevisionHistory,
		ReasonLeaderLock, ReasonCompleted, ReasonEphemeral, ReasonMirrorPod,
		ReasonSnapshot, ReasonOneTimeRequest, ReasonUserAccess,
		ReasonTargetManaged, ReasonPlatform, ReasonNotPermitted, ReasonKindMissing,
	}
}

func explanations() map[Reason]string {
	return map[Reason]string{
		ReasonMotionInternal:    "created by kubectl-motion for its own use",
		ReasonUserSkip:          "annotated kubectl-motion.dev/skip",
		ReasonNotSelected:       "not selected",
		ReasonTerminating:       "being deleted on the source",
		ReasonOwned:             "recreated by the controller of its owner",
		ReasonGenerated:         "generated on every cluster",
		ReasonServiceAccount:    "ServiceAccounts are created by the target's administrator",
		ReasonClusterCredential: "a credential that is valid on the source cluster only",
		ReasonRevisionHistory:   "rollout history, which starts empty on the target",
		ReasonLeaderLock:        "a lock that would block its controller",
		ReasonCompleted:         "finished, and would run again",
		ReasonEphemeral:         "created and deleted with its pod",
		ReasonMirrorPod:         "a static pod of a node",
		ReasonSnapshot:          "a snapshot of the source's storage, whose content is not migrated",
		ReasonOneTimeRequest:    "a request to a third party that must not be sent twice",
		ReasonUserAccess:        "access is granted by the target's administrator",
		ReasonTargetManaged:     "the target's administrator has set another limit",
		ReasonPlatform:          "created by the platform in every namespace",
		ReasonNotPermitted:      "you are not allowed to create or change it on the target",
		ReasonKindMissing:       "the target does not serve this kind",
	}
}
