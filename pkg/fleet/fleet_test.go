// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/shipment"
)

func TestTheWorstVolumeDecides(t *testing.T) {
	promoted := &Volume{Claim: "good", Outcome: shipment.Outcome{Ended: true, Shipped: true, Promoted: true}}
	moved := &Volume{Claim: "moved", Outcome: shipment.Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonSourceMoved}}
	full := &Volume{Claim: "full", Outcome: shipment.Outcome{Ended: true, Reason: v1alpha1.ReasonTargetFull, Message: "no space"}}
	unequal := &Volume{Claim: "unequal", Outcome: shipment.Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonDigestMismatch}}

	f := &Fleet{Volumes: []*Volume{promoted, moved}}
	if f.Broken() != nil || !f.Moved() || len(f.Failures()) != 1 {
		t.Errorf("a live copy that moved: broken %v, moved %v, failures %v", f.Broken(), f.Moved(), f.Failures())
	}
	f = &Fleet{Volumes: []*Volume{promoted, full}}
	if err := f.Broken(); err == nil || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("a full target: %v", err)
	}
	f = &Fleet{Volumes: []*Volume{unequal}}
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
		v.Outcome = shipment.Outcome{Ended: true, Shipped: true, Early: c.early}
		if v.hearSender(now.Add(c.after)); v.Outcome.Ended != c.ended {
			t.Errorf("after %s, early %v: ended %v", c.after, c.early, v.Outcome.Ended)
		}
	}
}

func TestARecordKeepsTheBestThatIsKnownOfAVolume(t *testing.T) {
	f := &Fleet{Volumes: []*Volume{{
		Claim: "data", TargetClaim: "data", Generation: 5, Sent: 10,
		Outcome: shipment.Outcome{Ended: true, Shipped: true, Reason: v1alpha1.ReasonSourceMoved},
	}}}
	lines := f.Lines([]v1alpha1.MigrationVolume{{Claim: "data", PromotedGeneration: 4, ShippedGeneration: 4, Consistency: "Stopped"}})
	if l := lines[0]; l.PromotedGeneration != 4 || l.ShippedGeneration != 5 || l.Consistency != "Stopped" {
		t.Errorf("after a live pass over a promoted Generation: %+v", l)
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
