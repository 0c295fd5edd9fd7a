// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

// Verdict says what becomes of an object. There are three, and every object
// that was listed has one of them.
type Verdict string

const (
	// Move: the object is written to the target.
	Move Verdict = "Move"
	// Skip: the object stays behind for the reason given.
	Skip Verdict = "Skip"
	// NeedsAdmin: the object should be on the target, but somebody with more
	// rights than the user must put it there. The plan has the manifest.
	NeedsAdmin Verdict = "NeedsAdmin"
)

// Reason says why an object does not simply move. The set is closed: plans,
// reports and their readers rely on it.
type Reason string

// Reasons of the verdict Skip.
const (
	// ReasonMotionInternal: made by kubectl-motion for its own work.
	ReasonMotionInternal Reason = "MotionInternal"
	// ReasonUserSkip: the user annotated it with kubectl-motion.dev/skip.
	ReasonUserSkip Reason = "SkippedByUser"
	// ReasonNotSelected: the selection of this run leaves it out.
	ReasonNotSelected Reason = "NotSelected"
	// ReasonTerminating: it is being deleted on the source.
	ReasonTerminating Reason = "Terminating"
	// ReasonOwned: its owner moves, and the owner's controller makes it anew.
	ReasonOwned Reason = "Owned"
	// ReasonGenerated: every cluster makes its own (kube-root-ca.crt, the
	// endpoints of a Service with a selector, ...).
	ReasonGenerated Reason = "Generated"
	// ReasonServiceAccount: identities are the target administrator's to give.
	ReasonServiceAccount Reason = "ServiceAccount"
	// ReasonClusterCredential: a credential of the source cluster, worth nothing
	// elsewhere (service account tokens, bootstrap tokens, internal registry).
	ReasonClusterCredential Reason = "ClusterCredential"
	// ReasonRevisionHistory: a ControllerRevision; only rollout history is lost.
	ReasonRevisionHistory Reason = "RevisionHistory"
	// ReasonLeaderLock: a leader election record; a copied lock blocks the
	// controller that waits for it.
	ReasonLeaderLock Reason = "LeaderLock"
	// ReasonCompleted: a Job or Pod that has run to its end and would run again.
	ReasonCompleted Reason = "Completed"
	// ReasonEphemeral: a claim that lives and dies with one Pod.
	ReasonEphemeral Reason = "Ephemeral"
	// ReasonMirrorPod: a static pod of a node.
	ReasonMirrorPod Reason = "MirrorPod"
	// ReasonOneTimeRequest: a request to an outside party that must not be made twice
	// (certificate orders and challenges, token and access reviews).
	ReasonOneTimeRequest Reason = "OneTimeRequest"
	// ReasonUserAccess: a RoleBinding for people or groups only. Who may do
	// what on the target is for its administrator to say, and the names may mean
	// somebody else there.
	ReasonUserAccess Reason = "UserAccess"
	// ReasonTargetManaged: a limit that the target's administrator has set already.
	ReasonTargetManaged Reason = "TargetManaged"
	// ReasonPlatform: written by the platform's own administrator or vendor
	// into every namespace (gke-resource-quotas, ...).
	ReasonPlatform Reason = "Platform"
)

// Reasons of the verdict NeedsAdmin.
const (
	// ReasonNotPermitted: the user may not write it on the target.
	ReasonNotPermitted Reason = "NotPermitted"
	// ReasonKindMissing: the target does not serve the kind; its
	// CustomResourceDefinition has to be installed first.
	ReasonKindMissing Reason = "KindMissing"
)

// Explanation is the line that people read for a reason.
func (r Reason) Explanation() string {
	return explanations()[r]
}

// Reasons lists the closed set.
func Reasons() []Reason {
	return []Reason{
		ReasonMotionInternal, ReasonUserSkip, ReasonNotSelected, ReasonTerminating, ReasonOwned,
		ReasonGenerated, ReasonServiceAccount, ReasonClusterCredential, ReasonRevisionHistory,
		ReasonLeaderLock, ReasonCompleted, ReasonEphemeral, ReasonMirrorPod,
		ReasonOneTimeRequest, ReasonUserAccess,
		ReasonTargetManaged, ReasonPlatform, ReasonNotPermitted, ReasonKindMissing,
	}
}

func explanations() map[Reason]string {
	return map[Reason]string{
		ReasonMotionInternal:    "made by kubectl-motion for its own work",
		ReasonUserSkip:          "annotated kubectl-motion.dev/skip",
		ReasonNotSelected:       "left out by the selection",
		ReasonTerminating:       "being deleted on the source",
		ReasonOwned:             "made anew by the controller of its owner",
		ReasonGenerated:         "every cluster makes its own",
		ReasonServiceAccount:    "identities are given by the target's administrator",
		ReasonClusterCredential: "a credential that is worth something on the source cluster only",
		ReasonRevisionHistory:   "rollout history starts anew",
		ReasonLeaderLock:        "a copied lock would block the controller that waits for it",
		ReasonCompleted:         "has run to its end and would run again",
		ReasonEphemeral:         "scratch space that lives and dies with its pod",
		ReasonMirrorPod:         "a static pod that belongs to a node",
		ReasonOneTimeRequest:    "a request to an outside party that must not be made twice",
		ReasonUserAccess:        "who may do what is for the target's administrator to say",
		ReasonTargetManaged:     "the target's administrator has set another one",
		ReasonPlatform:          "put into every namespace by the platform",
		ReasonNotPermitted:      "you may not write it on the target",
		ReasonKindMissing:       "the target does not serve this kind",
	}
}
