// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Each rule of the engine has a test here or in the files beside it; docs/engine.md has the
// table, and says which were seen to fail with their rule taken out.

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// filesystem makes and mounts a small filesystem of its own, for root; ok is false otherwise.
func filesystem(t *testing.T, bytes int64, options string, mkfs ...string) (dir, image string, ok bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem of its own can be mounted here")
		return "", "", false
	}
	dir, image = filepath.Join(t.TempDir(), "mnt"), filepath.Join(t.TempDir(), "fs.img")
	shiptest.At(t, "/").Size(image, bytes)
	must(t, os.Mkdir(dir, 0o755))
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("mkfs.ext4", append(append([]string{"-q", "-F", "-m", "0"}, mkfs...), image)...)
	run("mount", "-o", "loop,"+options, image, dir)
	t.Cleanup(func() { unmount(t, dir) })
	return dir, image, true
}

// unmount waits while a mount is busy: between fork and exec, the child of a test that runs
// beside this one has every descriptor of this process, and so holds the mount.
func unmount(t *testing.T, dir string) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-again.C {
		err := unix.Unmount(dir, 0)
		switch {
		case err == nil:
			return
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
	}
}

func TestRule6WhatIsVerifiedIsDurableBefore(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	var watched *shiptest.WatchedTarget
	p.On(func(plain ship.Target) ship.Target {
		watched = &shiptest.WatchedTarget{Target: plain}
		return watched
	})
	p.Recv.BeforeVerify = func(context.Context) error {
		if n := watched.Unsynced.Load(); n != 0 {
			t.Errorf("asked to verify with %d operations that a power failure would undo", n)
		}
		return nil
	}
	m := shiptest.At(t, p.Source)
	m.File("dir/sub/file", []byte("1"))
	m.MTime("dir", 5, 5)
	p.Mirror()
	m.File("dir/sub/file", []byte("2"))
	m.File("dir/new/large", shiptest.Noise("l", 200_000))
	m.MTime("dir", 6, 6)
	p.Mirror()
	if n := watched.Unsynced.Load(); n != 0 {
		t.Errorf("verified with %d operations that a power failure would undo", n)
	}
}

