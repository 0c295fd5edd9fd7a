// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// lostFound is the directory of mkfs and fsck in the root of some filesystems. As mkfs made it, it
// belongs to the filesystem; with content, or with another owner or mode, it is an entry.
const lostFound = "lost+found"

// stagePrefix and 16 hex digits are the name of a stage directory in a target's root. It is
// no part of any view, also when what made it is gone.
const stagePrefix = ".kubectl-motion-stage."

// StageName makes the name of a stage directory.
func StageName(random uint64) string { return fmt.Sprintf("%s%016x", stagePrefix, random) }

// IsStage reports whether a name in the root is that of a stage directory.
func IsStage(name string) bool {
	hex, ok := strings.CutPrefix(name, stagePrefix)
	return ok && len(hex) == 16 && strings.Trim(hex, "0123456789abcdef") == ""
}

// Tree is a Source of a directory tree.
type Tree struct {
	root    int
	info    Info
	mask    tree.Mask
	noatime uint64
	// maxNames is the constant, but for tests.
	maxNames int
}

// OpenTree opens as a source the directory root, which stays the caller's to close after
// the view. What other filesystems are mounted below is an error; an empty lost+found in the
// root is left out. Unless o.CutUnixNano is set, the filesystem is synced.
func OpenTree(root *os.File, o Options) (*Tree, error) {
	t := &Tree{root: int(root.Fd()), maxNames: maxNames}
	var st unix.Statx_t
	if err := StatFD(t.root, &st); err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "stat the root of the source")
	}
	if kindOf(st.Mode) != tree.Dir {
		return nil, fault.New(fault.Unreadable, "the source is not a directory")
	}
	fs, err := filesystem(t.root)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "statfs of the source")
	}
	t.info = Info{ChangeDetection: o.ChangeDetection, Live: o.Live, Frozen: o.CutUnixNano != 0, Trusted: fs.trusted, Filesystem: fs.name}
	if t.info.Identity, err = Identity(t.root); err != nil {
		return nil, err
	}
	t.info.Cut, err = cut(t.root, o)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "sync the source's filesystem")
	}
	if fd, err := openat2(t.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME); err == nil {
		_ = unix.Close(fd)
		t.noatime = unix.O_NOATIME
	}
	return t, nil
}

// cut takes the moment before which a settled stamp must lie, and makes it true.
func cut(fd int, o Options) (tree.Time, error) {
	if o.CutUnixNano != 0 {
		return tree.Time{}.Add(o.CutUnixNano), nil
	}
	// The clock moves past the granularity of timestamps: what was written just before
	// counts as settled then.
	<-time.After(2 * tree.Granularity * time.Nanosecond)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return tree.Time{}, err
	}
	return tree.Time{Sec: now.Sec, Nsec: uint32(now.Nsec)}, unix.Syncfs(fd)
}

// Info describes the view.
func (t *Tree) Info() Info { return t.info }

// LeaveOut sets which attributes are not part of the entries.
func (t *Tree) LeaveOut(mask tree.Mask) { t.mask = mask }

// Close ends the view; the root's descriptor stays open.
func (t *Tree) Close() error { return nil }

// Root gives the root's node.
func (t *Tree) Root() (Node, error) {
	var st unix.Statx_t
	if err := StatFD(t.root, &st); err != nil {
		return Node{}, fault.At(fault.Unreadable, "", err, "stat")
	}
	return t.node("", &st), nil
}

func (t *Tree) node(path string, st *unix.Statx_t) Node {
	n := NodeOf(path, st)
	n.Stamp.Settled = t.info.settles(n.Stamp)
	if t.mask&tree.MaskFlags != 0 {
		n.Flags = 0
	}
	return n
}

// Details fills in attributes and a symlink's target.
func (t *Tree) Details(n *Node) error {
	flags := uint64(unix.O_PATH)
	if n.Kind == tree.Dir {
		flags = unix.O_RDONLY | unix.O_DIRECTORY | t.noatime
	}
	fd, err := OpenBeneath(t.root, n.Path, flags)
	if err != nil {
		return unreadable(n.Path, err, "open")
	}
	defer unix.Close(fd)
	if err := t.same(fd, n); err != nil {
		return err
	}
	if n.Kind == tree.Dir && t.mask&tree.MaskFlags == 0 {
		n.Flags |= InodeFlags(fd)
	}
	if n.Kind == tree.Symlink {
		if n.Link, err = readlink(fd); err != nil {
			return unreadable(n.Path, err, "read the symlink")
		}
	}
	if n.Xattrs, err = PathXattrs(fd, t.mask); err != nil {
		return unreadable(n.Path, err, "read the attributes")
	}
	return nil
}

// same checks that fd is the inode that was listed as n.
func (t *Tree) same(fd int, n *Node) error {
	var st unix.Statx_t
	if err := StatFD(fd, &st); err != nil {
		return unreadable(n.Path, err, "stat")
	}
	if st.Ino != n.Stamp.Ino || kindOf(st.Mode) != n.Kind && n.Kind != tree.Hardlink {
		return &ChangedError{Path: n.Path}
	}
	return nil
}

func readlink(fd int) (string, error) {
	buf := make([]byte, 512)
	for {
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// ChangedError reports that an entry changed after its directory was read.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string { return fault.Show(e.Path) + ": changed during read" }

// unreadable types an error of the source; what vanished has moved.
func unreadable(path string, err error, what string) error {
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return &ChangedError{Path: path}
	case errors.Is(err, unix.EXDEV):
		return fault.At(fault.Unreadable, path, nil, "another filesystem is mounted here; unmount it, or ship it as a separate volume")
	}
	return fault.At(fault.Unreadable, path, err, what)
}
