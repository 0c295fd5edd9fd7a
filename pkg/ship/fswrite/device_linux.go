// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Device is a Target that is a block device or image file. It is always written in place.
type Device struct {
	file  *os.File
	past  *os.File // the same past the page cache, or nil
	fd    int
	size  int64
	used  int64 // what the source has
	block bool
	// zero: proved to hold nothing but zeros, as long as nothing is written.
	zero   atomic.Bool
	writer past
}

// OpenDevice makes a target of a block device or image file, which stays the caller's to
// close after the target.
func OpenDevice(f *os.File, o Options) (*Device, error) {
	d := &Device{file: f, past: o.Direct, fd: int(f.Fd())}
	var err error
	if d.size, d.block, err = fsread.DeviceSize(d.fd); err != nil {
		return nil, fault.Wrap(fault.TargetUnwritable, err, "stat the target")
	}
	d.used = d.size
	if !d.block {
		_, err := unix.Seek(d.fd, 0, unix.SEEK_DATA)
		d.zero.Store(errors.Is(err, unix.ENXIO))
	}
	return d, nil
}

// Image is true.
func (d *Device) Image() bool { return true }

// Size gives the size in bytes.
func (d *Device) Size() int64 { return d.size }

// Identity of the device or image file.
func (d *Device) Identity() (string, error) { return fsread.Identity(d.fd) }

// Empty reports whether it is proved to hold nothing.
func (d *Device) Empty() (bool, error) { return d.zero.Load(), nil }

// Usage is bounded by the device.
func (d *Device) Usage(int64) (int64, bool, error) { return 0, true, nil }

// Close ends the target.
func (d *Device) Close() error {
	d.writer.close()
	return nil
}

// Probe notes how much of the device the source will take.
func (d *Device) Probe(_ tree.Mask, size int64) error {
	if size > d.size {
		return fault.New(fault.TargetTooSmall, "the source has %d bytes, the target %d", size, d.size)
	}
	d.used = size
	return nil
}

// Examine has nothing to find out: bytes are bytes.
func (d *Device) Examine() error { return nil }

// Holds is for trees.
func (d *Device) Holds(*tree.Entry) error { return nil }

// Source reads the part that the source uses.
func (d *Device) Source(tree.Mask) (fsread.Source, error) {
	v, err := fsread.OpenDevice(d.file, fsread.Options{Direct: d.past})
	if err != nil {
		return nil, err
	}
	v.Limit(d.used)
	return v, nil
}

// Sync makes everything durable that was written before it.
func (d *Device) Sync() error {
	return fault.Wrap(fault.TargetUnwritable, unix.Fsync(d.fd), "sync the target")
}

// Edit opens the device for writing.
func (d *Device) Edit(Place) (File, error) { return &deviceFile{d: d}, nil }

// Create is the same.
func (d *Device) Create(Place) (File, error) { return &deviceFile{d: d}, nil }

func notATree() error {
	return fault.New(fault.PeerRejected, "an operation on a directory tree, but the target is a device")
}

// OpenStage is for trees.
func (d *Device) OpenStage(string, bool) (bool, error) { return false, notATree() }

// RemoveStages has none to remove.
func (d *Device) RemoveStages(string) error { return nil }

// Mkdir is for trees.
func (d *Device) Mkdir(string) error { return notATree() }

// Make is for trees.
func (d *Device) Make(Place, *tree.Entry) (fsread.Node, error) { return fsread.Node{}, notATree() }

// Link is for trees.
func (d *Device) Link(string, string) (fsread.Node, error) { return fsread.Node{}, notATree() }

// Remove is for trees.
func (d *Device) Remove(string) error { return notATree() }

// Describe is for trees.
func (d *Device) Describe(*tree.Entry) (fsread.Node, error) { return fsread.Node{}, notATree() }

// Arrive is for trees.
func (d *Device) Arrive(uint64, *tree.Entry, bool) (fsread.Node, bool, error) {
	return fsread.Node{}, false, notATree()
}

// deviceFile writes the device.
type deviceFile struct{ d *Device }

func (f *deviceFile) Close() error { return nil }

func (f *deviceFile) WriteAt(data []byte, off int64) error {
	f.d.zero.Store(false)
	done, err := f.d.writer.write(f.d.fd, data, off)
	if err != nil {
		return unwritable("", err, "write with O_DIRECT")
	}
	w := file{inode: inode{fd: f.d.fd}}
	return w.write(data[done:], off+int64(done))
}

func (f *deviceFile) ReadAt(b []byte, off int64) (int, error) {
	r := file{inode: inode{fd: f.d.fd}}
	return r.ReadAt(b, off)
}

// Zero makes a range zero, without writing where the device supports it.
func (f *deviceFile) Zero(off, length int64, _ bool) error {
	if f.d.zero.Load() {
		return nil
	}
	for _, mode := range []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE} {
		err := unix.Fallocate(f.d.fd, mode, off, length)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return unwritable("", err, "zero a range")
		}
	}
	zeros := make([]byte, min(length, 256<<10))
	for length > 0 {
		n := min(length, int64(len(zeros)))
		if err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		off, length = off+n, length-n
	}
	return nil
}

// Resize does nothing: a device has the size it has.
func (f *deviceFile) Resize(size int64, _ bool) error {
	if size > f.d.used {
		return fault.New(fault.PeerRejected, "%d bytes for a target of %d", size, f.d.used)
	}
	return nil
}

// Describe returns the node of the device: an image without attributes.
func (f *deviceFile) Describe(e *tree.Entry) (fsread.Node, error) {
	v, err := fsread.OpenDevice(f.d.file, fsread.Options{CutUnixNano: 1, Direct: f.d.past})
	if err != nil {
		return fsread.Node{}, err
	}
	defer v.Close()
	n, err := v.Root()
	n.Entry = *e
	return n, err
}

// Stamp gives the stamp of an image file.
func (f *deviceFile) Stamp() (tree.Stamp, error) {
	n, err := f.Describe(&tree.Entry{Kind: tree.Image})
	return n.Stamp, err
}
