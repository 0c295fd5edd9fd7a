// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// inodeFlags returns the flags that entries have.
func inodeFlags(t *testing.T, path string) tree.Flags {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	return fsread.InodeFlags(int(f.Fd()))
}

func TestInodeFlagsAreCarried(t *testing.T) {
	dir, _, ok := filesystem(t, 32<<20, "noatime")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Source, p.Target = filepath.Join(dir, "source"), filepath.Join(dir, "target")
	must(t, os.Mkdir(p.Source, 0o755))
	must(t, os.Mkdir(p.Target, 0o755))
	m := shiptest.At(t, p.Source)
	want := map[string]int{"noatime": 0x80, "sync": 0x8, "dirsync": 0x10000, "nodump": 0x40}
	for name, bits := range want {
		if name == "dirsync" || name == "nodump" {
			m.Dir(name)
		} else {
			m.File(name, []byte("x"))
		}
		m.Flags(name, bits)
	}
	// They inherit the flag of their directory, and nobody can change it.
	m.Node("nodump/fifo", unix.S_IFIFO|0o600, 0, 0)
	m.Symlink("nodump/link", "x")
	p.Mirror()
	for name := range want {
		if a, b := inodeFlags(t, filepath.Join(p.Source, name)), inodeFlags(t, filepath.Join(p.Target, name)); a != b || a == 0 {
			t.Errorf("%s: flags %b at the target instead of %b", name, b, a)
		}
	}
	m.Flags("sync", 0)
	p.Mirror()
	if f := inodeFlags(t, filepath.Join(p.Target, "sync")); f != 0 {
		t.Errorf("flags %b stay", f)
	}
	p.Send.Drop = tree.MaskFlags
	m.Flags("sync", 0x8)
	p.Ship()
	if f := inodeFlags(t, filepath.Join(p.Target, "sync")); f != 0 {
		t.Errorf("flags %b were left out and are there", f)
	}
}

func TestLostAndFoundWithContentIsAnEntry(t *testing.T) {
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("lost+found/report.pdf", []byte("kept"))
	m.File("app", []byte("app"))
	p.Ship()
	if b, err := os.ReadFile(filepath.Join(p.Target, "lost+found", "report.pdf")); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	m.Remove("lost+found")
	p.Ship()
	if _, err := os.Stat(filepath.Join(p.Target, "lost+found", "report.pdf")); err == nil {
		t.Error("it was removed at the source, and stays")
	}
}

// ext4 takes about 4 KiB of attributes: what is larger must not look like a full target, and not
// partially apply what was verified.
func TestAttributesBeyondTheTargetAreRefusedBeforeTheyAreWritten(t *testing.T) {
	dir, _, ok := filesystem(t, 32<<20, "user_xattr", "-O", "^ea_inode")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "target")
	must(t, os.Mkdir(p.Target, 0o755))
	m := shiptest.At(t, p.Source)
	m.File("a", []byte("one"))
	m.File("m", []byte("one"))
	p.Mirror()
	m.File("a", []byte("two"))
	if err := unix.Setxattr(filepath.Join(p.Source, "m"), "user.thumbnail", []byte(strings.Repeat("x", 5000)), 0); err != nil {
		t.Logf("the source's filesystem takes no such attribute either: %v", err)
		return
	}
	o := p.Try(t.Context())
	if fault.Of(o.RecvErr) != fault.TargetUnsupported || !strings.Contains(o.RecvErr.Error(), "user.thumbnail") || !strings.HasPrefix(o.RecvErr.Error(), "m: ") {
		t.Errorf("receiver: %v", o.RecvErr)
	}
	if b, _ := os.ReadFile(filepath.Join(p.Target, "a")); string(b) != "one" {
		t.Errorf("the verified copy is partially applied: %q", b)
	}
	p.Send.Drop = tree.MaskUser
	p.Ship()
}

func TestPathBeyondTheLimitIsNamed(t *testing.T) {
	p := shiptest.NewPair(t)
	root, err := os.Open(p.Source)
	must(t, err)
	at := int(root.Fd())
	name := strings.Repeat("d", 250)
	var open []int
	for range 270 {
		must(t, unix.Mkdirat(at, name, 0o755))
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		open = append(open, fd)
		at = fd
	}
	o := p.Try(t.Context())
	if o.SendErr == nil || !strings.Contains(o.SendErr.Error(), name) || !strings.Contains(o.SendErr.Error(), "too long") {
		t.Errorf("sender: %.300s", o.SendErr)
	}
	for i, fd := range slices.Backward(open) {
		_ = unix.Close(fd)
		if i > 0 {
			must(t, unix.Unlinkat(open[i-1], name, unix.AT_REMOVEDIR))
		}
	}
	must(t, unix.Unlinkat(int(root.Fd()), name, unix.AT_REMOVEDIR))
	must(t, root.Close())
}

// A file of 1 EiB is one system call on XFS. At a target it is replaced, at a source refused.
func TestSizesBeyondTheLimit(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem can be mounted here")
		return
	}
	must(t, unix.Mount("none", dir, "tmpfs", 0, "size=8M"))
	t.Cleanup(func() { unmount(t, dir) })
	huge := filepath.Join(dir, "huge")
	must(t, os.WriteFile(huge, nil, 0o600))
	must(t, os.Truncate(huge, 1<<62))
	p := shiptest.NewPair(t)
	shiptest.At(t, p.Source).File("huge", []byte("small"))
	p.Target = dir
	p.Mirror()
	must(t, os.Truncate(huge, 1<<63-1))
	q := shiptest.NewPair(t)
	q.Source = dir
	if o := q.Try(t.Context()); o.SendErr == nil || !strings.Contains(o.SendErr.Error(), "huge: its size") {
		t.Errorf("sender: %v", o.SendErr)
	}
}
