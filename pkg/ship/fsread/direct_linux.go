// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// Direct is what a Content has besides when it can be read from its storage instead of
// from memory.
type Direct interface {
	// FromStorage makes all later reads go to the storage. What was written must be synced
	// before. Not concurrently with reads; and reads not concurrently with each other.
	FromStorage() error
}

// direct reads a file past the page cache.
type direct struct {
	fd  int
	buf []byte
}

// FromStorage opens the file once more with O_DIRECT, and drops what is cached of it: pages whose
// writeback failed are clean and hold what the disk does not. Where the filesystem has no
// O_DIRECT, or falls back to the page cache (compressed files of btrfs), that is what makes reads
// go to the disk.
func (f *file) FromStorage() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return fault.At(fault.Internal, f.path, os.ErrClosed, "use the file")
	}
	fd, err := storage(f.fd)
	if err != nil {
		return fault.At(fault.Unreadable, f.path, err, "open with O_DIRECT")
	}
	if fd >= 0 {
		f.direct = &direct{fd: fd}
	}
	return nil
}

// storage drops the cached pages of fd and opens its file with O_DIRECT; -1 means that the
// filesystem has no O_DIRECT.
func storage(fd int) (int, error) {
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return -1, err
	}
	out, err := openDirect(fd)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return -1, nil
	}
	return out, err
}

// openDirect opens the file that fd stands for once more with O_DIRECT. Its access time stays as
// it is, like that of everything else that a view reads, unless the file has another owner.
func openDirect(fd int) (int, error) {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	const flags = unix.O_RDONLY | unix.O_DIRECT | unix.O_NONBLOCK | unix.O_CLOEXEC
	out, err := unix.Open(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		out, err = unix.Open(path, flags, 0)
	}
	return out, err
}

// readDirect fills buf, or less at the end of the file: where a read ends within a block, the file does.
func readDirect(fd int, buf []byte, off int64) (done int, err error) {
	for done < len(buf) && done%DirectAlign == 0 {
		n, err := unix.Pread(fd, buf[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return done, err
		}
		done += n
	}
	return done, nil
}

// readStorage is readDirect for content that was written before: the first read of a file whose
// writeback failed reports that failure, even if the disk has the data now. The second one reads.
func readStorage(fd int, buf []byte, off int64) (int, error) {
	n, err := readDirect(fd, buf, off)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOSPC) {
		n, err = readDirect(fd, buf, off)
	}
	return n, err
}

func (d *direct) readAt(f *file, b []byte, off int64) (int, error) {
	if aligned(b, off) {
		n, err := readStorage(d.fd, b, off)
		return n, d.result(f, off, n, len(b), err)
	}
	skip := int(off % DirectAlign)
	want := (skip + len(b) + DirectAlign - 1) &^ (DirectAlign - 1)
	if len(d.buf) < want {
		d.buf = AlignedBuffer(want)
	}
	n, err := readStorage(d.fd, d.buf[:want], off-int64(skip))
	n = copy(b, d.buf[min(skip, n):n])
	return n, d.result(f, off, n, len(b), err)
}

// result returns the error of a read that gave got of want bytes.
func (d *direct) result(f *file, off int64, got, want int, err error) error {
	switch {
	case err != nil:
		return fault.At(fault.Unreadable, f.path, err, fmt.Sprintf("read with O_DIRECT at offset %d", off))
	case got < want:
		return io.EOF
	}
	return nil
}
