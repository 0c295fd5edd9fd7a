// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// world is a random source that changes, and what happened to it.
type world struct {
	*shiptest.Maker
	r    *rand.Rand
	step int
	// saved are contents of earlier generations, to which a file may go back.
	saved map[string][]byte
}

var worldNames = []string{"a", "b", "c", "a-", "dir", "\xff", "x\ny", "zz"}

// path gives a random path whose parent may or may not be there.
func (w *world) path() string {
	parts := make([]string, 1+w.r.IntN(3))
	for i := range parts {
		parts[i] = worldNames[w.r.IntN(len(worldNames))]
	}
	return filepath.Join(parts...)
}

// existing gives a random existing path of a kind, or "".
func (w *world) existing(kind func(os.FileMode) bool) string {
	var all []string
	w.Must(filepath.WalkDir(w.Root, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != w.Root && kind(d.Type()) {
			all = append(all, strings.TrimPrefix(path, w.Root+"/"))
		}
		return err
	}))
	if len(all) == 0 {
		return ""
	}
	return all[w.r.IntN(len(all))]
}

func (w *world) data() []byte {
	sizes := []int{0, 1, 100, 4096, 16384, 20000, 131072, 131073, 200_000, 700_000}
	n := sizes[w.r.IntN(len(sizes))]
	w.step++
	data := shiptest.Noise(fmt.Sprint("w", w.step), n)
	if n > 40_000 && w.r.IntN(2) == 0 {
		clear(data[16384 : n-1000])
	}
	return data
}

// clear makes way for something at path: its parents are directories, it is nothing.
func (w *world) clear(path string) {
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		if st, err := os.Lstat(w.Path(dir)); err == nil && !st.IsDir() {
			w.Remove(dir)
		}
	}
	w.Remove(path)
	if dir := filepath.Dir(path); dir != "." {
		w.Dir(dir)
	}
}

func regular(m os.FileMode) bool { return m.IsRegular() }
func anything(os.FileMode) bool  { return true }

// mutate makes one random change.
func (w *world) mutate() {
	switch w.r.IntN(12) {
	case 0, 1, 2:
		p := w.path()
		w.clear(p)
		w.File(p, w.data())
	case 3:
		if p := w.existing(regular); p != "" {
			w.Write(p, int64(w.r.IntN(300_000)), shiptest.Noise(p, 1+w.r.IntN(5000)))
		}
	case 4:
		if p := w.existing(regular); p != "" {
			w.Size(p, int64(w.r.IntN(400_000)))
		}
	case 5:
		if p := w.existing(anything); p != "" {
			w.Remove(p)
		}
	case 6:
		p := w.path()
		w.clear(p)
		w.Dir(p)
	case 7:
		p := w.path()
		w.clear(p)
		w.Symlink(p, "to "+p)
	case 8:
		w.link()
	case 9:
		if p := w.existing(func(m os.FileMode) bool { return m.IsRegular() || m.IsDir() }); p != "" {
			w.Mode(p, []uint32{0o700, 0o755, 0o777}[w.r.IntN(3)])
			w.Xattr(p, "user.x", fmt.Sprint(w.step))
			w.step++
		}
	case 10:
		from, to := w.existing(anything), w.path()
		if from != "" && !strings.HasPrefix(to+"/", from+"/") && !strings.HasPrefix(from+"/", to+"/") {
			if w.clear(to); exists(w.Path(from)) {
				w.Must(os.Rename(w.Path(from), w.Path(to)))
			}
		}
	case 11:
		w.revert()
	}
}

func (w *world) link() {
	from, to := w.existing(regular), w.path()
	if from == "" || strings.HasPrefix(to+"/", from+"/") || strings.HasPrefix(from+"/", to+"/") {
		return
	}
	if w.clear(to); exists(w.Path(from)) {
		w.Link(to, from)
	}
}

// revert puts a file back to an earlier content, times and all.
func (w *world) revert() {
	p := w.existing(regular)
	if p == "" {
		return
	}
	now, err := os.ReadFile(w.Path(p))
	w.Must(err)
	if old, ok := w.saved[p]; ok {
		w.Must(os.WriteFile(w.Path(p), old, 0o644))
		w.MTime(p, 1_000_000, int64(len(old)))
	}
	w.saved[p] = now
}

