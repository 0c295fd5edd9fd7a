// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
)

// Usage walks the tree, unless it has a filesystem of its own. Nothing is followed
// out of it, and what goes meanwhile does not count.
func (t *Tree) Usage(limit int64) (used int64, bounded bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(t.root, &fs); err != nil {
		return 0, false, unwritable("", err, "statfs of the target")
	}
	// A provisioner may round up.
	if total := int64(fs.Blocks) * fs.Bsize; total <= limit+limit/4 {
		return 0, true, nil
	}
	linked := map[uint64]bool{}
	for left := []string{""}; len(left) > 0; {
		path := left[len(left)-1]
		left = left[:len(left)-1]
		below, bytes, err := t.usageOf(path, linked)
		if err != nil {
			return 0, false, err
		}
		left, used = append(left, below...), used+bytes
	}
	return used, false, nil
}

// usageOf sums up one directory and returns those below it. Inodes of several names
// count once: linked has them.
func (t *Tree) usageOf(path string, linked map[uint64]bool) (below []string, used int64, err error) {
	fd, err := fsread.OpenBeneath(t.root, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, unwritable(path, err, "measure the usage of the target")
	}
	defer unix.Close(fd)
	err = fsread.EachName(fd, func(name string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil //nolint:nilerr // it went meanwhile
		}
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		switch {
		case isDir && path == "":
			below = append(below, name)
		case isDir:
			below = append(below, path+"\x00"+name)
		case st.Nlink > 1 && linked[st.Ino]:
			return nil
		case st.Nlink > 1:
			linked[st.Ino] = true
		}
		used += st.Blocks * 512
		return nil
	})
	if err != nil {
		return nil, 0, unwritable(path, err, "measure the usage of the target")
	}
	return below, used, nil
}
