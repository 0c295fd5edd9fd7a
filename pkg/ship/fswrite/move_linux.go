// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Link gives the inode at first one more name.
func (t *Tree) Link(path, first string) (fsread.Node, error) {
	from, fromName, releaseFrom, err := t.at(Place{Path: first})
	if err != nil {
		return fsread.Node{}, err
	}
	defer releaseFrom()
	dir, name, release, err := t.at(Place{Path: path})
	if err != nil {
		return fsread.Node{}, err
	}
	defer release()
	var there, wanted unix.Stat_t
	if err := unix.Fstatat(from, fromName, &wanted, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fsread.Node{}, unwritable(first, err, "stat the first name of "+strconv.Quote(path))
	}
	err = unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && there.Ino == wanted.Ino && there.Dev == wanted.Dev {
		return t.linked(dir, name, path, first)
	}
	err = t.making(Place{Path: path}, dir, name, "link", func() error {
		err := unix.Linkat(from, fromName, dir, name, 0)
		if errors.Is(err, unix.EPERM) && unlockName(from, fromName) {
			err = unix.Linkat(from, fromName, dir, name, 0)
		}
		return err
	})
	if err != nil {
		return fsread.Node{}, err
	}
	return t.linked(dir, name, path, first)
}

func (t *Tree) linked(dir int, name, path, first string) (fsread.Node, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fsread.Node{}, unwritable(path, err, "open")
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := fsread.StatFD(fd, &st); err != nil {
		return fsread.Node{}, unwritable(path, err, "stat")
	}
	n := fsread.NodeOf(path, &st)
	n.Entry = tree.Entry{Path: path, Kind: tree.Hardlink, Link: first}
	return n, nil
}

// Remove removes path and everything below it.
func (t *Tree) Remove(path string) error {
	h, name, err := t.dirs.parent(path)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		return unwritable(path, err, "open its directory")
	}
	defer t.dirs.release(h)
	err = t.unlink(h.fd, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		t.dirs.forget(path)
		return t.removeDir(path, h.fd, name)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return unwritable(path, err, "remove")
}

// removeDir removes a directory: if need be, what is in it first. It keeps no
// descriptor per level, so depth costs nothing but time.
func (t *Tree) removeDir(path string, dir int, name string) error {
	err := t.unlink(dir, name, unix.AT_REMOVEDIR)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return unwritable(path, err, "remove the directory")
	}
	for r := (&remover{t: t, pending: []string{path}}); ; {
		if more, err := r.step(); err != nil || !more {
			return err
		}
	}
}

// removeAhead is how many directories may wait to be removed, independent of the directory.
const removeAhead = 4096

// remover removes directories from the leaves up.
type remover struct {
	t *Tree
	// pending are directories, each behind those it is in.
	pending []string
}

// step removes the last directory that waits, or what is in it first.
func (r *remover) step() (more bool, err error) {
	last := r.pending[len(r.pending)-1]
	subs, err := r.t.empty(last, max(1, removeAhead-len(r.pending)))
	if err != nil {
		return false, err
	}
	if len(subs) > 0 {
		r.pending = append(r.pending, subs...)
		return true, nil
	}
	r.pending = r.pending[:len(r.pending)-1]
	return len(r.pending) > 0, r.t.rmdir(last)
}

