//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// tripwire keeps what is written to it and does something, once, when a line that
// begins with some words is complete.
type tripwire struct {
	mu    sync.Mutex
	b     bytes.Buffer
	words string
	hit   func()
	done  bool
}

func (w *tripwire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if w.done {
		return len(p), nil
	}
	for line := range strings.Lines(w.b.String()) {
		if strings.HasPrefix(line, w.words) && strings.HasSuffix(line, "\n") {
			w.done = true
			w.hit()
			break
		}
	}
	return len(p), nil
}

func (w *tripwire) text() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String(), w.done
}

// signalled runs the plugin and sends it a signal as soon as it has said a line
// that begins with words.
func signalled(t *testing.T, signal os.Signal, words string, args ...string) run {
	t.Helper()
	return interrupted(t, words, func(p *os.Process) { _ = p.Signal(signal) }, args...)
}

// interrupted runs the plugin and does something to it, or to its world, as soon as
// it has said a line that begins with words.
func interrupted(t *testing.T, words string, do func(*os.Process), args ...string) run {
	t.Helper()
	c := exec.CommandContext(context.WithoutCancel(t.Context()), plugin, args...)
	var out lockedBuffer
	trip := &tripwire{words: words}
	trip.hit = func() { do(c.Process) }
	c.Stdout, c.Stderr = &out, trip
	// The process is known to hit only once it has started.
	trip.mu.Lock()
	err := c.Start()
	trip.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Wait()
	said, reached := trip.text()
	r := run{c.ProcessState.ExitCode(), out.String(), said}
	if !reached {
		t.Fatalf("the run never said %q: %v: %s", words, err, r)
	}
	return r
}

// killed is signalled with a signal that nobody can catch.
func killed(t *testing.T, words string, args ...string) run {
	t.Helper()
	r := signalled(t, syscall.SIGKILL, words, args...)
	if r.code != -1 {
		t.Fatalf("the run was not killed at %q: %s", words, r)
	}
	return r
}

// Lines of a cutover, in their order. With the first of descent it is written down
// that the source stops, and the point of no return lies between descent and ascent.
var (
	approach = []string{
		"==> planning",
		"==> recording the migration",
		"==> preparing the volumes",
		"==> copying the volumes while the application runs",
		"==> applying the objects on standby",
		"==> stopping the source",
	}
	descent = []string{
		"  deployments/shop stopped on ",
		"==> waiting for pods to release the volumes",
		"==> shipping the last increment",
	}
	ascent = []string{
		"==> starting the target",
		"==> waiting for the application to be ready",
	}
)

func TestACutoverThatIsKilled(t *testing.T) {
	t.Run("at every step goes on with the same command", func(t *testing.T) {
		t.Parallel()
		goesOn(t, blue)
	})
	t.Run("is undone by a rollback", func(t *testing.T) {
		t.Parallel()
		isUndone(t, red)
	})
}

// goesOn kills one migration again and again, each time a step later.
func goesOn(t *testing.T, team string) {
	s := opened(t, team, "lab-local")
	tree := s.fill(t, 4)
	s.write(t)
	for _, at := range append(append(append([]string{}, approach...), descent...), ascent...) {
		written := 0
		if s.replicas(t, s.a) > 0 {
			written = s.last(t, s.a)
		}
		r := killed(t, at, s.migrate("--cutover")...)
		if s.replicas(t, s.a) > 0 && s.replicas(t, s.b) > 0 {
			t.Fatalf("killed at %q, both sides run: %s", at, r)
		}
		if s.replicas(t, s.a) > 0 && s.last(t, s.a) < written {
			t.Errorf("killed at %q, the source forgot what it wrote", at)
		}
	}
	r := must(t, s.migrate("--cutover")...)
	s.runsOnly(t, s.b, s.a)
	if got := s.on(t, s.b, shopTree); got != tree {
		t.Errorf("after %s\nthe target has\n%swant\n%s", r, got, tree)
	}
	before := s.last(t, s.b)
	must(t, s.args("rollback")...)
	s.runsOnly(t, s.a, s.b)
	s.untouched(t)
	if got := s.on(t, s.a, shopTree); got != tree {
		t.Errorf("the source has\n%swant\n%s", got, tree)
	}
	if before == 0 || s.last(t, s.a) == 0 {
		t.Error("nothing was written, so nothing was proved about the writes")
	}
}

func isUndone(t *testing.T, team string) {
	s := opened(t, team, "lab-hostpath")
	tree := s.fill(t, 4)
	s.write(t)
	t.Run("before the source was stopped there is nothing to undo but the transfer", func(t *testing.T) {
		killed(t, "==> copying the volumes while the application runs", s.migrate("--cutover")...)
		r := motion(t, s.args("rollback")...)
		if r.code != 1 || !strings.Contains(r.stderr, "nothing to roll back") {
			t.Errorf("rollback of what was not stopped: %s", r)
		}
		s.runsOnly(t, s.a, s.b)
		s.untouched(t)
	})
	// Between the first and the third of descent only the pods' end passes.
	for _, at := range append([]string{descent[0], descent[2]}, ascent...) {
		written := s.last(t, s.a)
		killed(t, at, s.migrate("--cutover")...)
		must(t, s.args("rollback")...)
		s.runsOnly(t, s.a, s.b)
		s.untouched(t)
		if got := s.on(t, s.a, shopTree); got != tree {
			t.Errorf("killed at %q and rolled back, the source has\n%swant\n%s", at, got, tree)
		}
		if now := s.last(t, s.a); now < written {
			t.Errorf("killed at %q and rolled back, the source has %d numbers and had %d", at, now, written)
		}
	}
}

func TestAnInterruptedCutoverPutsTheSourceBack(t *testing.T) {
	s := opened(t, blue, "lab-local")
	tree := s.fill(t, 4)
	s.write(t)
	for _, c := range []struct {
		at     string
		signal os.Signal
		undone bool
	}{
		{"==> copying the volumes while the application runs", syscall.SIGTERM, false},
		{"==> waiting for pods to release the volumes", os.Interrupt, true},
		{"==> shipping the last increment", os.Interrupt, true},
	} {
		r := signalled(t, c.signal, c.at, s.migrate("--cutover")...)
		if r.code != 130 || r.stdout != "" {
			t.Errorf("interrupted at %q: %s", c.at, r)
		}
		if said := strings.Contains(r.stderr, "the source is running as before"); said != c.undone {
			t.Errorf("interrupted at %q it says that the source was put back: %v: %s", c.at, said, r)
		}
		s.runsOnly(t, s.a, s.b)
		s.untouched(t)
		s.last(t, s.a)
	}
	if got := s.on(t, s.a, shopTree); got != tree {
		t.Errorf("the source has\n%swant\n%s", got, tree)
	}
}
