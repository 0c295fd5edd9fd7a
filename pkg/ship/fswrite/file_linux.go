// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// file is an open regular file.
type file struct {
	inode
	path string
	// made: we have just made it, and not described it yet.
	made bool
	// fresh: everything not yet written is a hole.
	fresh bool
	// allocated: every byte has a block, and keeps it.
	allocated bool
	past      past
}

func (f *file) Close() error {
	if f.fd < 0 {
		return os.ErrClosed
	}
	f.past.close()
	err := unix.Close(f.fd)
	f.fd = -1
	return err
}

// WriteAt writes data. In a fresh sparse file blocks of zeros stay holes.
func (f *file) WriteAt(data []byte, off int64) error {
	if !f.fresh || f.allocated {
		return f.write(data, off)
	}
	for len(data) > 0 {
		skip, n := dataRun(data, off)
		if n > 0 {
			if err := f.write(data[skip:skip+n], off+int64(skip)); err != nil {
				return err
			}
		}
		data, off = data[skip+n:], off+int64(skip+n)
	}
	return nil
}

// dataRun finds the first run of blocks in data that are not all zero: how many bytes come
// before it, and how long it is.
func dataRun(data []byte, off int64) (skip, n int) {
	first := int(tree.BlockSize - off%tree.BlockSize)
	step := func(at int) int {
		if at == 0 {
			return min(first, len(data))
		}
		return min(tree.BlockSize, len(data)-at)
	}
	for skip < len(data) {
		k := step(skip)
		if !tree.IsZero(data[skip : skip+k]) {
			break
		}
		skip += k
	}
	for skip+n < len(data) {
		k := step(skip + n)
		if tree.IsZero(data[skip+n : skip+n+k]) {
			break
		}
		n += k
	}
	return skip, n
}

func (f *file) write(data []byte, off int64) error {
	done, err := f.past.write(f.fd, data, off)
	if err != nil {
		return unwritable(f.path, err, "write with O_DIRECT")
	}
	data, off = data[done:], off+int64(done)
	for len(data) > 0 {
		n, err := unix.Pwrite(f.fd, data, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return unwritable(f.path, err, "write")
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

func (f *file) ReadAt(b []byte, off int64) (done int, err error) {
	for done < len(b) {
		n, err := unix.Pread(f.fd, b[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, unwritable(f.path, err, "read")
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// Zero makes a range zero, as a hole where the filesystem can.
func (f *file) Zero(off, length int64, keep bool) error {
	if f.fresh && !keep {
		return nil
	}
	mode := uint32(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
	if keep {
		mode = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
	}
	err := unix.Fallocate(f.fd, mode, off, length)
	if !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EINVAL) {
		return unwritable(f.path, err, "zero a range")
	}
	zeros := make([]byte, min(length, 256<<10))
	for length > 0 {
		n := min(length, int64(len(zeros)))
		if err := f.write(zeros[:n], off); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// Resize sets the size.
func (f *file) Resize(size int64, allocate bool) error {
	if err := unix.Ftruncate(f.fd, size); err != nil {
		return unwritable(f.path, err, "set the size")
	}
	if size == 0 {
		f.fresh = true
	}
	if !allocate || size == 0 {
		return nil
	}
	f.allocated = true
	err := unix.Fallocate(f.fd, 0, 0, size)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) {
		return nil // it then gets its blocks by being written
	}
	return unwritable(f.path, err, "allocate")
}

func (f *file) Describe(e *tree.Entry) (fsread.Node, error) {
	if f.made {
		f.made = false
		return f.describeNew(e)
	}
	return f.describe(e)
}

// Stamp gives the inode's stamp.
func (f *file) Stamp() (tree.Stamp, error) {
	var st unix.Statx_t
	if err := fsread.StatFD(f.fd, &st); err != nil {
		return tree.Stamp{}, unwritable(f.path, err, "stat")
	}
	return fsread.NodeOf(f.path, &st).Stamp, nil
}
