// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Tree is a Target that is a directory tree.
type Tree struct {
	file  *os.File
	root  int
	dirs  *dirs
	mask  tree.Mask
	stage int // descriptor of the stage, or -1
	able  abilities
}

// OpenTree makes a target of the directory root, which stays the caller's to close after
// the target. Nothing is written outside it, and nothing of ours stays in it.
func OpenTree(root *os.File, _ Options) (*Tree, error) {
	var st unix.Statx_t
	if err := fsread.StatFD(int(root.Fd()), &st); err != nil {
		return nil, fault.Wrap(fault.TargetUnwritable, err, "stat the root of the target")
	}
	if n := fsread.NodeOf("", &st); n.Kind != tree.Dir {
		return nil, fault.New(fault.TargetUnwritable, "the target is not a directory")
	}
	return &Tree{file: root, root: int(root.Fd()), dirs: newDirs(int(root.Fd())), stage: -1}, nil
}

// Image is false: it is a tree.
func (t *Tree) Image() bool { return false }

// Size of an image; a tree has none.
func (t *Tree) Size() int64 { return 0 }

// Identity of the directory.
func (t *Tree) Identity() (string, error) { return fsread.Identity(t.root) }

// Empty reports whether there is nothing in the root but what belongs to its filesystem.
func (t *Tree) Empty() (bool, error) {
	v, err := fsread.OpenTree(t.file, fsread.Options{CutUnixNano: 1})
	if err != nil {
		return false, err
	}
	d, err := v.ReadDir("")
	if err != nil {
		return false, err
	}
	defer d.Close()
	for {
		nodes, err := d.Next(1024)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil || len(nodes) > 0 {
			return false, err
		}
	}
}

// Probe remembers the mask.
func (t *Tree) Probe(mask tree.Mask, _ int64) error {
	t.mask = mask
	return nil
}

// Source reads the target itself, without stages.
func (t *Tree) Source(mask tree.Mask) (fsread.Source, error) {
	v, err := fsread.OpenTree(t.file, fsread.Options{})
	if err != nil {
		return nil, err
	}
	v.LeaveOut(mask)
	return v, nil
}

// Sync makes everything durable that was done before it.
func (t *Tree) Sync() error {
	return fault.Wrap(fault.TargetUnwritable, unix.Syncfs(t.root), "sync the target's filesystem")
}

// Close closes what Tree opened.
func (t *Tree) Close() error {
	t.dirs.close()
	t.closeStage()
	return nil
}

func (t *Tree) closeStage() {
	if t.stage >= 0 {
		_ = unix.Close(t.stage)
	}
	t.stage = -1
}

// OpenStage opens or makes the stage.
func (t *Tree) OpenStage(name string, create bool) (bool, error) {
	t.closeStage()
	if create {
		err := t.changing(t.root, func() error { return unix.Mkdirat(t.root, name, 0o700) })
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return false, unwritable(name, err, "create the stage")
		}
	}
	fd, err := fsread.OpenBeneath(t.root, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, unwritable(name, err, "open the stage")
	}
	t.stage = fd
	if !create {
		return true, nil
	}
	// A default ACL of the root would go to everything that is made in the stage.
	return true, inode{fd: fd, mask: t.mask}.attributes(nil, &tree.Entry{Path: name})
}

