// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of an entry, checked before memory is allocated for it.
const (
	MaxName       = 255
	MaxPath       = 64 << 10
	MaxLink       = 64 << 10
	MaxXattrName  = 255
	MaxXattrValue = 64 << 10
	// MaxEntry bounds one encoded entry with all its attributes.
	MaxEntry = 512 << 10
)

// ErrEncoding is wrapped by every error of the decoder.
var ErrEncoding = errors.New("bad entry encoding")

func bad(what string) error { return fmt.Errorf("%w: %s", ErrEncoding, what) }

// AppendEntry appends the canonical encoding of e: path, then body. Two entries are
// equal exactly when their encodings are.
func AppendEntry(b []byte, e *Entry) []byte {
	b = appendString(b, e.Path)
	return AppendBody(b, e)
}

// AppendBody appends the encoding of e without its path.
func AppendBody(b []byte, e *Entry) []byte {
	b = append(b, byte(e.Kind))
	switch e.Kind {
	case Hardlink:
		return appendString(b, e.Link)
	case Image:
		b = binary.AppendUvarint(b, uint64(e.Size))
		return append(b, e.Content[:]...)
	}
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendUvarint(b, uint64(e.UID))
	b = binary.AppendUvarint(b, uint64(e.GID))
	b = binary.AppendVarint(b, e.MTime.Sec)
	b = binary.AppendUvarint(b, uint64(e.MTime.Nsec))
	b = append(b, byte(e.Flags))
	switch e.Kind {
	case File:
		b = binary.AppendUvarint(b, uint64(e.Size))
		b = append(b, e.Content[:]...)
	case Symlink:
		b = appendString(b, e.Link)
	case CharDevice, BlockDevice:
		b = binary.AppendUvarint(b, e.Rdev)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
	for _, x := range e.Xattrs {
		b = appendString(b, x.Name)
		b = appendString(b, x.Value)
	}
	return b
}

// EqualBody reports whether AppendBody returns the same for a and b.
func EqualBody(a, b *Entry) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Hardlink:
		return a.Link == b.Link
	case Image:
		return a.Size == b.Size && a.Content == b.Content
	}
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.MTime != b.MTime || a.Flags != b.Flags {
		return false
	}
	switch a.Kind {
	case File:
		if a.Size != b.Size || a.Content != b.Content {
			return false
		}
	case Symlink:
		if a.Link != b.Link {
			return false
		}
	case CharDevice, BlockDevice:
		if a.Rdev != b.Rdev {
			return false
		}
	}
	return slices.Equal(a.Xattrs, b.Xattrs)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Decoder reads canonical encodings from a buffer. Its first error sticks, and
// every read after it returns zero values. It accepts nothing that AppendEntry would
// not have written: no padded numbers, no unsorted attributes, no bad names.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads from b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Rest returns the bytes that are not yet read.
func (d *Decoder) Rest() []byte { return d.b }

