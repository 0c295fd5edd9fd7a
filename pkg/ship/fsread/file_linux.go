// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Open opens a regular file.
func (t *Tree) Open(n *Node) (Content, error) {
	c, err := t.OpenListed(n)
	if err != nil {
		return nil, err
	}
	f := c.(*file)
	if err := t.same(f.fd, n); err != nil {
		_ = c.Close()
		return nil, err
	}
	f.past = openPast(f.fd, n.Size)
	return f, nil
}

// OpenListed is Open for callers that stat the inode after reading it: it may not be the one
// that was listed.
func (t *Tree) OpenListed(n *Node) (Content, error) {
	fd, err := OpenBeneath(t.root, n.Path, unix.O_RDONLY|unix.O_NONBLOCK|t.noatime)
	if errors.Is(err, unix.EPERM) && t.noatime != 0 {
		fd, err = OpenBeneath(t.root, n.Path, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil, unreadable(n.Path, err, "open")
	}
	return &file{t: t, fd: fd, path: n.Path, past: -1}, nil
}

// file is an open regular file. Its methods may be called concurrently, and fail after Close: the
// number of a closed descriptor may be that of another file.
type file struct {
	t      *Tree
	mu     sync.RWMutex // held for writing by Close and FromStorage alone
	fd     int
	path   string
	past   int // -1, or a descriptor to read with past the page cache
	direct *direct
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return os.ErrClosed
	}
	defer func() { f.fd, f.past, f.direct = -1, -1, nil }()
	if f.direct != nil {
		_ = unix.Close(f.direct.fd)
	}
	if f.past >= 0 {
		_ = unix.Close(f.past)
	}
	return unix.Close(f.fd)
}

// use keeps the descriptors open until release is called.
func (f *file) use() (release func(), err error) {
	f.mu.RLock()
	if f.fd < 0 {
		f.mu.RUnlock()
		return nil, fault.At(fault.Internal, f.path, os.ErrClosed, "use the file")
	}
	return f.mu.RUnlock, nil
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	release, err := f.use()
	if err != nil {
		return 0, err
	}
	defer release()
	if f.direct != nil {
		return f.direct.readAt(f, b, off)
	}
	done, err := readPast(f.past, b, off)
	if err != nil {
		return done, fault.At(fault.Unreadable, f.path, err, fmt.Sprintf("read with O_DIRECT at offset %d", off))
	}
	n, err := readAt(f.fd, b[done:], off+int64(done))
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.At(fault.Unreadable, f.path, err, fmt.Sprintf("read at offset %d", off))
	}
	return done + n, err
}

func readAt(fd int, b []byte, off int64) (done int, err error) {
	for done < len(b) {
		n, err := unix.Pread(fd, b[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *file) Node() (Node, error) {
	release, err := f.use()
	if err != nil {
		return Node{}, err
	}
	defer release()
	var st unix.Statx_t
	if err := StatFD(f.fd, &st); err != nil {
		return Node{}, unreadable(f.path, err, "stat")
	}
	return f.t.node(f.path, &st), nil
}

func (f *file) Details(n *Node) error {
	release, err := f.use()
	if err != nil {
		return err
	}
	defer release()
	if f.t.mask&tree.MaskFlags == 0 {
		n.Flags |= InodeFlags(f.fd)
	}
	if n.Xattrs, err = FileXattrs(f.fd, f.t.mask); err != nil {
		return unreadable(f.path, err, "read the attributes")
	}
	return nil
}

func (f *file) NextData(off int64) (start, end int64, err error) {
	release, err := f.use()
	if err != nil {
		return 0, 0, err
	}
	defer release()
	return nextData(f.fd, off)
}

// nextData returns the next range of data. A filesystem without SEEK_DATA reports data everywhere.
func nextData(fd int, off int64) (start, end int64, err error) {
	start, err = unix.Seek(fd, off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		size, err := unix.Seek(fd, 0, io.SeekEnd)
		return max(size, off), max(size, off), err
	}
	if err != nil {
		size, err := unix.Seek(fd, 0, io.SeekEnd)
		return off, max(size, off), err
	}
	end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	return start, end, err
}