// RemoveStages removes every stage but the one named keep.
func (t *Tree) RemoveStages(keep string) error {
	if keep == "" {
		t.closeStage()
	}
	var stages []string
	err := fsread.EachName(t.root, func(name string) error {
		if fsread.IsStage(name) && name != keep {
			stages = append(stages, name)
		}
		return nil
	})
	if err != nil {
		return unwritable("", err, "list stages")
	}
	for _, name := range stages {
		if err := t.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// at resolves a place to a directory and a name in it.
func (t *Tree) at(p Place) (dir int, name string, release func(), err error) {
	if p.Staged != 0 && t.stage < 0 {
		return -1, "", nil, unwritable(p.Path, unix.ENOENT, "open the stage")
	}
	if p.Staged != 0 {
		return t.stage, strconv.FormatUint(p.Staged, 10), func() {}, nil
	}
	h, name, err := t.dirs.parent(p.Path)
	if err != nil {
		return -1, "", nil, unwritable(p.Path, err, "open its directory")
	}
	return h.fd, name, func() { t.dirs.release(h) }, nil
}

// changing runs an operation that changes the directory dir, taking an immutable flag off
// it when that is in the way. The flag comes back when the directory is described.
func (t *Tree) changing(dir int, f func() error) error {
	err := f()
	if !errors.Is(err, unix.EPERM) || !unlock(dir) {
		return err
	}
	return f()
}

// unlock takes immutable and append-only flags off; false means there were none.
func unlock(fd int) bool {
	have, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil || have&(fsImmutable|fsAppend) == 0 {
		return false
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(have&^(fsImmutable|fsAppend))) == nil
}

// unlockName does the same for an inode by its name, if it is a file or directory.
func unlockName(dir int, name string) bool {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unlock(fd)
}

// Mkdir makes sure that there is a directory.
func (t *Tree) Mkdir(path string) error {
	if path == "" {
		return nil
	}
	dir, name, release, err := t.at(Place{Path: path})
	if err != nil {
		return err
	}
	defer release()
	mkdir := func() error { return unix.Mkdirat(dir, name, 0o700) }
	err = t.changing(dir, mkdir)
	if !errors.Is(err, unix.EEXIST) {
		return unwritable(path, err, "create the directory")
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if err := t.clear(path, dir, name); err != nil {
		return err
	}
	return unwritable(path, t.changing(dir, mkdir), "create the directory")
}

// clear removes the entry of that name.
func (t *Tree) clear(path string, dir int, name string) error {
	err := t.unlink(dir, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		return t.Remove(path)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return unwritable(path, err, "remove the existing entry")
}

// unlink removes a name, taking flags off the inode and its directory when they are in the way.
func (t *Tree) unlink(dir int, name string, flags int) error {
	err := unix.Unlinkat(dir, name, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if a, b := unlock(dir), unlockName(dir, name); !a && !b {
		return err
	}
	return unix.Unlinkat(dir, name, flags)
}

// making runs an operation that makes a name, clearing the way for it if need be.
func (t *Tree) making(p Place, dir int, name, what string, f func() error) error {
	err := t.changing(dir, f)
	if errors.Is(err, unix.EEXIST) {
		if p.Staged != 0 {
			err = unix.Unlinkat(dir, name, 0)
		} else {
			err = t.clear(p.Path, dir, name)
		}
		if err != nil {
			return err
		}
		err = t.changing(dir, f)
	}
	return unwritable(p.Path, err, what)
}

// Create makes an empty file.
func (t *Tree) Create(p Place) (File, error) {
	dir, name, release, err := t.at(p)
	if err != nil {
		return nil, err
	}
	defer release()
	var fd int
	err = t.making(p, dir, name, "create the file", func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{inode: inode{fd: fd, mask: t.mask}, path: p.Path, made: true, fresh: true}, nil
}

// Edit opens an existing file for writing.
func (t *Tree) Edit(p Place) (File, error) {
	dir, name, release, err := t.at(p)
	if err != nil {
		return nil, err
	}
	defer release()
	open := func() (int, error) {
		return unix.Openat(dir, name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	fd, err := open()
	if errors.Is(err, unix.EPERM) && unlockName(dir, name) {
		fd, err = open()
	}
	if err != nil {
		return nil, unwritable(p.Path, err, "open the file")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, fault.At(fault.TargetUnwritable, p.Path, err, "no longer a regular file")
	}
	return &file{inode: inode{fd: fd, mask: t.mask}, path: p.Path}, nil
}

// Make makes an inode that is neither file nor directory.
func (t *Tree) Make(p Place, e *tree.Entry) (fsread.Node, error) {
	dir, name, release, err := t.at(p)
	if err != nil {
		return fsread.Node{}, err
	}
	defer release()
	err = t.making(p, dir, name, "create the "+e.Kind.String(), func() error { return mknod(dir, name, e) })
	if err != nil {
		return fsread.Node{}, err
	}
	return t.describe(dir, name, e)
}

func mknod(dir int, name string, e *tree.Entry) error {
	if e.Kind == tree.Symlink {
		return unix.Symlinkat(e.Link, dir, name)
	}
	mode := uint32(0o600)
	switch e.Kind {
	case tree.Fifo:
		mode |= unix.S_IFIFO
	case tree.Socket:
		mode |= unix.S_IFSOCK
	case tree.CharDevice:
		mode |= unix.S_IFCHR
	case tree.BlockDevice:
		mode |= unix.S_IFBLK
	}
	return unix.Mknodat(dir, name, mode, int(unix.Mkdev(uint32(e.Rdev>>32), uint32(e.Rdev))))
}

// describe gives the inode with that name e's description.
func (t *Tree) describe(dir int, name string, e *tree.Entry) (fsread.Node, error) {
	i := inode{mask: t.mask, path: e.Kind != tree.Dir && e.Kind != tree.File}
	flags := unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_RDONLY | unix.O_NONBLOCK
	if i.path {
		flags = unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_PATH
	}
	var err error
	if i.fd, err = unix.Openat(dir, name, flags, 0); err != nil {
		return fsread.Node{}, unwritable(e.Path, err, "open to set its attributes")
	}
	defer unix.Close(i.fd)
	return i.describe(e)
}

// Describe gives the inode at e.Path e's description.
func (t *Tree) Describe(e *tree.Entry) (fsread.Node, error) {
	if e.Path == "" {
		return t.describe(t.root, ".", e)
	}
	dir, name, release, err := t.at(Place{Path: e.Path})
	if err != nil {
		return fsread.Node{}, err
	}
	defer release()
	return t.describe(dir, name, e)
}
