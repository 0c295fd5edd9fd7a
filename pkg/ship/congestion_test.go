// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"testing"
	"time"
)

func TestCongestionIsWhatDataWaitForTheNetwork(t *testing.T) {
	const took = 100 * time.Millisecond
	for name, c := range map[string]struct {
		after traffic
		want  bool
	}{
		"a slow network":                   {traffic{busy: 4 * took, bytes: 1 << 20}, true},
		"a receiver that takes no more":    {traffic{busy: 4 * took, closed: 3 * took, bytes: 1 << 20}, false},
		"a sender that has little":         {traffic{busy: took / 4, bytes: 1 << 20}, false},
		"a network that is fast anyhow":    {traffic{busy: 4 * took, bytes: 100 << 20}, false},
		"a receiver that is full at times": {traffic{busy: 4 * took, closed: took / 2, bytes: 1 << 20}, true},
	} {
		if got := congested(traffic{}, c.after, took, 4); got != c.want {
			t.Errorf("%s: congested is %v", name, got)
		}
	}
}
