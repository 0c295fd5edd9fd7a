//go:build e2e && bench

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// TestAThousandShipmentsOfAnotherTeamBesideOne measures how long red's volume takes
// alone, and beside a thousand shipments of blue's that dial the same agents. Each
// time the volume's content is new; the best of three counts.
func TestAThousandShipmentsOfAnotherTeamBesideOne(t *testing.T) {
	const many, runs = 1000, 3
	red := newPairOf(t, "red", "lab-local", muchData)
	blue := newPairOf(t, "blue", "lab-local", someFiles)
	ship := func() time.Duration {
		best := time.Duration(0)
		for range runs {
			red.send.runOnce("fill", `head -c 100000000 /dev/urandom > big`)
			begun := time.Now()
			red.awaitVerified(red.ask(v1alpha1.CopyMethodStopped))
			if took := time.Since(begun); best == 0 || took < best {
				best = took
			}
		}
		return best.Round(10 * time.Millisecond)
	}
	alone := ship()
	blue.crowd(many)
	begun := time.Now()
	// Not asked for more often: a list of a thousand is work for the API server, too.
	err := wait.PollUntilContextTimeout(t.Context(), 2*time.Second, 5*time.Minute, true, func(context.Context) (bool, error) {
		n := blue.send.waiting()
		t.Logf("%d of %d shipments are taken up after %s", n, many, time.Since(begun).Round(time.Second))
		return n >= many, nil
	})
	if err != nil {
		t.Fatalf("blue's shipments are not taken up: %v", err)
	}
	beside := ship()
	t.Logf("100 MB alone %s, beside %d shipments of another namespace %s (%.2f times as long)", alone, many, beside, beside.Seconds()/alone.Seconds())
}