// attempt runs one pass during which something dies, and says whether the pass was
// verified nevertheless.
func attempt(t *testing.T, p *shiptest.Pair, r *rand.Rand) (o shiptest.Outcome) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() { p.Wrap, p.Dest, p.Send.Reconnects = nil, nil, 0 }()
	p.Send.Reconnects = -1
	switch r.IntN(3) {
	case 0:
		p.Wrap = shiptest.CutAfter(int64(1 << r.IntN(21)))
	case 1, 2:
		p.Dest = func() (ship.Target, func()) {
			root, err := os.Open(p.Target)
			if err != nil {
				t.Fatal(err)
			}
			real, err := fswrite.OpenTree(root, fswrite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			dying := &shiptest.DyingTarget{Target: real, Died: cancel}
			dying.Left.Store(int64(r.IntN(60)))
			return dying, func() { _, _ = real.Close(), root.Close() }
		}
	}
	return p.Try(ctx)
}

// generations are the states of the source that a pass began from and that may have been
// verified, the last one that was for certain first.
type syncs struct {
	dir    string
	n      int
	states []string
	digest string
}

func (g *syncs) add(t *testing.T, source string) {
	t.Helper()
	g.n++
	to := filepath.Join(g.dir, fmt.Sprint(g.n))
	if out, err := exec.Command("cp", "-a", source, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	g.states = append(g.states, to)
}

// check fails unless the target is exactly one of the generations it can be (and, when its
// digest did not change, the same as before), or says of itself that it is torn.
func (g *syncs) check(t *testing.T, p *shiptest.Pair) {
	t.Helper()
	st, err := ship.OpenState(p.TargetState, "volume")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, digest, ok := st.Verified()
	if !ok || st.PartiallyApplied() {
		return
	}
	can := g.states
	if digest == g.digest {
		can = can[:1]
	}
	var why string
	for i, state := range can {
		if why = firstDifference(t, state, p.Target); why == "" {
			g.states, g.digest = g.states[i:], digest
			return
		}
	}
	t.Fatalf("the generation that was verified is damaged: %s", why)
}

func firstDifference(t *testing.T, a, b string) string {
	t.Helper()
	diff, err := shiptest.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range diff {
		if !strings.Contains(line, ".kubectl-motion-stage.") && !strings.HasPrefix(line, "\".\": mtime") {
			return line
		}
	}
	return ""
}

func TestRandomTreesConvergeUnderKills(t *testing.T) {
	from, to := 0, 24
	if text := os.Getenv("MOTION_TEST_SEEDS"); text != "" { // "from-to", to look further than usual
		if _, err := fmt.Sscanf(text, "%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
	}
	for seed := from; seed < to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			converge(t, uint64(seed))
		})
	}
}

func converge(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	p := shiptest.NewPair(t)
	p.Send.Checkpoint = time.Millisecond * time.Duration(1+r.IntN(5))
	w := &world{Maker: shiptest.At(t, p.Source), r: r, saved: map[string][]byte{}}
	g := &syncs{dir: t.TempDir()}
	for range 30 {
		w.mutate()
	}
	for range 5 {
		for range 3 {
			g.add(t, p.Source)
			o := attempt(t, p, r)
			if errors.Is(o.SendErr, shiptest.ErrKilled) {
				t.Fatal("the target's death reached the source as its own error")
			}
			g.check(t, p)
			for range r.IntN(4) {
				w.mutate()
			}
		}
		g.add(t, p.Source)
		p.Mirror()
		g.check(t, p)
		for range 1 + r.IntN(12) {
			w.mutate()
		}
	}
}

func TestAReceiverEndsWithoutBye(t *testing.T) {
	p := shiptest.NewPair(t)
	shiptest.At(t, p.Source).File("f", []byte("x"))
	p.Send.Reconnects = -1
	var last net.Conn
	p.Wrap = func(c net.Conn) net.Conn {
		if last == nil {
			last = c // the control connection comes first
			return muteConn{c}
		}
		return c
	}
	o := p.Try(context.Background())
	if o.SendErr != nil || o.RecvErr != nil || !o.Received.Verified {
		t.Fatalf("sender %v, receiver %v, %+v", o.SendErr, o.RecvErr, o.Received)
	}
	p.Same()
}

// muteConn closes instead of saying goodbye, whose message has no payload and type 12.
type muteConn struct{ net.Conn }

func (c muteConn) Write(b []byte) (int, error) {
	if bytes.Equal(b, []byte{12, 0, 0, 0, 0}) {
		return len(b), c.Close()
	}
	return c.Conn.Write(b)
}
