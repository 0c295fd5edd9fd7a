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
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Device is a Source of a block device or image file.
type Device struct {
	fd    int
	own   int // a descriptor of our own with O_DIRECT, or -1
	past  int // the one to read with past the page cache, or -1
	block bool
	info  Info
}

// OpenDevice opens as a source a block device or image file, which stays the caller's to
// close after the view. A block device has no timestamps: every pass reads it whole, past the
// page cache.
func OpenDevice(f *os.File, o Options) (*Device, error) {
	d := &Device{fd: int(f.Fd()), own: -1, past: -1}
	size, block, err := DeviceSize(d.fd)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "stat the source")
	}
	d.block = block
	d.info = Info{Image: true, Size: size, ChangeDetection: o.ChangeDetection, Live: o.Live, Filesystem: "block"}
	if d.info.Identity, err = Identity(d.fd); err != nil {
		return nil, err
	}
	if d.info.Cut, err = cut(d.fd, o); err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "sync the source")
	}
	if block && o.Direct != nil {
		d.past = int(o.Direct.Fd())
		return d, nil
	}
	if block {
		if fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", d.fd), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0); err == nil {
			d.own, d.past = fd, fd
		}
		return d, nil
	}
	fs, err := filesystem(d.fd)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "statfs of the source")
	}
	d.info.Trusted, d.info.Filesystem = fs.trusted, fs.name
	return d, nil
}

// DeviceSize gives the size in bytes of an open block device or regular file, and which
// of the two it is.
func DeviceSize(fd int) (size int64, block bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return st.Size, false, nil
	case unix.S_IFBLK:
		size, err := unix.Seek(fd, 0, io.SeekEnd)
		return size, true, err
	default:
		return 0, false, errors.New("not a block device or regular file")
	}
}

// Limit makes the view end after size bytes: of a target that is larger than its source.
func (d *Device) Limit(size int64) { d.info.Size = min(size, d.info.Size) }

// Info describes the view.
func (d *Device) Info() Info { return d.info }

// LeaveOut has nothing to leave out: a device has no attributes.
func (d *Device) LeaveOut(tree.Mask) {}

// Close ends the view; the caller's descriptor stays open.
func (d *Device) Close() error {
	if d.own >= 0 {
		return unix.Close(d.own)
	}
	return nil
}

// Root gives the image's node. That of a block device has no stamp.
func (d *Device) Root() (Node, error) {
	n := Node{Entry: tree.Entry{Kind: tree.Image, Size: d.info.Size}, Links: 1}
	if d.block {
		return n, nil
	}
	var st unix.Statx_t
	if err := StatFD(d.fd, &st); err != nil {
		return n, fault.Wrap(fault.Unreadable, err, "stat the image")
	}
	n.Stamp = NodeOf("", &st).Stamp
	n.Stamp.Settled = d.info.settles(n.Stamp)
	return n, nil
}

// ReadDir fails: an image has no directories.
func (d *Device) ReadDir(string) (Dir, error) {
	return nil, fault.New(fault.Internal, "an image has no directories")
}

// Details has nothing to fill in.
func (d *Device) Details(*Node) error { return nil }

// Open gives the content.
func (d *Device) Open(*Node) (Content, error) { return image{d}, nil }

type image struct{ d *Device }

func (i image) Close() error        { return nil }
func (i image) Node() (Node, error) { return i.d.Root() }
func (i image) Details(*Node) error { return nil }

// FromStorage makes later reads go past the page cache; those of a block device do anyway.
func (i image) FromStorage() error {
	if i.d.past >= 0 {
		return fault.Wrap(fault.Unreadable, unix.Fadvise(i.d.fd, 0, 0, unix.FADV_DONTNEED), "drop the page cache")
	}
	fd, err := storage(i.d.fd)
	if err != nil {
		return fault.Wrap(fault.Unreadable, err, "open with O_DIRECT")
	}
	i.d.own, i.d.past = fd, fd
	return nil
}

// ReadAt reads past the page cache where buffer and range allow it.
func (i image) ReadAt(b []byte, off int64) (int, error) {
	fd := i.d.fd
	if i.d.past >= 0 && aligned(b, off) {
		fd = i.d.past
	}
	n, err := readAt(fd, b, off)
	if fd != i.d.fd && (errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOSPC)) {
		n, err = readAt(fd, b, off) // see readStorage
	}
	if errors.Is(err, unix.EINVAL) && fd != i.d.fd { // sectors larger than DirectAlign
		n, err = readAt(i.d.fd, b, off)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.At(fault.Unreadable, "", err, fmt.Sprintf("read at offset %d", off))
	}
	return n, err
}

func (i image) NextData(off int64) (start, end int64, err error) {
	if i.d.block {
		return off, max(i.d.info.Size, off), nil
	}
	return nextData(i.d.fd, off)
}