// Fail records an error unless there is one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
		d.b = nil
	}
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if len(d.b) == 0 {
		d.Fail(bad("it ends early"))
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// Uvarint reads a number of at most limit in its shortest form.
func (d *Decoder) Uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.Fail(bad("a number is cut off or too long"))
		return 0
	}
	if n > 1 && d.b[n-1] == 0 {
		d.Fail(bad("a number is padded"))
		return 0
	}
	if v > limit {
		d.Fail(bad("a number is out of range"))
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Varint reads a signed number in its shortest form.
func (d *Decoder) Varint() int64 {
	u := d.Uvarint(1<<64 - 1)
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// Bytes reads n bytes without copying them.
func (d *Decoder) Bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b) {
		d.Fail(bad("it ends early"))
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// Text reads a length-prefixed string of at most limit bytes.
func (d *Decoder) Text(limit int) string {
	n := d.Uvarint(uint64(limit))
	return string(d.Bytes(int(n)))
}

// Path reads a length-prefixed valid path.
func (d *Decoder) Path() string {
	p := d.Text(MaxPath)
	if d.err == nil && !ValidPath(p) {
		d.Fail(bad("a path has an empty, dotted or too long component"))
		return ""
	}
	return p
}

// Entry reads path and body.
func (d *Decoder) Entry() Entry {
	e := Entry{Path: d.Path()}
	d.Body(&e)
	return e
}

// Body reads everything but the path into e, whose path must already be set.
func (d *Decoder) Body(e *Entry) {
	before := len(d.b)
	defer func() {
		if d.err == nil && before-len(d.b) > MaxEntry {
			d.Fail(bad("an entry is too large"))
		}
	}()
	e.Kind = Kind(d.Byte())
	switch e.Kind {
	case Hardlink:
		e.Link = d.Path()
		if d.err == nil && (e.Link == "" || e.Link >= e.Path) {
			d.Fail(bad("a hardlink does not name an earlier path"))
		}
		return
	case Image:
		d.content(e)
		if d.err == nil && e.Path != "" {
			d.Fail(bad("an image is not the root"))
		}
		return
	case Dir, File, Symlink, Fifo, Socket, CharDevice, BlockDevice:
	default:
		d.Fail(bad("an unknown kind"))
		return
	}
	e.Mode = uint32(d.Uvarint(0o7777))
	e.UID = uint32(d.Uvarint(1<<32 - 2))
	e.GID = uint32(d.Uvarint(1<<32 - 2))
	e.MTime.Sec = d.Varint()
	e.MTime.Nsec = uint32(d.Uvarint(999_999_999))
	e.Flags = Flags(d.Byte())
	if e.Flags&^allFlags != 0 {
		d.Fail(bad("an unknown flag"))
	}
	d.special(e)
	d.xattrs(e)
	if d.err == nil && e.Path == "" && e.Kind != Dir {
		d.Fail(bad("the root is not a directory"))
	}
}

func (d *Decoder) special(e *Entry) {
	switch e.Kind {
	case File:
		d.content(e)
	case Symlink:
		e.Link = d.Text(MaxLink)
		if d.err == nil && (e.Link == "" || strings.IndexByte(e.Link, 0) >= 0 || e.Mode != 0) {
			d.Fail(bad("a symlink with an invalid target or mode"))
		}
	case CharDevice, BlockDevice:
		e.Rdev = d.Uvarint(1<<64 - 1)
	}
}

func (d *Decoder) content(e *Entry) {
	e.Size = int64(d.Uvarint(1<<63 - 1))
	copy(e.Content[:], d.Bytes(len(e.Content)))
}

func (d *Decoder) xattrs(e *Entry) {
	n := d.Uvarint(MaxEntry / 3)
	if d.err != nil || n == 0 {
		return
	}
	if n > uint64(len(d.b)) {
		d.Fail(bad("it ends early"))
		return
	}
	e.Xattrs = make([]Xattr, 0, n)
	for range n {
		x := Xattr{Name: d.Text(MaxXattrName), Value: d.Text(MaxXattrValue)}
		if d.err != nil {
			return
		}
		if k := len(e.Xattrs); x.Name == "" || strings.IndexByte(x.Name, 0) >= 0 || k > 0 && e.Xattrs[k-1].Name >= x.Name {
			d.Fail(bad("attributes are not in order"))
			return
		}
		e.Xattrs = append(e.Xattrs, x)
	}
}

// ValidName reports whether name may be a component of a path: 1 to 255 bytes, not
// "." or "..", without '/' and NUL.
func ValidName(name string) bool {
	return name != "" && len(name) <= MaxName && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// ValidPath reports whether every component of path is a valid name. The root's is.
func ValidPath(path string) bool {
	if path == "" {
		return true
	}
	if len(path) > MaxPath {
		return false
	}
	for name := range strings.SplitSeq(path, "\x00") {
		if !ValidName(name) {
			return false
		}
	}
	return true
}
