// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"maps"
	"testing"
)

// life is what a volume goes through: a first copy, increments, a pre-copy, a change while
// a pass runs, a return to an earlier state. It gives what was violated, or "".
func life(w *world, trap func(w *world, name string, n int, after bool) string) string {
	w.trap = trap
	steps := []func() error{
		func() error { w.edit("a", "1"); w.edit("b", "2"); w.edit("c", "3"); return w.pass(false) },
		func() error { w.edit("a", "4"); w.edit("b", ""); w.edit("d", "5"); return w.pass(true) },
		func() error { w.edit("a", "1"); w.edit("e", "6"); return w.pass(false) },
		func() error { return w.pass(false) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Sprintf("step %d: %v", i, err)
		}
	}
	w.trap = nil
	w.edit("c", "7")
	for range 2 {
		if err := w.pass(false); err != nil {
			return fmt.Sprint("in peace: ", err)
		}
		if got := w.disk.tree(w.disk.current); !maps.Equal(got, w.source) {
			return fmt.Sprintf("in the end the volume has %v, and the source %v", got, w.source)
		}
	}
	return ""
}

// everywhere lets who die at every event of a life, and once more later. It gives the first
// thing that was violated.
func everywhere(seeds int, broken ...string) (violation string, lives int) {
	for seed := range uint64(seeds) {
		begin := func() *world {
			w := newWorld(seed)
			for _, b := range broken {
				w.broken[b] = true
			}
			return w
		}
		w := begin()
		if v := life(w, nil); v != "" {
			return fmt.Sprintf("seed %d, nothing dies: %s", seed, v), lives
		}
		for at := 1; at <= w.events; at++ {
			for _, who := range []string{"receiver", "sender", "conn"} {
				again := at + 1 + int(seed*7+uint64(at)*13)%40
				v := life(begin(), func(_ *world, _ string, n int, after bool) string {
					if n == at && !after || n == again && after {
						return who
					}
					return ""
				})
				if lives++; v != "" {
					return fmt.Sprintf("seed %d, %s dies at %d: %s", seed, who, at, v), lives
				}
			}
		}
	}
	return "", lives
}

func TestNothingIsLostWhicheverEndDiesAtAnyAction(t *testing.T) {
	t.Parallel()
	violation, lives := everywhere(4)
	if violation != "" {
		t.Fatal(violation)
	}
	if lives < 2000 {
		t.Fatalf("only %d lives: the simulator simulates nothing", lives)
	}
	t.Logf("%d lives", lives)
}

// The check itself is checked: each of these defects must be seen.
func TestTheSimulatorDetectsABrokenReceiver(t *testing.T) {
	for _, broken := range []string{
		"swaps sync and persist",
		"acknowledges what is only applied",
		"commits after rolling forward",
		"judges without looking",
		"journals what no sync covers",
		"takes frames of an old session",
		"does not sync what it arranged",
	} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			violation, lives := everywhere(40, broken)
			if violation == "" {
				t.Fatalf("%d lives, and nothing was noticed", lives)
			}
			t.Logf("noticed after %d lives: %s", lives, violation)
		})
	}
}
