// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// mounted mounts a filesystem for root; ok is false otherwise.
func mounted(t *testing.T, kind, what string, options ...string) (dir string, ok bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem can be mounted here")
		return "", false
	}
	dir = t.TempDir()
	args := append(append([]string{"-t", kind}, options...), what, dir)
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir, true
}

// Quotas of btrfs hold for root too.
func TestAnExceededQuotaIsReportedWithItsPathAndTheSameCallContinues(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "btrfs.img")
	shiptest.At(t, "/").Size(image, 256<<20)
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	if os.Geteuid() == 0 {
		run("mkfs.btrfs", "-q", image)
	}
	dir, ok := mounted(t, "btrfs", image, "-o", "loop")
	if !ok {
		return
	}
	p := shiptest.NewPair(t)
	p.Target = filepath.Join(dir, "volume")
	run("btrfs", "subvolume", "create", p.Target)
	run("btrfs", "quota", "enable", dir)
	run("btrfs", "qgroup", "limit", "5M", p.Target)
	m := shiptest.At(t, p.Source)
	for _, n := range []string{"a", "b", "c"} {
		m.File(n, shiptest.Noise(n, 3<<20))
	}
	o := p.Try(context.Background())
	var said *fault.Error
	if fault.Of(o.RecvErr) != fault.TargetFull || !errors.As(o.RecvErr, &said) || !said.HasPath || !errors.Is(o.RecvErr, unix.EDQUOT) {
		t.Fatalf("sender %v, receiver %v", o.SendErr, o.RecvErr)
	}
	if fault.Of(o.SendErr) != fault.TargetFull || !fault.Of(o.SendErr).Retryable() {
		t.Errorf("the sender says %v", o.SendErr)
	}
	run("btrfs", "qgroup", "limit", "none", p.Target)
	p.Mirror()
}

func TestUnreadableEntriesAreReportedWithTheirPath(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("a/first", []byte("1"))
	m.File("b/in/the/way", []byte("2"))
	m.File("c/last", []byte("3"))
	repair := func() { m.Mode("b/in", 0o755) }
	if os.Geteuid() == 0 { // who can read everything but what is mounted over it
		mounts := m.Path("b/in")
		if out, err := exec.Command("mount", "-t", "ramfs", "none", mounts).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v\n%s", err, out)
		}
		repair = func() { unmount(t, mounts) }
	} else {
		m.Mode("b/in", 0)
	}
	o := p.Try(context.Background())
	repair()
	var said *fault.Error
	if fault.Of(o.SendErr) != fault.Unreadable || !errors.As(o.SendErr, &said) || said.Path != "b\x00in" {
		t.Errorf("the sender says %v", o.SendErr)
	}
	var heard *fault.Error
	if !errors.As(o.RecvErr, &heard) || heard.Reason != fault.Unreadable || heard.Path != "b\x00in" || !heard.Remote {
		t.Errorf("the receiver says %v", o.RecvErr)
	}
	p.Mirror()
}

// What somebody has made unchangeable on the target, its root too, is in nobody's way.
func TestImmutableEntriesOfTheTargetAreReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: cannot make anything immutable")
		return
	}
	p := shiptest.NewPair(t)
	m, dst := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
	m.File("small", []byte("1"))
	m.File("large", shiptest.Noise("1", 300_000))
	m.File("linked", []byte("1"))
	m.Link("linked-too", "linked")
	m.File("becomes a directory", []byte("1"))
	m.File("gone/deep/file", []byte("1"))
	m.File("stays/file", []byte("1"))
	p.Mirror()
	m.File("small", []byte("2"))
	m.Write("large", 100_000, []byte("2"))
	m.Write("linked", 0, []byte("2"))
	m.Remove("becomes a directory")
	m.File("becomes a directory/in it", []byte("2"))
	m.Remove("gone")
	m.File("stays/another", []byte("2"))
	for i, n := range []string{"small", "large", "linked", "becomes a directory", "gone/deep/file", "gone/deep", "gone", "stays/file", "stays", "."} {
		shiptest.SetFlags(t, dst.Path(n), []int{shiptest.FlagImmutable, shiptest.FlagAppend}[i%2])
	}
	p.Mirror()
}

// A filesystem that knows no attributes at all.
func TestDroppedAttributesNeedNotBeSupportedByTheTarget(t *testing.T) {
	t.Parallel()
	dir, ok := mounted(t, "ramfs", "none")
	if !ok {
		return
	}
	acl := shiptest.ACL([3]uint32{shiptest.ACLUserObj, 7, shiptest.ACLNoID}, [3]uint32{shiptest.ACLUser, 5, 1234},
		[3]uint32{shiptest.ACLGroupObj, 5, shiptest.ACLNoID}, [3]uint32{shiptest.ACLMask, 5, shiptest.ACLNoID}, [3]uint32{shiptest.ACLOther, 0, shiptest.ACLNoID})
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, attribute := range map[string][2]string{
		"xattr.user": {"user.x", "1"}, "xattr.trusted": {"trusted.x", "1"}, "acl": {"system.posix_acl_access", acl},
		"capability": {"security.capability", capability}, "selinux": {tree.XattrSELinux, "system_u:object_r:etc_t:s0\x00"},
	} {
		p := shiptest.NewPair(t)
		p.Target = filepath.Join(dir, name)
		must(t, os.Mkdir(p.Target, 0o755))
		m := shiptest.At(t, p.Source)
		m.File("a", nil)
		m.File("b", []byte("b"))
		m.Xattr("b", attribute[0], attribute[1])
		p.Send.SELinux = true
		o := p.Try(context.Background())
		var said *fault.Error
		if fault.Of(o.SendErr) != fault.TargetUnsupported || !errors.As(o.SendErr, &said) || said.Path != "b" || !strings.Contains(said.What, "("+name+")") {
			t.Errorf("%s: sender %v, receiver %v", name, o.SendErr, o.RecvErr)
		}
		var err error
		p.Send.Drop, err = tree.ParseMask([]string{name})
		must(t, err)
		if o := p.Ship(); !o.Sent.Verified || o.Sent.Digest != o.Received.Digest {
			t.Errorf("%s: %+v", name, o.Sent)
		}
	}
}

// A view whose caller said nothing about attributes describes what the pass ships.
func TestTheSourceLeavesOutWhatTheSyncLeavesOut(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	var asked []tree.Mask
	p.OpenSource = func() (ship.Source, func()) {
		root, err := os.Open(p.Source)
		must(t, err)
		v, err := fsread.OpenTree(root, fsread.Options{})
		must(t, err)
		return maskedView{v, &asked}, func() { _ = root.Close() }
	}
	shiptest.At(t, p.Source).File("f", []byte("x"))
	p.Mirror()
	p.Send.SELinux, p.Send.Drop = true, tree.MaskACL
	p.Mirror()
	if len(asked) != 2 || asked[0] != tree.MaskSELinux || asked[1] != tree.MaskACL {
		t.Errorf("the views were asked to leave out %v", asked)
	}
}

type maskedView struct {
	fsread.Source
	asked *[]tree.Mask
}

func (v maskedView) LeaveOut(mask tree.Mask) {
	*v.asked = append(*v.asked, mask)
	v.Source.LeaveOut(mask)
}
