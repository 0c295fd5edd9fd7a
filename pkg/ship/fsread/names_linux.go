// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"io"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxNames is how many names of one directory are kept in memory. A larger directory is
// read again for each so many of them: that costs reading, and no memory.
const maxNames = 256 << 10

// names are the names of one directory, packed: with a limit only the next so many in order.
type names struct {
	bytes []byte
	list  []name
	limit int    // 0: none
	after string // names up to this one were taken
	more  bool   // there are names beyond those in list
}

type name struct {
	at, n uint32 // in bytes, which holds a NUL behind each
	ino   uint64
}

const direntHead = int(unsafe.Offsetof(unix.Dirent{}.Name))

func (s *names) read(fd int) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		s.parse(buf[:n])
		if s.limit > 0 && len(s.list) >= 2*s.limit {
			s.cut()
		}
	}
	s.sort()
	if s.limit > 0 && len(s.list) > s.limit {
		s.cut()
	}
	return nil
}

func (s *names) sort() {
	slices.SortFunc(s.list, func(a, b name) int { return strings.Compare(s.text(a), s.text(b)) })
}

// cut keeps the first names in order, and their bytes alone.
func (s *names) cut() {
	s.sort()
	s.list, s.more = s.list[:s.limit], true
	bytes := make([]byte, 0, len(s.bytes)/2)
	for i, n := range s.list {
		at := len(bytes)
		bytes = append(bytes, s.bytes[n.at:n.at+n.n+1]...)
		s.list[i].at = uint32(at)
	}
	s.bytes = bytes
}

// again reads the names behind those that were taken.
func (s *names) again(fd int) error {
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return err
	}
	s.bytes, s.list, s.more = nil, nil, false
	return s.read(fd)
}

func (s *names) parse(buf []byte) {
	for len(buf) > direntHead {
		d := (*unix.Dirent)(unsafe.Pointer(&buf[0]))
		raw := buf[direntHead:d.Reclen]
		n := 0
		for n < len(raw) && raw[n] != 0 {
			n++
		}
		if text := raw[:n]; string(text) != "." && string(text) != ".." && (s.after == "" || string(text) > s.after) {
			s.list = append(s.list, name{at: uint32(len(s.bytes)), n: uint32(n), ino: d.Ino})
			s.bytes = append(append(s.bytes, text...), 0)
		}
		buf = buf[d.Reclen:]
	}
}

func (s *names) text(n name) string {
	return unsafe.String(&s.bytes[n.at], int(n.n))
}

func (s *names) ptr(n name) *byte { return &s.bytes[n.at] }

func (s *names) take(fd, limit int) ([]name, error) {
	if len(s.list) == 0 && s.more {
		if err := s.again(fd); err != nil {
			return nil, err
		}
	}
	batch := s.list[:min(limit, len(s.list))]
	s.list = s.list[len(batch):]
	if len(s.list) == 0 && s.more && len(batch) > 0 {
		s.after = strings.Clone(s.text(batch[len(batch)-1]))
	}
	return batch, nil
}

// paths makes the paths of a batch out of one piece of memory.
func (s *names) paths(dir string, batch []name) []string {
	total := 0
	for _, n := range batch {
		total += len(dir) + 1 + int(n.n)
	}
	var b strings.Builder
	b.Grow(total)
	out := make([]string, len(batch))
	for i, n := range batch {
		from := b.Len()
		if dir != "" {
			b.WriteString(dir)
			b.WriteByte(0)
		}
		b.WriteString(s.text(n))
		out[i] = b.String()[from:]
	}
	return out
}

// EachName calls f for each name in an open directory, in the order in which they lie there,
// and holds only a few of them at a time. f may remove the name it is given.
func EachName(fd int, f func(name string) error) error {
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		var s names
		s.parse(buf[:n])
		for _, each := range s.list {
			if err := f(s.text(each)); err != nil {
				return err
			}
		}
	}
}