// A store into a page that is dirty already moves no ctime: only the cut tells.
func TestRuleCutAStoreThroughAMapAfterThePrecopyIsNotMissed(t *testing.T) {
	t.Parallel()
	dir, _, ok := filesystem(t, 64<<20, "user_xattr")
	if !ok {
		return
	}
	p := shiptest.NewPair(t) // the target is on another filesystem: syncing it leaves the page dirty
	p.Source = filepath.Join(dir, "source")
	m := shiptest.At(t, p.Source)
	m.File("database", shiptest.Noise("db", 64<<10))
	p.Mirror()
	f, err := os.OpenFile(m.Path("database"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	page, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer func() { must(t, unix.Munmap(page)) }()
	ctime := func() unix.Timespec {
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		return st.Ctim
	}
	p.OpenSource = func() (ship.Source, func()) {
		root, err := os.Open(p.Source)
		must(t, err)
		v, err := fsread.OpenTree(root, fsread.Options{Live: true})
		must(t, err)
		page[0]++ // the first store after the cut: the page is dirty from now on
		return v, func() { _ = root.Close() }
	}
	p.Send.Precopy = true
	p.Ship()
	before := ctime()
	page[1]++
	if ctime() != before {
		t.Fatal("the store moved ctime: this kernel does not show what the test is about")
	}
	p.OpenSource, p.Send.Precopy = nil, false
	p.Mirror()
}

// staleView shows the stamps and times of an earlier moment, as a crash-consistent snapshot does.
type staleView struct {
	fsread.Source
	nodes map[string]fsread.Node
}

func (v staleView) ReadDir(path string) (fsread.Dir, error) {
	d, err := v.Source.ReadDir(path)
	return staleDir{d, v}, err
}

type staleDir struct {
	fsread.Dir
	v staleView
}

func (d staleDir) Next(limit int) ([]fsread.Node, error) {
	nodes, err := d.Dir.Next(limit)
	for i := range nodes {
		nodes[i] = d.v.old(nodes[i])
	}
	return nodes, err
}

func (v staleView) old(n fsread.Node) fsread.Node {
	if old, ok := v.nodes[n.Path]; ok {
		n.Stamp, n.MTime = old.Stamp, old.MTime
		n.Stamp.Settled = true
		return n
	}
	v.nodes[n.Path] = n
	return n
}

func (v staleView) Open(n *fsread.Node) (fsread.Content, error) {
	c, err := v.Source.Open(n)
	return &staleContent{c, v}, err
}

type staleContent struct {
	fsread.Content
	v staleView
}

func (c *staleContent) Node() (fsread.Node, error) {
	n, err := c.Content.Node()
	return c.v.old(n), err
}

func TestRuleChangeDetectionByContentReadsEverythingBeforeVerification(t *testing.T) {
	t.Parallel()
	for _, detection := range []fsread.ChangeDetection{fsread.ByContent, fsread.ByTimestamps} {
		p := shiptest.NewPair(t)
		nodes := map[string]fsread.Node{}
		p.OpenSource = func() (ship.Source, func()) {
			root, err := os.Open(p.Source)
			must(t, err)
			v, err := fsread.OpenTree(root, fsread.Options{ChangeDetection: detection})
			must(t, err)
			return staleView{v, nodes}, func() { _ = root.Close() }
		}
		m := shiptest.At(t, p.Source)
		m.File("large", shiptest.Noise("1", 300_000))
		m.File("small", []byte("1"))
		p.Ship()
		p.Ship() // now the stamps are settled
		m.Write("large", 100_000, []byte("in place"))
		m.File("small", []byte("2"))
		p.Ship()
		got, err := os.ReadFile(filepath.Join(p.Target, "small"))
		must(t, err)
		large, err := os.ReadFile(filepath.Join(p.Target, "large"))
		must(t, err)
		arrived := string(got) == "2" && string(large[100_000:100_008]) == "in place"
		trusted := stampsTrusted(p)
		if detection == fsread.ByContent && !arrived {
			t.Error("a change behind equal stamps was missed")
		}
		if detection == fsread.ByTimestamps && trusted && arrived {
			t.Error("the change arrived even where stamps are believed: the test shows nothing")
		}
	}
}

// olderView shows the stamps of now before the content of an earlier moment: an image to
// which the journal was written back, and the data was not yet.
type olderView struct {
	fsread.Source
	content map[string][]byte
}

func (v olderView) Open(n *fsread.Node) (fsread.Content, error) {
	c, err := v.Source.Open(n)
	return olderContent{c, bytes.NewReader(v.content[n.Path])}, err
}

type olderContent struct {
	fsread.Content
	data io.ReaderAt
}

func (c olderContent) ReadAt(b []byte, off int64) (int, error) { return c.data.ReadAt(b, off) }

func TestRuleChangeDetectionByContentSettlesNoTimestamp(t *testing.T) {
	t.Parallel()
	for _, detection := range []fsread.ChangeDetection{fsread.ByContent, fsread.ByTimestamps} {
		p := shiptest.NewPair(t)
		m := shiptest.At(t, p.Source)
		older := map[string][]byte{"large": shiptest.Noise("1", 300_000), "small": []byte("1")}
		m.File("large", older["large"])
		m.Write("large", 100_000, []byte("in place"))
		m.File("small", []byte("2"))
		p.OpenSource = func() (ship.Source, func()) {
			root, err := os.Open(p.Source)
			must(t, err)
			// A snapshot of later: every stamp is older than it.
			v, err := fsread.OpenTree(root, fsread.Options{ChangeDetection: detection, CutUnixNano: time.Now().Add(time.Hour).UnixNano()})
			must(t, err)
			return olderView{v, older}, func() { _ = root.Close() }
		}
		trusted := stampsTrusted(p)
		p.Ship()
		p.OpenSource = nil // the origin, stopped
		p.Ship()
		small, err := os.ReadFile(filepath.Join(p.Target, "small"))
		must(t, err)
		large, err := os.ReadFile(filepath.Join(p.Target, "large"))
		must(t, err)
		arrived := string(small) == "2" && string(large[100_000:100_008]) == "in place"
		if detection == fsread.ByContent && !arrived {
			t.Error("what the image did not have yet was missed")
		}
		if detection == fsread.ByTimestamps && trusted && arrived {
			t.Error("the data arrived even where stamps are believed: the test shows nothing")
		}
	}
}

// refuse makes the receiver's caller not agree to the verification, once everything is staged.
func refuse(p *shiptest.Pair) {
	p.T.Helper()
	p.Recv.BeforeVerify = func(context.Context) error { return errors.New("not now") }
	o := p.Try(context.Background())
	if fault.Of(o.RecvErr) != fault.Refused || fault.Of(o.SendErr) != fault.Refused {
		p.T.Fatalf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
	p.Recv.BeforeVerify = nil
}

func TestRule1ASourceThatGoesBackAfterAKilledSyncIsFollowed(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	first := func() {
		m.File("small", []byte("1"))
		m.File("large", shiptest.Noise("1", 300_000))
		for _, n := range []string{"small", "large"} {
			m.MTime(n, 1000, 5)
		}
	}
	first()
	m.File("other", []byte("o"))
	p.Mirror()
	m.File("small", []byte("2"))
	m.Write("large", 200_000, []byte("second"))
	m.Remove("other")
	refuse(p)
	first()
	m.File("other", []byte("o"))
	p.Mirror()
}

// What is staged and lost again must not be part of the verdict, when nothing is sent.
func TestRule1AStageThatWasRemovedDoesNotCount(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("f", []byte("1"))
	m.File("g", []byte("1"))
	m.MTime("f", 1000, 5)
	m.MTime(".", 7, 7)
	p.Mirror()
	m.File("f", []byte("2"))
	m.MTime(".", 7, 7)
	refuse(p)
	stages, err := filepath.Glob(filepath.Join(p.Target, ".kubectl-motion-stage.*/*"))
	if err != nil || len(stages) == 0 {
		t.Fatal("nothing is staged", err)
	}
	for _, s := range stages {
		must(t, os.Remove(s))
	}
	// The stage has moved the root's time: with that, too, as it was, no frame comes at all.
	shiptest.At(t, p.Target).MTime(".", 7, 7)
	m.File("f", []byte("1"))
	m.MTime("f", 1000, 5)
	m.MTime(".", 7, 7)
	if o := p.Mirror(); o.Sent.SentBytes != 0 {
		t.Errorf("%d bytes were sent: the test is about a pass that sends nothing", o.Sent.SentBytes)
	}
}

func TestRule3AForeignWriteOnTheTargetIsDetectedAndRepaired(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(m *shiptest.Maker){
		"same size and time": func(m *shiptest.Maker) {
			m.Write("f", 0, []byte("X"))
			m.MTime("f", 1000, 1)
		},
		"within a large file": func(m *shiptest.Maker) {
			m.Write("large", 250_000, []byte("X"))
			m.MTime("large", 1000, 1)
		},
		"another inode":         func(m *shiptest.Maker) { m.Remove("f"); m.File("f", []byte("x")); m.MTime("f", 1000, 1) },
		"a mode":                func(m *shiptest.Maker) { m.Mode("f", 0o600) },
		"an attribute":          func(m *shiptest.Maker) { m.Xattr("f", "user.x", "1") },
		"one more file":         func(m *shiptest.Maker) { m.File("dir/more", nil) },
		"one less":              func(m *shiptest.Maker) { m.Remove("dir/in") },
		"a symlink into a file": func(m *shiptest.Maker) { m.Remove("link"); m.File("link", nil) },
		"a file into a directory": func(m *shiptest.Maker) {
			m.Remove("f")
			m.File("f/in", nil)
		},
		"a time of a directory": func(m *shiptest.Maker) { m.MTime("dir", 1, 1) },
		"a torn hardlink":       func(m *shiptest.Maker) { m.Remove("h2"); m.File("h2", []byte("x")); m.MTime("h2", 1000, 1) },
		"one more hardlink":     func(m *shiptest.Maker) { m.Remove("f"); m.Link("f", "h1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := shiptest.NewPair(t)
			m := shiptest.At(t, p.Source)
			m.File("f", []byte("x"))
			m.File("h1", []byte("x"))
			m.Link("h2", "h1")
			m.File("large", shiptest.Noise("x", 300_000))
			m.File("dir/in", nil)
			m.Symlink("link", "f")
			for _, n := range []string{"f", "h1", "large"} {
				m.MTime(n, 1000, 1)
			}
			p.Mirror()
			meddle(shiptest.At(t, p.Target))
			if o := p.Mirror(); o.Received.Strength != ship.Timestamps {
				t.Errorf("strength %q", o.Received.Strength)
			}
		})
	}
}

func TestRule3EachStrengthIsReported(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	shiptest.At(t, p.Source).File("f", []byte("x"))
	p.Mirror()
	for _, c := range []struct {
		o    ship.ReceiveOptions
		want ship.Strength
	}{
		{ship.ReceiveOptions{TrustTarget: true}, ship.Transport},
		{ship.ReceiveOptions{}, ship.Timestamps},
		{ship.ReceiveOptions{Verify: true}, ship.Readback},
	} {
		p.Recv = c.o
		if o := p.Mirror(); o.Received.Strength != c.want || o.Sent.Strength != c.want {
			t.Errorf("%+v: %q and %q, wanted %q", c.o, o.Received.Strength, o.Sent.Strength, c.want)
		}
	}
}

// Whatever step of stage, commit and roll an increment dies at.
func TestRule2TheSyncStaysWholeWhereverAnIncrementDies(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("a/keep", []byte("k"))
	m.File("a/change", []byte("1"))
	m.File("a/large", shiptest.Noise("1", 200_000))
	m.File("gone/deep/file", []byte("d"))
	m.File("h1", []byte("h"))
	m.Link("h2", "h1")
	p.Mirror()
	state, old := t.TempDir(), t.TempDir()
	copyTree(t, p.TargetState, state)
	copyTree(t, p.Source, old)
	m.File("a/change", []byte("2"))
	m.Write("a/large", 100_000, []byte("patched"))
	m.Remove("gone")
	m.File("gone", []byte("now a file"))
	m.File("new/file", []byte("n"))
	m.Write("h1", 0, []byte("H"))
	g := &syncs{dir: t.TempDir(), states: []string{old}}
	g.add(t, p.Source)
	for at := int64(0); ; at++ {
		if at > 500 {
			t.Fatal("500 steps, and no end")
		}
		ctx, cancel := context.WithCancel(context.Background())
		var dying *shiptest.DyingTarget
		p.On(func(plain ship.Target) ship.Target {
			dying = &shiptest.DyingTarget{Target: plain, Died: cancel}
			dying.Left.Store(at)
			return dying
		})
		p.Send.Reconnects = -1
		o := p.Try(ctx)
		cancel()
		p.Dest = nil
		g.check(t, p)
		if o.RecvErr == nil {
			break // it got through
		}
		// Back to the generation before; what is there is noticed.
		if st, err := ship.OpenState(p.TargetState, "volume"); err == nil {
			_, digest, _ := st.Verified()
			must(t, st.Close())
			if digest == g.digest && at%8 != 0 {
				continue // still the old one: the next death may come a step later
			}
		}
		p.Send.Reconnects = 0
		p.Mirror()
		break2(t, p, m, old)
		g = &syncs{dir: t.TempDir(), states: []string{old}}
		g.add(t, p.Source)
	}
}

// break2 brings both ends back to the old generation and then the source to the new one.
func break2(t *testing.T, p *shiptest.Pair, m *shiptest.Maker, old string) {
	t.Helper()
	next := t.TempDir()
	copyTree(t, p.Source, next)
	replace := func(from string) {
		for _, e := range entries(t, p.Source) {
			m.Remove(e)
		}
		copyTree(t, from, p.Source)
	}
	replace(old)
	p.Mirror()
	replace(next)
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

func TestRule7DefaultACLsOfTheTargetAreNotInherited(t *testing.T) {
	t.Parallel()
	acl := shiptest.ACL([3]uint32{shiptest.ACLUserObj, 7, shiptest.ACLNoID}, [3]uint32{shiptest.ACLUser, 7, 1234},
		[3]uint32{shiptest.ACLGroupObj, 7, shiptest.ACLNoID}, [3]uint32{shiptest.ACLMask, 7, shiptest.ACLNoID}, [3]uint32{shiptest.ACLOther, 7, shiptest.ACLNoID})
	p := shiptest.NewPair(t)
	m, dst := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
	m.File("dir/file", []byte("x"))
	m.File("large", shiptest.Noise("x", 200_000))
	m.Symlink("link", "x")
	m.Node("fifo", unix.S_IFIFO|0o600, 0, 0)
	dst.Xattr(".", "system.posix_acl_default", acl)
	p.Mirror()
	// And again on an increment, whose stage would inherit it.
	dst.Xattr(".", "system.posix_acl_default", acl)
	dst.Xattr("dir", "system.posix_acl_default", acl)
	m.File("dir/more", []byte("y"))
	m.File("large", shiptest.Noise("y", 300_000))
	m.Dir("sub/sub")
	p.Mirror()
}

func TestRule7UnknownStagesAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m, dst := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
	m.File(".kubectl-motion-stage.notes", []byte("the user's own"))
	m.File("f", []byte("1"))
	m.MTime(".", 99, 9)
	p.Mirror()
	dst.File(".kubectl-motion-stage.0123456789abcdef/7", []byte("left by a receiver whose state is lost"))
	m.File("f", []byte("2"))
	m.MTime(".", 98, 8)
	p.Mirror() // compares the root's time too
	if got := strings.Join(entries(t, p.Target), " "); got != ".kubectl-motion-stage.notes f" {
		t.Errorf("the target has %s", got)
	}
}

func TestRule9AMemberOfAHardlinkGroupMayLieOutsideTheRoot(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("in", []byte("1"))
	must(t, os.Link(m.Path("in"), filepath.Join(filepath.Dir(p.Source), "outside the source")))
	m.File("also", []byte("1"))
	p.Mirror()
	// On the target an unknown name keeps its inode's new content, not the old one.
	other := filepath.Join(filepath.Dir(p.Target), "outside the target")
	must(t, os.Link(filepath.Join(p.Target, "in"), other))
	m.File("in", []byte("2"))
	p.Mirror()
	p.Mirror()
}

func TestRule9LinksOfOneInodeAreNotRenamedOverEachOther(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("a", []byte("1"))
	m.Link("b", "a")
	m.Link("dir-c", "a")
	m.Dir("dir")
	m.Link("dir/d", "a")
	p.Mirror()
	m.Write("a", 0, []byte("2"))
	m.Xattr("a", "user.x", "y")
	p.Mirror()
	m.Remove("a") // the first name goes: the next is the group's first
	m.Write("b", 0, []byte("3"))
	p.Mirror()
	m.Remove("dir/d")
	m.File("dir/d", []byte("3"))
	p.Mirror()
	if got := strings.Join(entries(t, p.Target), " "); got != "b dir dir-c" {
		t.Errorf("the target has %s", got)
	}
}

func TestRule5AHoleOverOldDataIsAHoleAfterwards(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("verified", shiptest.Noise("old", 1<<20))
	m.File("torn", shiptest.Noise("old", 1<<20))
	p.Mirror()
	m.Must(punch(m.Path("verified"), 64<<10, 512<<10))
	m.Size("torn", 0)
	m.Size("torn", 1<<20) // nothing but a hole where there was data
	p.Mirror()
	if n := shiptest.BlocksOf(t, filepath.Join(p.Target, "verified")); n > 600<<10 {
		t.Errorf("the hole was filled: %d bytes", n)
	}
}

func TestRuleSELinuxLabelsAreShippedOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: cannot set labels")
		return
	}
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("f", []byte("x"))
	m.Xattr("f", tree.XattrSELinux, "system_u:object_r:etc_t:s0\x00")
	label := func() string {
		buf := make([]byte, 100)
		n, err := unix.Lgetxattr(filepath.Join(p.Target, "f"), tree.XattrSELinux, buf)
		if err != nil {
			return ""
		}
		return string(buf[:n])
	}
	p.Mirror()
	if got := label(); got != "" {
		t.Errorf("nobody asked for labels, and %q arrived", got)
	}
	if o := p.Mirror(); !o.Sent.Unchanged {
		t.Errorf("a label that is not shipped is taken for a change: %+v", o.Sent)
	}
	p.Send.SELinux = true
	p.Mirror()
	if got := label(); got != "system_u:object_r:etc_t:s0\x00" {
		t.Errorf("%q arrived", got)
	}
}

func TestAFullTargetIsReportedWithItsPathAndTheSameCallContinues(t *testing.T) {
	t.Parallel()
	dir, _, ok := filesystem(t, 24<<20, "user_xattr")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "volume")
	must(t, os.Mkdir(p.Target, 0o755))
	m := shiptest.At(t, p.Source)
	for _, n := range []string{"a", "b", "c"} {
		m.File(n, shiptest.Noise(n, 3<<20))
	}
	filler := filepath.Join(dir, "filler")
	var fs unix.Statfs_t
	must(t, unix.Statfs(dir, &fs))
	must(t, os.WriteFile(filler, make([]byte, int64(fs.Bavail)*fs.Bsize-5<<20), 0o600))
	o := p.Try(context.Background())
	var said *fault.Error
	if fault.Of(o.SendErr) != fault.TargetFull || !errors.As(o.SendErr, &said) || !said.HasPath {
		t.Fatalf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
	must(t, os.Remove(filler))
	if o := p.Mirror(); o.Sent.SentBytes > 9<<20 {
		t.Errorf("%d bytes were sent again", o.Sent.SentBytes)
	}
}

// What memory still holds right and the disk does not: only a readback sees it.
func TestRule3ReadbackReadsTheStorageAndNotThePageCache(t *testing.T) {
	t.Parallel()
	dir, image, ok := filesystem(t, 64<<20, "user_xattr")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "volume")
	must(t, os.Mkdir(p.Target, 0o755))
	content := shiptest.Noise("readback", 300_001)
	shiptest.At(t, p.Source).File("f", content)
	p.Recv.Verify = true
	p.Mirror()
	p.Mirror()
	disk, err := os.ReadFile(image)
	must(t, err)
	at := bytes.Index(disk, content[200_704:200_704+4096])
	if at < 0 {
		t.Fatal("the content is not on the disk")
	}
	shiptest.At(t, "/").Write(image, int64(at), []byte("decayed"))
	if got, err := os.ReadFile(filepath.Join(p.Target, "f")); err != nil || !bytes.Equal(got, content) {
		t.Fatal("memory does not hold it any more: the test shows nothing", err)
	}
	if o := p.Try(context.Background()); fault.Of(o.RecvErr) != fault.DigestMismatch && fault.Of(o.SendErr) != fault.DigestMismatch {
		t.Errorf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
}

// A filesystem with inodes of 128 bytes keeps whole seconds, and none after 2038.
func TestRule8WhatTheTargetCannotHoldIsRefusedWithTheFirstPath(t *testing.T) {
	t.Parallel()
	dir, _, ok := filesystem(t, 16<<20, "user_xattr", "-I", "128")
	if !ok {
		return
	}
	for name, c := range map[string]struct {
		build func(m *shiptest.Maker)
		path  string
		what  string
	}{
		"nanoseconds": {func(m *shiptest.Maker) { m.MTime("b", 5, 7); m.MTime("c", 5, 7) }, "b", "nanoseconds"},
		"after 2038":  {func(m *shiptest.Maker) { m.MTime("b", 1<<32, 0) }, "b", "modification time"},
	} {
		p := shiptest.NewPair(t)
		p.Target = filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		must(t, os.Mkdir(p.Target, 0o755))
		m := shiptest.At(t, p.Source)
		for _, n := range []string{"a", "b", "c"} {
			m.File(n, []byte(n))
			m.MTime(n, 5, 0)
		}
		c.build(m)
		m.MTime(".", 5, 0)
		o := p.Try(context.Background())
		var said *fault.Error
		if fault.Of(o.SendErr) != fault.TargetUnsupported || !errors.As(o.SendErr, &said) || said.Path != c.path || !strings.Contains(said.What, c.what) {
			t.Errorf("%s: sender %v, receiver %v", name, o.SendErr, o.RecvErr)
		}
		m.MTime("b", 5, 0)
		m.MTime("c", 5, 0)
		m.MTime(".", 5, 0)
		p.Mirror()
	}
}

func TestRule2AnIncrementThatDoesNotFitIsWrittenInPlace(t *testing.T) {
	t.Parallel()
	dir, _, ok := filesystem(t, 32<<20, "user_xattr")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "volume")
	must(t, os.Mkdir(p.Target, 0o755))
	m := shiptest.At(t, p.Source)
	for _, n := range []string{"a", "b", "c"} {
		m.File(n, shiptest.Noise(n, 3<<20))
	}
	p.Mirror()
	var fs unix.Statfs_t
	must(t, unix.Statfs(dir, &fs))
	must(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, int64(fs.Bavail)*fs.Bsize-4<<20), 0o600))
	for _, n := range []string{"a", "b", "c"} {
		m.File(n, shiptest.Noise("new "+n, 3<<20))
	}
	var said lockedBuffer
	p.Recv.Logger = slog.New(slog.NewTextHandler(&said, nil))
	agreed := false
	p.Recv.BeforeVerify = func(context.Context) error { agreed = true; return nil }
	if o := p.Mirror(); o.Sent.Sessions < 2 || !agreed || !strings.Contains(said.String(), "partially applied") {
		t.Errorf("%d sessions, agreed %v, said %s", o.Sent.Sessions, agreed, said.String())
	}
	// Only what does not fit: the next one is staged again.
	m.File("a", []byte("small"))
	if o := p.Mirror(); o.Sent.Sessions != 1 {
		t.Errorf("%d sessions for what fits", o.Sent.Sessions)
	}
}

