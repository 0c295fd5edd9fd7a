// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

// Failures are the volumes whose last pass did not end in a verification.
func (f *Volumes) Failures() []string {
	var out []string
	for _, v := range f.Volumes {
		if !v.Outcome.Verified {
			out = append(out, fmt.Sprintf("volume %s: %s: %s", v.Claim, v.Outcome.Reason, v.Outcome.Message))
		}
	}
	return out
}

// Claims are the names of the source's claims on their way.
func (f *Volumes) Claims() []string {
	out := make([]string, 0, len(f.Volumes))
	for _, v := range f.Volumes {
		out = append(out, v.Claim)
	}
	return out
}

// Lines are the volumes as the Migration records them.
func (f *Volumes) Lines(before []v1alpha1.MigrationVolume) []v1alpha1.MigrationVolume {
	earlier := map[string]v1alpha1.MigrationVolume{}
	for _, l := range before {
		earlier[l.Claim] = l
	}
	out := make([]v1alpha1.MigrationVolume, 0, len(f.Volumes))
	for _, v := range f.Volumes {
		l := earlier[v.Claim]
		l.Claim, l.TargetClaim = v.Claim, v.TargetClaim
		l.SentBytes, l.WireBytes = v.Sent, v.Wire
		if v.pass.skipped {
			out = append(out, l)
			continue
		}
		l.Reason = v.Outcome.Reason
		if v.Outcome.Shipped {
			l.ShippedSync = v.Sync
		}
		if v.Outcome.Verified {
			l.VerifiedSync, l.Consistency, l.Digest, l.Reason = v.Sync, v.consistency(), v.Outcome.Digest, ""
		}
		out = append(out, l)
	}
	return out
}

// Moved says whether a volume arrived but moved under the read.
func (f *Volumes) Changed() bool {
	for _, v := range f.Volumes {
		if v.Outcome.Shipped && !v.Outcome.Verified {
			return true
		}
	}
	return false
}

// Broken is the first volume that did not arrive.
func (f *Volumes) Broken() error {
	for _, v := range f.Volumes {
		switch {
		case v.pass.skipped:
		case v.Outcome.Reason == v1alpha1.ReasonDigestMismatch:
			return &VerificationError{Claim: v.Claim, Message: v.Outcome.Message}
		case !v.Outcome.Shipped:
			return hint.New(fmt.Errorf("volume %s: %s: %s", v.Claim, v.Outcome.Reason, v.Outcome.Message), "%s", remedy(v.Outcome.Reason))
		}
	}
	return nil
}

// remedy is what a user can do about a reason.
func remedy(reason string) string {
	switch reason {
	case v1alpha1.ReasonTargetFull:
		return "make room on the target volume or let it be larger, then run the same command: what has arrived is not sent again"
	case v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed:
		return "ask an administrator to allow it with kubectl motion pair; kubectl get motionpolicies lists what is allowed"
	case v1alpha1.ReasonSpecialFileRefused:
		return "remove the file, or ask an administrator to set specialFiles: Preserve in the MotionPolicies of both clusters"
	case v1alpha1.ReasonTargetUnsupported:
		return "give the volume a storage class whose filesystem can hold it (--storage-class OLD=NEW), or remove it from the source"
	case v1alpha1.ReasonBlockDevicesDisabled:
		return "ask an administrator to run: kubectl motion pair, with --block-devices"
	case v1alpha1.ReasonNotExclusive:
		return "run kubectl describe pvc to find the pod that uses the volume"
	case v1alpha1.ReasonPeerUnreachable:
		return "if only the API servers of the clusters can be reached, ask an administrator to run kubectl motion agent install --relay on both, and kubectl motion pair --relay"
	case v1alpha1.ReasonPeerVersionMismatch:
		return "ask an administrator to run kubectl motion agent upgrade on the cluster with the older agents"
	}
	return ""
}

// VerificationError means that the two ends disagree about a volume's content.
type VerificationError struct{ Claim, Message string }

func (e *VerificationError) Error() string {
	return fmt.Sprintf("volume %s: source and target differ: %s; the target was not started", e.Claim, e.Message)
}
