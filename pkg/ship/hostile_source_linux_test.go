// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"path/filepath"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// A target that takes the source's index and closes the connection, over and over, must not fill
// the source's state: what was read in earlier syncs is merged.
func TestATargetThatBreaksOffEverySessionLeavesBoundedState(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("small", []byte("small"))
	m.File("large", shiptest.Noise("large", 3<<20))
	p.Send.Reconnects = -1
	for range 9 {
		p.Wrap = shiptest.CutAfter(1 << 20)
		if out := p.Try(t.Context()); out.SendErr == nil {
			t.Fatal("the connection was not cut")
		}
	}
	runs, err := filepath.Glob(filepath.Join(p.SourceState, "*", "run-*"))
	must(t, err)
	if len(runs) == 0 || len(runs) > 5 {
		t.Errorf("%d runs in the source's state", len(runs))
	}
	p.Wrap = nil
	p.Mirror()
}
