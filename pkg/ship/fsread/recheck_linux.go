// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Rechecker is implemented by a Source of files. It serves to find out, after everything was read,
// what changed behind the reader.
type Rechecker interface {
	// Resync writes the filesystem out: from then on a store through a mapping advances ctime.
	Resync() error
	// Timestamps returns the present timestamps of names in the directory at dir, in their order; the
	// zero Stamp where a name does not exist. For the name "" it is that of dir itself.
	Timestamps(dir string, names []string) ([]tree.Stamp, error)
}

// Resync syncs the filesystem.
func (t *Tree) Resync() error {
	return fault.Wrap(fault.Unreadable, unix.Syncfs(t.root), "sync the source's filesystem")
}

// Timestamps of names in a directory.
func (t *Tree) Timestamps(dir string, names []string) ([]tree.Stamp, error) {
	out := make([]tree.Stamp, len(names))
	fd, err := OpenBeneath(t.root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return out, nil
	}
	if err != nil {
		return nil, unreadable(dir, err, "open")
	}
	defer unix.Close(fd)
	const mask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_CTIME | unix.STATX_BTIME
	for i, name := range names {
		var st unix.Statx_t
		err := unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_EMPTY_PATH, mask, &st)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, unreadable(tree.Join(dir, name), err, "stat")
		}
		out[i] = NodeOf("", &st).Stamp
	}
	return out, nil
}
