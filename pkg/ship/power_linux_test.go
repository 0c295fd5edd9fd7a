// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// node is a target with its state on two filesystems of their own, whose power can be cut:
// what is left is what the filesystems had written to their disks at that moment.
type node struct {
	t      *testing.T
	mounts []string
	images []string
}

func newNode(t *testing.T) *node {
	n := &node{t: t}
	for range 2 {
		dir, image := filepath.Join(t.TempDir(), "mnt"), filepath.Join(t.TempDir(), "disk.img")
		must(t, os.Mkdir(dir, 0o755))
		shiptest.At(t, "/").Size(image, 24<<20)
		n.run("mkfs.ext4", "-q", "-F", "-m", "0", image)
		n.mounts, n.images = append(n.mounts, dir), append(n.images, image)
	}
	n.mount()
	t.Cleanup(n.unmount)
	return n
}

func (n *node) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (n *node) mount() {
	for i := range n.mounts {
		n.run("mount", "-o", "loop,user_xattr", n.images[i], n.mounts[i])
	}
}

func (n *node) unmount() {
	for _, m := range n.mounts {
		n.nothingOpen(m)
		unmount(n.t, m)
	}
}

// nothingOpen fails when a descriptor into a mount was left open: it would keep the volume
// from being unmounted.
func (n *node) nothingOpen(mount string) {
	for _, fd := range entries(n.t, "/proc/self/fd") {
		if path, err := os.Readlink("/proc/self/fd/" + fd); err == nil && strings.HasPrefix(path, mount) {
			n.t.Errorf("descriptor %s is open: %s", fd, path)
		}
	}
}

// cut copies the disks as they are: the state's first, as the process would have known it.
// With written the volume's filesystem has just then written everything back by itself, which
// it may do at any time.
func (n *node) cut(written bool) {
	if written {
		n.run("sync", "-f", n.mounts[0])
	}
	for _, image := range slices.Backward(n.images) {
		n.run("cp", "--sparse=always", image, image+".cut")
	}
}

// boot mounts what was left.
func (n *node) boot() {
	n.unmount()
	for i := range n.images {
		must(n.t, os.Rename(n.images[i]+".cut", n.images[i]))
	}
	n.mount()
}

// The power fails at one operation after the other, on real filesystems with real journals.
func TestAPowerFailureLeavesAWholeSyncOrAPartiallyAppliedOne(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystems whose power could fail")
		return
	}
	n := newNode(t)
	p := shiptest.NewPair(t)
	p.Target, p.TargetState = filepath.Join(n.mounts[0], "volume"), filepath.Join(n.mounts[1], "state")
	must(t, os.Mkdir(p.Target, 0o755))
	p.Send.Checkpoint = 2 * time.Millisecond
	m := shiptest.At(t, p.Source)
	g := &syncs{dir: t.TempDir()}
	failures := 0
	change := func(i int) {
		text := string(rune('a' + i))
		m.File("small", []byte(text))
		m.File("dir/"+text, []byte(text))
		m.File("large", shiptest.Noise("large", 300_000))
		m.Write("large", int64(i)*10_000, []byte(text))
		m.File("whole", shiptest.Noise(text, 200_000))
		m.Remove("link")
		m.Link("link", "small")
		m.MTime("dir", int64(1000+i), 0)
	}
	for i, at := range []int64{5, 13, 27, 31, 35, 37} {
		change(i)
		g.add(t, p.Source)
		ctx, cancel := context.WithCancel(context.Background())
		failed := false
		p.On(func(plain ship.Target) ship.Target {
			dying := &shiptest.DyingTarget{Target: plain, Died: func() { n.cut(i != 1); failed = true; cancel() }}
			dying.Left.Store(at)
			return dying
		})
		p.Send.Reconnects = -1
		p.Try(ctx)
		cancel()
		p.Dest, p.Send.Reconnects = nil, 0
		if failed {
			n.boot()
			failures++
		}
		g.check(t, p)
		p.Mirror()
		n.cut(false) // right after the verification: it must be there
		n.boot()
		p.Same()
		g = &syncs{dir: t.TempDir(), n: 0}
		g.add(t, p.Source)
	}
	if failures < 4 {
		t.Errorf("the power failed only %d times", failures)
	}
}
