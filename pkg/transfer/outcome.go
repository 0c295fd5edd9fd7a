// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
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
			l.VerifiedSync, l.Consistency, l.Digest, l.Reason = v.Sync, v.worth(), v.Outcome.Digest, ""
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
			return fmt.Errorf("volume %s: %s: %s%s", v.Claim, v.Outcome.Reason, v.Outcome.Message, remedy(v.Outcome.Reason))
		}
	}
	return nil
}

// remedy is what a user can do about a reason.
func remedy(reason string) string {
	switch reason {
	case v1alpha1.ReasonTargetFull:
		return "\nhint: make room on the target volume or let it be larger, then run the same command: what has arrived is not sent again"
	case v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed:
		return "\nhint: an administrator has to allow it: kubectl get motionpolicies, and kubectl motion pair"
	case v1alpha1.ReasonSpecialFileRefused:
		return "\nhint: remove the file, or an administrator sets specialFiles: Preserve in the MotionPolicies of both clusters"
	case v1alpha1.ReasonTargetUnsupported:
		return "\nhint: give the volume a storage class whose filesystem can hold it (--storage-class OLD=NEW), or remove it from the source: nothing is left out by itself"
	case v1alpha1.ReasonBlockDevicesDisabled:
		return "\nhint: an administrator lets the agents open raw block volumes: kubectl motion pair --block-devices"
	case v1alpha1.ReasonNotExclusive:
		return "\nhint: another pod has the volume: see kubectl describe pvc"
	case v1alpha1.ReasonPeerUnreachable:
		return "\nhint: if only the API servers of the clusters can be reached, an administrator runs kubectl motion agent install --relay on both, and kubectl motion pair --relay"
	case v1alpha1.ReasonPeerVersionMismatch:
		return "\nhint: the agents of the two clusters differ: an administrator runs kubectl motion pair again"
	}
	return ""
}

// VerificationError means that the two ends disagree about a volume's content.
type VerificationError struct{ Claim, Message string }

func (e *VerificationError) Error() string {
	return fmt.Sprintf("volume %s: source and target do not agree: %s; the target was not started", e.Claim, e.Message)
}
