// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"

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

// FromStorage opens the file once more with O_DIRECT. Where the filesystem has no such
// thing, what is cached is dropped first.
func (f *file) FromStorage() error {
	fd, err := openDirect(f.fd)
	if errors.Is(err, unix.EINVAL) {
		return unix.Fadvise(f.fd, 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		return fault.At(fault.Unreadable, f.path, err, "open with O_DIRECT")
	}
	f.direct = &direct{fd: fd}
	return nil
}

// openDirect opens the file that fd stands for once more with O_DIRECT. Its access time stays as
// it is, like that of everything else that a view reads, unless the file has another owner.
func openDirect(fd int) (int, error) {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	const flags = unix.O_RDONLY | unix.O_DIRECT | unix.O_CLOEXEC
	out, err := unix.Open(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		out, err = unix.Open(path, flags, 0)
	}
	return out, err
}

// readDirect fills buf, or less at the end of the file: where a read ends in mid-block, the file does.
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

func (d *direct) readAt(f *file, b []byte, off int64) (int, error) {
	skip := int(off % DirectAlign)
	want := (skip + len(b) + DirectAlign - 1) &^ (DirectAlign - 1)
	if len(d.buf) < want {
		d.buf = AlignedBuffer(want)
	}
	n, err := readDirect(d.fd, d.buf[:want], off-int64(skip))
	if err != nil {
		return 0, fault.At(fault.Unreadable, f.path, err, fmt.Sprintf("read with O_DIRECT at offset %d", off))
	}
	n = copy(b, d.buf[min(skip, n):n])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