func TestRule8WhatIsDroppedOnPurposeIsPartOfTheDigest(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("f", []byte("x"))
	m.Xattr("f", "user.x", "1")
	m.File("h", []byte("h"))
	whole := p.Mirror().Sent.Digest
	p.Send.Drop = tree.MaskUser
	m.Xattr("f", "user.y", "2")
	m.File("g", []byte("y"))
	m.Xattr("g", "user.x", "1")
	o := p.Ship()
	if !o.Sent.Verified || o.Sent.Digest != o.Received.Digest || o.Sent.Digest == whole {
		t.Errorf("%+v", o.Sent)
	}
	if n, err := unix.Llistxattr(filepath.Join(p.Target, "g"), nil); err != nil || n != 0 {
		t.Errorf("attributes arrived: %d bytes, %v", n, err)
	}
	// What somebody does with such attributes on the target is not looked at, though the file is.
	shiptest.At(t, p.Target).Xattr("h", "user.foreign", "1")
	if o := p.Ship(); !o.Sent.Unchanged {
		t.Errorf("%+v", o.Sent)
	}
	// Nor are trees the same of which one has nothing that would be left out.
	p.Send.Drop = tree.MaskUser | tree.MaskACL
	if other := p.Ship().Sent; !other.Verified || other.Digest == o.Sent.Digest {
		t.Errorf("another mask, and the same digest: %+v", other)
	}
	// The same trees, described in full, are not the same.
	p.Send.Drop = 0
	if o := p.Mirror(); o.Sent.Unchanged {
		t.Error("taken for unchanged under another mask")
	}
}
