// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"testing"
	"testing/synctest"
)

func TestTheWindowBoundsMemoryAndAdmitsTheFrameThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(t.Context(), 100)
		in := map[uint64]bool{}
		ask := func(seq uint64, cost int64) {
			go func() {
				if w.admit(seq, cost) {
					in[seq] = true
				}
			}()
			synctest.Wait()
		}
		expect := func(what string, want ...uint64) {
			t.Helper()
			synctest.Wait()
			for _, seq := range want {
				if !in[seq] {
					t.Errorf("%s: %d is kept out", what, seq)
				}
			}
			if len(in) != len(want) {
				t.Errorf("%s: %v instead of %v", what, in, want)
			}
		}
		ask(2, 60)
		ask(3, 60)
		ask(1, 90)
		expect("the one that is due goes, although later ones fill the window", 1, 2)
		w.passed(2)
		ask(4, 10)
		expect("its turn has come, and what it takes is waited for", 1, 2)
		w.grow(2, 5)
		w.passed(3)
		expect("so is what the next takes, though 3 is due", 1, 2)
		w.release(90)
		expect("room for a later one that is small", 1, 2, 4)
		w.release(65)
		expect("nothing but later ones is left", 1, 2, 3, 4)
		w.passed(5)
		w.release(70)
		if w.used != 0 || w.ahead != 0 || len(w.early) != 0 {
			t.Errorf("%d used, %d ahead, %v", w.used, w.ahead, w.early)
		}
	})
}
