// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// InlineLimit is the largest content whose leaf digests are not kept: such a file is
// always sent whole.
const InlineLimit = 128 << 10

// Record is what is known of one path.
type Record struct {
	// Entry; only its Path means something when Gone.
	Entry tree.Entry
	// Gone: the path does not exist (any more).
	Gone bool
	// Stamp of the inode on this side; zero when not known.
	Stamp tree.Stamp
	// Rows is where the leaf digests of a content above InlineLimit are.
	Rows Rows
	// Staged is the number of the inode in the stage directory that holds the content
	// until it is rolled forward; 0 means none.
	Staged uint64
	// Patch: Staged holds only the leaves that differ from the inode at Path.
	Patch bool
	// Partial: something is there, but of its content only the first Known leaves are known;
	// Rows has that many.
	Partial bool
	Known   int64
	// Found: this is how the target itself was found when it was looked at, as opposed to
	// what is staged for it.
	Found bool

	// Hides is set by Overlay: one of the records at this path, though not the one that
	// counts, hides what older ones have below it.
	Hides bool
	// Kept is set by joins with the record of the other end: this is our own copy.
	Kept bool
}

// Rows is a place in a run's file of leaf digests. Run 0 is none.
type Rows struct {
	Run    uint64
	Offset int64
}

// Leaves gives how many leaf digests of r's content are known, and kept at r.Rows.
func (r *Record) Leaves() int64 {
	switch {
	case r.Rows.Run == 0:
		return 0
	case r.Partial:
		return r.Known
	default:
		return tree.LeafCount(r.Entry.Size)
	}
}

// Is reports whether r is of exactly this entry, all of it.
func (r *Record) Is(e *tree.Entry) bool { return !r.Partial && tree.EqualBody(&r.Entry, e) }

// Describes reports whether the inode that was seen with this entry and stamp is still what r
// describes, by a stamp that proves it. What cannot be seen without opening it is not compared.
func (r *Record) Describes(seen *tree.Entry, stamp tree.Stamp) bool {
	e := &r.Entry
	return !r.Gone && !r.Partial && r.Stamp.Settled && r.Stamp.Same(stamp) && e.Kind == seen.Kind &&
		(seen.Kind == tree.Hardlink && e.Link == seen.Link ||
			seen.Kind != tree.Hardlink && e.Size == seen.Size && e.MTime == seen.MTime && e.Mode == seen.Mode && e.UID == seen.UID && e.GID == seen.GID)
}

// HasRows reports whether content of size bytes has its leaf digests kept.
func HasRows(size int64) bool { return size > InlineLimit }

const (
	flagGone = 1 << iota
	flagStamp
	flagSettled
	flagRows
	flagStaged
	flagPatch
	flagPartial
	flagAllocated
	flagFound
	allRecordFlags = 1<<iota - 1
)

// appendRecord encodes r, leaving out what its path shares with the one before.
func appendRecord(b []byte, r *Record, previous string) []byte {
	shared := sharedPrefix(previous, r.Entry.Path)
	b = binary.AppendUvarint(b, recordFlags(r))
	b = binary.AppendUvarint(b, uint64(shared))
	b = binary.AppendUvarint(b, uint64(len(r.Entry.Path)-shared))
	b = append(b, r.Entry.Path[shared:]...)
	if r.Stamp.Ino != 0 {
		b = binary.AppendUvarint(b, r.Stamp.Ino)
		b = appendTime(b, r.Stamp.CTime)
		b = appendTime(b, r.Stamp.BTime)
	}
	if r.Rows.Run != 0 {
		b = binary.AppendUvarint(b, r.Rows.Run)
		b = binary.AppendUvarint(b, uint64(r.Rows.Offset))
	}
	if r.Staged != 0 {
		b = binary.AppendUvarint(b, r.Staged)
	}
	if r.Partial {
		b = binary.AppendUvarint(b, uint64(r.Known))
	}
	if !r.Gone {
		b = tree.AppendBody(b, &r.Entry)
	}
	return b
}

func recordFlags(r *Record) (f uint64) {
	set := func(on bool, flag uint64) {
		if on {
			f |= flag
		}
	}
	set(r.Gone, flagGone)
	set(r.Stamp.Ino != 0, flagStamp)
	set(r.Stamp.Settled, flagSettled)
	set(r.Rows.Run != 0, flagRows)
	set(r.Staged != 0, flagStaged)
	set(r.Patch, flagPatch)
	set(r.Partial, flagPartial)
	set(r.Entry.Allocated, flagAllocated)
	set(r.Found, flagFound)
	return f
}

func appendTime(b []byte, t tree.Time) []byte {
	b = binary.AppendVarint(b, t.Sec)
	return binary.AppendUvarint(b, uint64(t.Nsec))
}

func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

var errRecord = errors.New("bad record")

// decodeRecord reads one record; previous is the path of the one before it.
func decodeRecord(d *tree.Decoder, previous string) (r Record) {
	f := d.Uvarint(allRecordFlags)
	shared := int(d.Uvarint(uint64(len(previous))))
	suffix := d.Bytes(int(d.Uvarint(tree.MaxPath)))
	if d.Err() != nil {
		return r
	}
	r.Entry.Path = joinPrefix(previous[:shared], suffix)
	if !tree.ValidPath(r.Entry.Path) {
		d.Fail(fmt.Errorf("%w: invalid path", errRecord))
		return r
	}
	r.Gone, r.Patch, r.Partial, r.Found = f&flagGone != 0, f&flagPatch != 0, f&flagPartial != 0, f&flagFound != 0
	if f&flagStamp != 0 {
		r.Stamp = tree.Stamp{Ino: d.Uvarint(1<<64 - 1), CTime: decodeTime(d), BTime: decodeTime(d), Settled: f&flagSettled != 0}
	}
	if f&flagRows != 0 {
		r.Rows = Rows{Run: d.Uvarint(1<<63 - 1), Offset: int64(d.Uvarint(1<<63 - 1))}
	}
	if f&flagStaged != 0 {
		r.Staged = d.Uvarint(1<<63 - 1)
	}
	if r.Partial {
		r.Known = int64(d.Uvarint(1<<63 - 1))
	}
	if !r.Gone {
		d.Body(&r.Entry)
		r.Entry.Allocated = f&flagAllocated != 0
	}
	if d.Err() == nil && (recordFlags(&r) != f || sharedPrefix(previous, r.Entry.Path) != shared) {
		d.Fail(fmt.Errorf("%w: not canonical", errRecord))
	}
	return r
}

func joinPrefix(prefix string, suffix []byte) string {
	b := append(append(make([]byte, 0, len(prefix)+len(suffix)), prefix...), suffix...)
	return unsafe.String(unsafe.SliceData(b), len(b)) // b is not shared
}

func decodeTime(d *tree.Decoder) tree.Time {
	return tree.Time{Sec: d.Varint(), Nsec: uint32(d.Uvarint(999_999_999))}
}
