// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// linkTable is a hash table in an unlinked, mapped file, so that a tree of nothing but
// hardlinks needs no more memory than any other. Paths are in a second unlinked file.
type linkTable struct {
	dir   string
	slots []slot
	table *os.File
	used  int

	paths  *os.File
	length int64
	buf    []byte // of paths, not yet written
}

type slot struct {
	dev, ino uint64
	at       uint64 // offset of the path + 1; 0 is a free slot
}

const slotSize = int(unsafe.Sizeof(slot{}))

// NewLinks makes a Links with its files in dir, which are gone at once or with Close.
func NewLinks(dir string) Links { return &linkTable{dir: dir} }

func (t *linkTable) First(dev, ino uint64, path string) (string, error) {
	if (t.used+1)*3 > len(t.slots)*2 {
		if err := t.grow(); err != nil {
			return "", fault.State(err, "write the hardlink table")
		}
	}
	s := find(t.slots, dev, ino)
	if s.at != 0 {
		return t.path(int64(s.at - 1))
	}
	at, err := t.add(path)
	if err != nil {
		return "", fault.State(err, "write the hardlink table")
	}
	*s = slot{dev: dev, ino: ino, at: uint64(at) + 1}
	t.used++
	return path, nil
}

func find(slots []slot, dev, ino uint64) *slot {
	h := (ino ^ dev<<1) * 0x9e3779b97f4a7c15
	mask := uint64(len(slots) - 1)
	for i := h >> 20 & mask; ; i = (i + 1) & mask {
		if s := &slots[i]; s.at == 0 || s.ino == ino && s.dev == dev {
			return s
		}
	}
}

func (t *linkTable) grow() error {
	n := max(4096, 2*len(t.slots))
	f, err := unlinked(t.dir)
	if err != nil {
		return err
	}
	// A hole that cannot be filled later is a SIGBUS.
	if err := reserve(f, int64(n*slotSize)); err != nil {
		_ = f.Close()
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, n*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = f.Close()
		return err
	}
	slots := unsafe.Slice((*slot)(unsafe.Pointer(&m[0])), n)
	for _, s := range t.slots {
		if s.at != 0 {
			*find(slots, s.dev, s.ino) = s
		}
	}
	err = t.unmap()
	t.slots, t.table = slots, f
	if t.paths == nil && err == nil {
		t.paths, err = unlinked(t.dir)
	}
	return err
}

// reserve makes f size bytes of zeros that have their blocks.
func reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, 64<<10)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

func unlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "links-*.new")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (t *linkTable) add(path string) (int64, error) {
	at := t.length
	t.buf = binary.AppendUvarint(t.buf, uint64(len(path)))
	before := len(t.buf)
	t.buf = append(t.buf, path...)
	t.length += int64(uvarintLen(uint64(len(path))) + len(t.buf) - before)
	if len(t.buf) < 64<<10 {
		return at, nil
	}
	return at, t.flush()
}

func uvarintLen(v uint64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], v)
}

func (t *linkTable) flush() error {
	_, err := t.paths.WriteAt(t.buf, t.length-int64(len(t.buf)))
	t.buf = t.buf[:0]
	return err
}

func (t *linkTable) path(at int64) (string, error) {
	if start := t.length - int64(len(t.buf)); at >= start {
		b := t.buf[at-start:]
		n, k := binary.Uvarint(b)
		return string(b[k : k+int(n)]), nil
	}
	var small [512]byte
	got, err := t.paths.ReadAt(small[:], at)
	if err != nil && err != io.EOF {
		return "", err
	}
	n, k := binary.Uvarint(small[:got])
	if k <= 0 || n > tree.MaxPath {
		return "", fmt.Errorf("internal error: the hardlink table is corrupt")
	}
	if k+int(n) <= got {
		return string(small[k : k+int(n)]), nil
	}
	long := make([]byte, n)
	if _, err := t.paths.ReadAt(long, at+int64(k)); err != nil {
		if err := t.flushAndRead(long, at+int64(k)); err != nil {
			return "", err
		}
	}
	return string(long), nil
}

func (t *linkTable) flushAndRead(b []byte, at int64) error {
	if err := t.flush(); err != nil {
		return err
	}
	_, err := t.paths.ReadAt(b, at)
	return err
}

func (t *linkTable) unmap() error {
	if t.table == nil {
		return nil
	}
	m := unsafe.Slice((*byte)(unsafe.Pointer(&t.slots[0])), len(t.slots)*slotSize)
	err := unix.Munmap(m)
	if closeErr := t.table.Close(); err == nil {
		err = closeErr
	}
	t.slots, t.table = nil, nil
	return err
}

// Close frees everything.
func (t *linkTable) Close() error {
	err := t.unmap()
	if t.paths != nil {
		if closeErr := t.paths.Close(); err == nil {
			err = closeErr
		}
	}
	return err
}