func (t *Tree) rmdir(path string) error {
	h, name, err := t.dirs.parent(path)
	if err != nil {
		return unwritable(path, err, "open its directory")
	}
	defer t.dirs.release(h)
	err = t.unlink(h.fd, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	t.dirs.forget(path)
	return unwritable(path, err, "remove the directory")
}

var errEnough = errors.New("enough directories were met")

// empty removes everything in a directory but its directories, of which it gives the first
// few. When it gives none, the directory is empty.
func (t *Tree) empty(path string, few int) (subs []string, err error) {
	h, err := t.dirs.hold(path)
	if err != nil {
		return nil, unwritable(path, err, "open the directory to remove it")
	}
	defer t.dirs.release(h)
	for {
		met := false
		err := fsread.EachName(h.fd, func(name string) error {
			met = true
			err := t.unlink(h.fd, name, 0)
			if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
				if subs = append(subs, tree.Join(path, name)); len(subs) >= few {
					return errEnough
				}
				return nil
			}
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return unwritable(tree.Join(path, name), err, "remove")
			}
			return nil
		})
		if _, typed := errors.AsType[*fault.Error](err); typed {
			return nil, err
		}
		if err != nil && !errors.Is(err, errEnough) {
			return nil, unwritable(path, err, "read the directory to remove it")
		}
		// Reading while removing need not show everything: only a reading without names
		// shows that none is left.
		if len(subs) > 0 || !met {
			return subs, nil
		}
	}
}

// Arrive moves a staged inode to its path.
func (t *Tree) Arrive(staged uint64, e *tree.Entry, keep bool) (fsread.Node, bool, error) {
	if t.stage < 0 {
		return fsread.Node{}, false, nil // the stage was removed: all of it had arrived
	}
	name := strconv.FormatUint(staged, 10)
	dir, final, release, err := t.at(Place{Path: e.Path})
	if err != nil {
		return fsread.Node{}, false, err
	}
	defer release()
	var from, there unix.Stat_t
	if err := unix.Fstatat(t.stage, name, &from, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fsread.Node{}, false, nil
		}
		return fsread.Node{}, false, unwritable(e.Path, err, "stat the staged inode")
	}
	err = unix.Fstatat(dir, final, &there, unix.AT_SYMLINK_NOFOLLOW)
	exists := err == nil
	if keep && exists && there.Mode&unix.S_IFMT == unix.S_IFREG && e.Kind == tree.File && there.Nlink > 1 {
		return t.pour(name, e)
	}
	if exists && there.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := t.Remove(e.Path); err != nil {
			return fsread.Node{}, false, err
		}
	}
	if err := t.rename(name, dir, final); err != nil {
		return fsread.Node{}, false, unwritable(e.Path, err, "rename the staged inode")
	}
	n, err := t.describe(dir, final, e)
	return n, true, err
}

func (t *Tree) rename(staged string, dir int, final string) error {
	rename := func() error { return unix.Renameat(t.stage, staged, dir, final) }
	err := rename()
	if errors.Is(err, unix.EXDEV) && adoptProject(t.stage, staged, dir) {
		err = rename()
	}
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	a, b, c := unlock(dir), unlockName(dir, final), unlockName(t.stage, staged)
	if !a && !b && !c {
		return err
	}
	return rename()
}

// pour writes a staged file's content into the inode at e.Path, which has other names too.
// The staged file stays until the stage is removed, so that it can be done again.
func (t *Tree) pour(staged string, e *tree.Entry) (fsread.Node, bool, error) {
	src, err := unix.Openat(t.stage, staged, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fsread.Node{}, false, unwritable(e.Path, err, "open the staged file")
	}
	defer unix.Close(src)
	dst, err := t.Edit(Place{Path: e.Path})
	if err != nil {
		return fsread.Node{}, false, err
	}
	defer dst.Close()
	if err := dst.Resize(0, false); err != nil {
		return fsread.Node{}, false, err
	}
	buf := make([]byte, 256<<10)
	for off := int64(0); off < e.Size; off += int64(len(buf)) {
		n, err := unix.Pread(src, buf, off)
		if err != nil {
			return fsread.Node{}, false, unwritable(e.Path, err, "read the staged file")
		}
		if err := dst.WriteAt(buf[:n], off); err != nil {
			return fsread.Node{}, false, err
		}
	}
	if err := dst.Resize(e.Size, false); err != nil {
		return fsread.Node{}, false, err
	}
	n, err := dst.Describe(e)
	return n, true, err
}
