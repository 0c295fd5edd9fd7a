// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// ReadDir opens a directory and reads all its names.
func (t *Tree) ReadDir(path string) (Dir, error) {
	fd, err := OpenBeneath(t.root, path, unix.O_RDONLY|unix.O_DIRECTORY|t.noatime)
	if err != nil {
		return nil, unreadable(path, err, "open the directory")
	}
	d := &dir{t: t, fd: fd, path: path, names: names{limit: t.maxNames}}
	if err := d.names.read(fd); err != nil {
		_ = unix.Close(fd)
		return nil, unreadable(path, err, "read the directory")
	}
	return d, nil
}

type dir struct {
	t     *Tree
	fd    int
	path  string
	names names
}

func (d *dir) Close() error { return unix.Close(d.fd) }

func (d *dir) Next(limit int) ([]Node, error) {
	batch, err := d.names.take(d.fd, limit)
	if err != nil {
		return nil, unreadable(d.path, err, "read the directory")
	}
	if len(batch) == 0 {
		return nil, io.EOF
	}
	paths := d.names.paths(d.path, batch)
	for _, path := range paths {
		if len(path) > tree.MaxPath {
			return nil, fault.At(fault.Unreadable, d.path, nil,
				fmt.Sprintf("a path below it is too long: %d bytes (limit %d)", len(path), tree.MaxPath))
		}
	}
	nodes := make([]Node, len(batch))
	found := make([]bool, len(batch))
	// In order of inodes a cold disk is read forwards.
	order := make([]int, len(batch))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if batch[a].ino < batch[b].ino {
			return -1
		}
		return 1
	})
	var st unix.Statx_t
	for _, i := range order {
		err := statxPtr(d.fd, d.names.ptr(batch[i]), 0, &st)
		if errors.Is(err, unix.ENOENT) && d.t.info.Live {
			nodes[i].Path, found[i] = paths[i], true
			continue
		}
		if err != nil {
			return nil, unreadable(paths[i], err, "stat")
		}
		if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
			return nil, unreadable(paths[i], unix.EXDEV, "stat")
		}
		left, err := d.t.leftOut(d.fd, d.path, paths[i], &st)
		if err != nil {
			return nil, unreadable(paths[i], err, "read the directory")
		}
		nodes[i], found[i] = d.t.node(paths[i], &st), !left
	}
	return compact(nodes, found), nil
}

func compact(nodes []Node, keep []bool) []Node {
	k := 0
	for i := range nodes {
		if keep[i] {
			if k != i {
				nodes[k] = nodes[i]
			}
			k++
		}
	}
	return nodes[:k]
}

// leftOut reports whether a name in the root is not an entry: a stage, or an empty lost+found as mkfs
// made it.
func (t *Tree) leftOut(root int, dir, path string, st *unix.Statx_t) (bool, error) {
	if dir != "" || kindOf(st.Mode) != tree.Dir {
		return false, nil
	}
	if IsStage(path) {
		return true, nil
	}
	if path != lostFound || st.Uid != 0 || st.Gid != 0 || st.Mode&0o7777 != 0o700 || st.Nlink > 2 {
		return false, nil
	}
	fd, err := openat2(root, path, unix.O_RDONLY|unix.O_DIRECTORY|t.noatime)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	var found names
	err = found.read(fd)
	return len(found.list) == 0, err
}
