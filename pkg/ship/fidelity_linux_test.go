// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// feature is one thing a tree can have. build makes it in its own directory; change makes
// the next generation of it.
type feature struct {
	name   string
	root   bool // only root can make it
	build  func(m *shiptest.Maker)
	change func(m *shiptest.Maker)
}

var features = []feature{
	{name: "files of every size that matters", build: func(m *shiptest.Maker) {
		for _, n := range []int{0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 131071, 131072, 131073, 1 << 20, 1<<20 + 1, 5<<20 + 7} {
			m.File(fmt.Sprint("size-", n), shiptest.Noise(fmt.Sprint(n), n))
		}
	}, change: func(m *shiptest.Maker) {
		m.Write("size-5242887", 3<<20+17, []byte("changed"))
		m.Write("size-1048577", 1<<20, []byte("x"))
		m.Size("size-1048576", 700_001)
		m.Size("size-131073", 131_072)
		m.Size("size-131072", 2<<20)
		m.Size("size-16385", 0)
		m.File("size-1", []byte("y"))
		m.Write("size-131071", 5, []byte("within"))
	}},
	{name: "times to the nanosecond, also of directories and symlinks, before 1970 and after 2038", build: func(m *shiptest.Maker) {
		m.File("a/file", []byte("x"))
		m.Symlink("a/link", "file")
		m.Dir("a/dir")
		m.MTime("a/file", 1234567890, 123456789)
		m.MTime("a/link", 1, 1)
		m.MTime("a/dir", -86400, 999999999)
		m.File("late", nil)
		m.MTime("late", 1<<32, 5)
		m.MTime("a", 1e9, 7)
	}, change: func(m *shiptest.Maker) {
		m.MTime("a/link", 2, 2)
		m.MTime("a/file", 1234567890, 123456780)
		m.File("a/dir/new", nil)
		m.MTime("a/dir", 3, 3)
		m.MTime("a", 4, 4)
	}},
	{name: "hardlinks across directories", build: func(m *shiptest.Maker) {
		m.File("z/first", shiptest.Noise("h", 1000))
		m.Dir("a")
		m.Link("a/second", "z/first")
		m.Link("a/third", "z/first")
		m.File("large", shiptest.Noise("H", 300_000))
		m.Link("z/large-too", "large")
		m.File("alone", []byte("1"))
		m.File("pair-a", []byte("pair"))
		m.Link("pair-b", "pair-a")
		m.Symlink("sym", "nowhere")
		m.Link("sym2", "sym")
		m.Node("fifo", unix.S_IFIFO|0o600, 0, 0)
		m.Link("fifo2", "fifo")
	}, change: func(m *shiptest.Maker) {
		m.Write("z/first", 10, []byte("all names see this"))
		m.Write("large", 200_000, []byte("and this"))
		m.Remove("a/third")
		m.File("a/third", []byte("now on its own"))
		m.Link("alone-too", "alone")
		m.Remove("pair-a") // the first name of a group goes
		m.Link("a/0", "z/first")
		m.Remove("sym")
	}},
	{name: "a group whose names are dealt out anew", build: func(m *shiptest.Maker) {
		m.File("1", []byte("one"))
		m.Link("2", "1")
		m.File("3", []byte("three"))
		m.Link("4", "3")
	}, change: func(m *shiptest.Maker) {
		m.Remove("2")
		m.Link("2", "3") // 1 alone; 2, 3, 4 together
		m.Write("1", 0, []byte("ONE"))
		m.Write("3", 0, []byte("THREE"))
	}},
	{name: "extended attributes", build: func(m *shiptest.Maker) {
		m.File("f", nil)
		m.Dir("d")
		m.Xattr("f", "user.one", "1")
		m.Xattr("f", "user.empty", "")
		m.Xattr("f", "user.binary", "\x00\xff\n")
		m.Xattr("d", "user.dir", strings.Repeat("v", 1500))
	}, change: func(m *shiptest.Maker) {
		m.Must(unix.Removexattr(m.Path("f"), "user.one"))
		m.Xattr("f", "user.two", "2")
		m.Xattr("d", "user.dir", "short")
		m.Xattr("f", "user.empty", "no more")
	}},
	{name: "POSIX ACLs, default ones too", build: func(m *shiptest.Maker) {
		acl := shiptest.ACL([3]uint32{shiptest.ACLUserObj, 7, shiptest.ACLNoID}, [3]uint32{shiptest.ACLUser, 5, 1234},
			[3]uint32{shiptest.ACLGroupObj, 5, shiptest.ACLNoID}, [3]uint32{shiptest.ACLMask, 5, shiptest.ACLNoID}, [3]uint32{shiptest.ACLOther, 0, shiptest.ACLNoID})
		m.File("f", []byte("x"))
		m.Xattr("f", "system.posix_acl_access", acl)
		m.Dir("d")
		m.File("d/before", nil)
		m.Xattr("d", "system.posix_acl_default", acl)
		m.Xattr("d", "system.posix_acl_access", acl)
		m.File("d/inherits", nil)
		m.Dir("d/sub")
	}, change: func(m *shiptest.Maker) {
		m.File("d/plain", []byte("inherits on the source"))
		m.Must(unix.Removexattr(m.Path("d/plain"), "system.posix_acl_access"))
		m.Must(unix.Removexattr(m.Path("f"), "system.posix_acl_access"))
		m.Remove("d/before")
		m.File("d/before", []byte("again"))
		m.Dir("d/sub2")
		m.Symlink("d/link", "plain")
	}},
	{name: "sparse and preallocated files", build: func(m *shiptest.Maker) {
		m.Size("all-hole", 3<<20)
		m.Write("hole-first", 1<<20, []byte("data"))
		m.Write("hole-last", 0, []byte("data"))
		m.Size("hole-last", 4<<20)
		m.Write("small-hole", 60_000, []byte("data"))
		m.Size("small-all-hole", 50_000)
		m.Allocate("allocated", 2<<20)
		m.Write("allocated", 1<<20, []byte("data"))
		m.Allocate("small-allocated", 65536)
		m.File("written-zeros", make([]byte, 1<<20))
	}, change: func(m *shiptest.Maker) {
		m.Write("all-hole", 2<<20, []byte("now there"))
		m.Write("hole-last", 0, make([]byte, 4096))
		m.Write("hole-first", 1<<20, make([]byte, 16))
		m.Size("allocated", 1<<20+100)
	}},
	{name: "fifos and sockets", build: func(m *shiptest.Maker) {
		m.Node("fifo", unix.S_IFIFO|0o640, 0, 0)
		m.Node("socket", unix.S_IFSOCK|0o600, 0, 0)
	}, change: func(m *shiptest.Maker) {
		m.Mode("fifo", 0o600)
		m.Remove("socket")
		m.Node("socket", unix.S_IFIFO|0o600, 0, 0)
	}},
	{name: "symlinks of any target", build: func(m *shiptest.Maker) {
		m.Symlink("absolute", "/etc/passwd")
		m.Symlink("dangling", "no/such\nthing")
		m.Symlink("up", "../../../../..")
		m.Symlink("loop", "loop")
		m.Symlink("bytes", "\xff\xfe")
		m.Symlink("long", strings.Repeat("x/", 2000))
	}, change: func(m *shiptest.Maker) {
		m.Remove("up")
		m.Symlink("up", "..")
		m.Remove("loop")
		m.Dir("loop")
	}},
	{name: "names of any bytes", build: func(m *shiptest.Maker) {
		for _, n := range []string{"new\nline", "\xff\xfe\x80", "-rf", "*", " ", "a\x01b", "a", "a-b", "a.b", "tab\t", "\x1b[31m", "~", "\\", "ü", strings.Repeat("n", 255)} {
			m.File("files/"+n, []byte(n))
			m.File("dirs/"+n+"/f", []byte(n))
		}
	}, change: func(m *shiptest.Maker) {
		m.Remove("dirs/a")
		m.File("files/a-b", []byte("other"))
	}},
	{name: "modes of every kind", build: func(m *shiptest.Maker) {
		for _, mode := range []uint32{0, 0o400, 0o444, 0o1777, 0o2755, 0o111, 0o777} {
			m.Dir(fmt.Sprintf("d%o", mode))
			m.File(fmt.Sprintf("d%o/f", mode), []byte("x"))
			m.File(fmt.Sprintf("f%o", mode), []byte("x"))
			m.Mode(fmt.Sprintf("f%o", mode), mode)
		}
		if os.Geteuid() == 0 {
			m.Mode("d0", 0)
			m.Mode("d400", 0o400)
		}
		m.Mode("d1777", 0o1777)
		m.Mode("d2755", 0o2755)
	}, change: func(m *shiptest.Maker) {
		m.Mode("f0", 0o600)
		m.Mode("f777", 0o2771)
		m.File("d2755/new", nil)
		m.Mode("d1777", 0o700)
	}},
	{name: "every type becomes every other", build: func(m *shiptest.Maker) {
		for from := range types {
			for to := range types {
				types[from](m, fmt.Sprintf("%s-%s", from, to), "before")
			}
		}
	}, change: func(m *shiptest.Maker) {
		for from := range types {
			for to := range types {
				m.Remove(fmt.Sprintf("%s-%s", from, to))
				m.Remove(fmt.Sprintf("%s-%s too", from, to))
				types[to](m, fmt.Sprintf("%s-%s", from, to), "after")
			}
		}
	}},
	{name: "deletions and renames", build: func(m *shiptest.Maker) {
		for i := range 20 {
			m.File(fmt.Sprintf("keep/%d", i), []byte("k"))
			m.File(fmt.Sprintf("drop/%d/deep/er/file", i), []byte("d"))
		}
		m.File("old/name/a", shiptest.Noise("r", 200_000))
		m.File("swap/a", []byte("aa"))
		m.File("swap/b", []byte("bb"))
		m.File("ab/x", []byte("sorts between ab and ab/"))
		m.File("ab-/x", []byte("x"))
	}, change: func(m *shiptest.Maker) {
		m.Remove("drop")
		m.Remove("keep/7")
		m.Remove("ab")
		m.Must(os.Rename(m.Path("old"), m.Path("new")))
		m.Must(os.Rename(m.Path("swap/a"), m.Path("swap/t")))
		m.Must(os.Rename(m.Path("swap/b"), m.Path("swap/a")))
		m.Must(os.Rename(m.Path("swap/t"), m.Path("swap/b")))
	}},
	{name: "a path longer than PATH_MAX", build: func(m *shiptest.Maker) {
		deep(m, "d", 60, func(fd int) {
			f, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o600)
			m.Must(err)
			_, err = unix.Write(f, []byte("deep down"))
			m.Must(err)
			m.Must(unix.Close(f))
			m.Must(unix.Symlinkat("x", fd, "link"))
		})
	}, change: func(m *shiptest.Maker) {
		deep(m, "d", 60, func(fd int) {
			m.Must(unix.Unlinkat(fd, "link", 0))
			m.Must(unix.Mkdirat(fd, "more", 0o700))
		})
	}},
	{name: "a directory of many entries", build: func(m *shiptest.Maker) {
		for i := range 9000 {
			m.Must(os.WriteFile(m.Path(fmt.Sprint("n", i)), nil, 0o600))
		}
	}, change: func(m *shiptest.Maker) {
		for i := 0; i < 9000; i += 7 {
			m.Remove(fmt.Sprint("n", i))
		}
	}},
	{name: "a file over four gigabytes", build: func(m *shiptest.Maker) {
		m.Size("huge", 5<<30+12345)
		m.Write("huge", 4<<30+77, shiptest.Noise("4g", 100_000))
		m.Write("huge", 5<<30+12000, []byte("the end"))
	}, change: func(m *shiptest.Maker) {
		m.Write("huge", 4<<30+5000, []byte("changed"))
	}},
	{name: "owners and setuid", root: true, build: func(m *shiptest.Maker) {
		m.File("owned", []byte("x"))
		m.Owner("owned", 1234, 5678)
		m.Mode("owned", 0o6755)
		m.Dir("dir")
		m.Owner("dir", 99, 98)
		m.Symlink("link", "x")
		m.Owner("link", 4_000_000_000, 7)
		m.File("rootsuid", []byte("x"))
		m.Mode("rootsuid", 0o4755)
	}, change: func(m *shiptest.Maker) {
		m.Owner("owned", 1, 1)
		m.Mode("owned", 0o4711)
		m.Owner("link", 5, 5)
		m.Owner("dir", 0, 98)
	}},
	{name: "devices", root: true, build: func(m *shiptest.Maker) {
		m.Node("null", unix.S_IFCHR|0o666, 1, 3)
		m.Node("big", unix.S_IFBLK|0o600, 259, 70000)
	}, change: func(m *shiptest.Maker) {
		m.Remove("null")
		m.Node("null", unix.S_IFCHR|0o666, 1, 5)
		m.Mode("big", 0o640)
	}},
	{name: "trusted attributes and capabilities", root: true, build: func(m *shiptest.Maker) {
		m.File("f", []byte("x"))
		m.Xattr("f", "trusted.overlay.opaque", "y")
		m.Xattr("f", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		m.Owner("f", 1000, 1000)
		m.Xattr("f", "security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		m.Symlink("l", "x")
		m.Xattr("l", "trusted.link", "of a symlink")
		m.Node("fifo", unix.S_IFIFO|0o600, 0, 0)
		m.Xattr("fifo", "trusted.fifo", "1")
	}, change: func(m *shiptest.Maker) {
		m.Write("f", 0, []byte("drops the capability"))
		m.Xattr("l", "trusted.link", "changed")
		m.Xattr("f", "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	}},
	{name: "immutable and append-only entries", root: true, build: func(m *shiptest.Maker) {
		m.File("i/file", []byte("x"))
		m.File("i/gone", []byte("x"))
		m.File("i/other", shiptest.Noise("o", 200_000))
		m.File("append", []byte("log"))
		m.File("nodump", nil)
		m.Flags("nodump", shiptest.FlagNoDump)
		m.Flags("append", shiptest.FlagAppend)
		m.Flags("i/file", shiptest.FlagImmutable)
		m.Flags("i/gone", shiptest.FlagImmutable)
		m.Flags("i/other", shiptest.FlagImmutable)
		m.Flags("i", shiptest.FlagImmutable)
	}, change: func(m *shiptest.Maker) {
		for _, n := range []string{"i", "i/file", "i/gone", "i/other", "append"} {
			shiptest.SetFlags(m.T, m.Path(n), 0)
		}
		m.File("i/file", []byte("y"))
		m.Remove("i/gone")
		m.Write("i/other", 100_000, []byte("patched"))
		m.Write("append", 3, []byte("more"))
		m.Flags("i/file", shiptest.FlagImmutable)
		m.Flags("i/other", shiptest.FlagImmutable)
		m.Flags("i", shiptest.FlagAppend)
	}},
}

var types = map[string]func(m *shiptest.Maker, name, content string){
	"file":    func(m *shiptest.Maker, name, content string) { m.File(name, []byte(content)) },
	"large":   func(m *shiptest.Maker, name, content string) { m.File(name, shiptest.Noise(content, 140_000)) },
	"dir":     func(m *shiptest.Maker, name, content string) { m.File(name+"/"+content+"/in", []byte(content)) },
	"empty":   func(m *shiptest.Maker, name, _ string) { m.Dir(name) },
	"symlink": func(m *shiptest.Maker, name, content string) { m.Symlink(name, content) },
	"socket":  func(m *shiptest.Maker, name, _ string) { m.Node(name, unix.S_IFSOCK|0o600, 0, 0) },
	"linked": func(m *shiptest.Maker, name, content string) {
		m.File(name, []byte(content))
		m.Link(name+" too", name)
	},
	"device": func(m *shiptest.Maker, name, _ string) {
		if os.Geteuid() == 0 { // whoever is not root has one more fifo
			m.Node(name, unix.S_IFCHR|0o600, 1, 3)
			return
		}
		m.Node(name, unix.S_IFIFO|0o600, 0, 0)
	},
	"fifo": func(m *shiptest.Maker, name, _ string) { m.Node(name, unix.S_IFIFO|0o600, 0, 0) },
}

// deep goes down directories whose names together exceed PATH_MAX.
func deep(m *shiptest.Maker, name string, levels int, f func(fd int)) {
	m.T.Helper()
	name = strings.Repeat(name, 100)
	fd, err := unix.Open(m.Root, unix.O_DIRECTORY, 0)
	m.Must(err)
	for range levels {
		if err := unix.Mkdirat(fd, name, 0o700); err != nil && err != unix.EEXIST {
			m.Must(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		m.Must(err)
		m.Must(unix.Close(fd))
		fd = next
	}
	f(fd)
	m.Must(unix.Close(fd))
}

// featuresHere leaves out what only root can make when we are not: those run wherever the
// tests run as root.
func featuresHere() []feature {
	var out []feature
	for _, f := range features {
		if !f.root || os.Geteuid() == 0 {
			out = append(out, f)
		}
	}
	return out
}

func TestATreeArrivesWithEverythingItHasAndIsFollowedThroughItsChanges(t *testing.T) {
	for _, f := range featuresHere() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := shiptest.NewPair(t)
			m := shiptest.At(t, p.Source)
			f.build(m)
			p.Mirror()
			if o := p.Mirror(); !o.Sent.Unchanged || o.Sent.SentBytes != 0 {
				t.Errorf("the second run sent something: %+v", o.Sent)
			}
			f.change(m)
			p.Mirror()
			if o := p.Mirror(); !o.Sent.Unchanged {
				t.Errorf("the run after the increment sent something: %+v", o.Sent)
			}
		})
	}
}

// One tree with all features, checked by rsync, which shares no line with us.
func TestRsyncFindsNothingToDo(t *testing.T) {
	p := shiptest.NewPair(t)
	p.Secure = true
	for _, f := range featuresHere() {
		if f.name == "a path longer than PATH_MAX" || f.name == "a file over four gigabytes" {
			continue // rsync cannot, and takes too long
		}
		dir := filepath.Join(p.Source, strings.ReplaceAll(f.name, " ", "_"))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		f.build(shiptest.At(t, dir))
	}
	p.Mirror()
	rsyncAgrees(t, p)
	for _, f := range featuresHere() {
		if dir := filepath.Join(p.Source, strings.ReplaceAll(f.name, " ", "_")); exists(dir) {
			f.change(shiptest.At(t, dir))
		}
	}
	p.Mirror()
	rsyncAgrees(t, p)
}

// Between two checkpoints of one pass nothing may be lost from the journal, and a content
// may be cut by a checkpoint anywhere.
func TestASyncOfManyCheckpointsIsVerified(t *testing.T) {
	p := shiptest.NewPair(t)
	p.Send.Checkpoint = time.Millisecond
	p.Send.Bandwidth = 60 << 20 // so that it lasts
	m := shiptest.At(t, p.Source)
	m.File("large", shiptest.Noise("large", 12<<20))
	for i := range 3000 {
		m.File(fmt.Sprint("small/", i), shiptest.Noise(fmt.Sprint(i), 2000))
	}
	p.Mirror()
	m.Write("large", 5<<20, shiptest.Noise("again", 4<<20))
	m.Remove("small/7")
	p.Mirror()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func rsyncAgrees(t *testing.T, p *shiptest.Pair) {
	t.Helper()
	out, err := exec.Command("rsync", "-naHAXS", "--delete", "--checksum", "--itemize-changes", p.Source+"/", p.Target+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("rsync (install it with apt-get install rsync): %v\n%s", err, out)
	}
	if out = bytes.TrimSpace(out); len(out) > 0 {
		t.Fatalf("rsync would change:\n%s", out)
	}
}

func TestHolesStayHolesAndAllocatedFilesStayAllocated(t *testing.T) {
	p := shiptest.NewPair(t)
	m, at := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
	m.Size("hole", 64<<20)
	m.Write("hole", 32<<20, []byte("x"))
	m.Size("small-hole", 100_000)
	m.Allocate("allocated", 8<<20)
	m.Allocate("small-allocated", 100_000)
	p.Mirror()
	occupied := func(name string) int64 { return shiptest.BlocksOf(t, at.Path(name)) }
	if n := occupied("hole"); n > 64<<10 {
		t.Errorf("the sparse file occupies %d bytes", n)
	}
	if n := occupied("small-hole"); n > 8<<10 {
		t.Errorf("the small sparse file occupies %d bytes", n)
	}
	if n := occupied("allocated"); n < 8<<20 {
		t.Errorf("the preallocated file occupies %d bytes", n)
	}
	if n := occupied("small-allocated"); n < 100_000 {
		t.Errorf("the small preallocated file occupies %d bytes", n)
	}
	m.Write("hole", 8<<20, shiptest.Noise("x", 4<<20))
	p.Mirror()
	m.Must(punch(m.Path("hole"), 8<<20, 4<<20))
	p.Mirror()
	if n := occupied("hole"); n > 64<<10 {
		t.Errorf("after data became a hole again the file occupies %d bytes", n)
	}
}

func punch(path string, off, n int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// An empty lost+found as mkfs makes it belongs to the filesystem.
func TestEmptyLostAndFoundIsLeftAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: lost+found is root's")
		return
	}
	for _, at := range []string{"source", "target"} {
		t.Run(at, func(t *testing.T) {
			p := shiptest.NewPair(t)
			src, dst := shiptest.At(t, p.Source), shiptest.At(t, p.Target)
			src.File("f", []byte("x"))
			src.Dir("sub/lost+found")
			has := src
			if at == "target" {
				has = dst
			}
			has.Dir("lost+found")
			has.Mode("lost+found", 0o700)
			p.Mirror()
			if exists(dst.Path("lost+found")) != (at == "target") || !exists(dst.Path("sub/lost+found")) {
				t.Error("lost+found in the root was touched, or one below was not shipped")
			}
		})
	}
}

func TestNothingOfOursStaysInTheTarget(t *testing.T) {
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("a", []byte("1"))
	p.Mirror()
	m.File("a", []byte("2"))
	m.File("b/c", shiptest.Noise("c", 300_000))
	p.Mirror()
	names, err := os.ReadDir(p.Target)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if e.Name() != "a" && e.Name() != "b" {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
