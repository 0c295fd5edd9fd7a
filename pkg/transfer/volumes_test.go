// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

func TestTheWorstVolumeDecides(t *testing.T) {
	verified := &Volume{Claim: "good", Outcome: Outcome{Ended: true, Shipped: true, Verified: true}}
	moved := &Volume{Claim: "moved", Outcome: Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonSourceChanged}}
	full := &Volume{Claim: "full", Outcome: Outcome{Ended: true, Reason: v1alpha1.ReasonTargetFull, Message: "no space"}}
	unequal := &Volume{Claim: "unequal", Outcome: Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonDigestMismatch}}

	f := &Volumes{Volumes: []*Volume{verified, moved}}
	if f.Broken() != nil || !f.Changed() || len(f.Failures()) != 1 {
		t.Errorf("a live copy that moved: broken %v, moved %v, failures %v", f.Broken(), f.Changed(), f.Failures())
	}
	f = &Volumes{Volumes: []*Volume{verified, full}}
	if err := f.Broken(); err == nil || len(hint.Of(err)) != 1 {
		t.Errorf("a full target: %v", err)
	}
	f = &Volumes{Volumes: []*Volume{unequal}}
	if _, ok := errors.AsType[*VerificationError](f.Broken()); !ok {
		t.Errorf("unequal ends: %v", f.Broken())
	}
}

func TestAPassIsOverWhenTheSenderHasSaidWhatItReadOrNotSaidItForAWhile(t *testing.T) {
	v, now := &Volume{}, time.Now()
	for _, c := range []struct {
		after        time.Duration
		early, ended bool
	}{{0, true, false}, {lastWord / 2, true, false}, {lastWord / 2, false, true}, {lastWord, true, true}} {
		v.Outcome = Outcome{Ended: true, Shipped: true, Early: c.early}
		if v.hearSender(now.Add(c.after)); v.Outcome.Ended != c.ended {
			t.Errorf("after %s, early %v: ended %v", c.after, c.early, v.Outcome.Ended)
		}
	}
}

func TestARecordKeepsTheBestThatIsKnownOfAVolume(t *testing.T) {
	f := &Volumes{Volumes: []*Volume{{
		Claim: "data", TargetClaim: "data", Sync: 5, Sent: 10,
		Outcome: Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonSourceChanged},
	}}}
	lines := f.Lines([]v1alpha1.MigrationVolume{{Claim: "data", VerifiedSync: 4, ShippedSync: 4, Consistency: "Stopped"}})
	if l := lines[0]; l.VerifiedSync != 4 || l.ShippedSync != 5 || l.Consistency != "Stopped" {
		t.Errorf("after a live pass over a verified Generation: %+v", l)
	}
}

func TestOnlyErrorsThatPassAreWaitedOut(t *testing.T) {
	resource := schema.GroupResource{Resource: "volumeshipments"}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"connection refused": {errors.New("dial tcp: connection refused"), true},
		"server timeout":     {apierrors.NewServerTimeout(resource, "get", 1), true},
		"wrapped conflict":   {fmt.Errorf("shipment: %w", apierrors.NewConflict(resource, "x", nil)), true},
		"forbidden":          {apierrors.NewForbidden(resource, "x", nil), false},
		"gone":               {apierrors.NewNotFound(resource, "x"), false},
	} {
		if got := unreachable(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
