// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"encoding/binary"
	"encoding/hex"
	"unsafe"

	"github.com/zeebo/blake3"
)

const (
	// LeafSize is how many bytes of content one leaf digest covers.
	LeafSize = 16 << 10
	// LeafDigestSize is the size of one leaf digest.
	LeafDigestSize = 16
	// BlockSize is the granularity in which holes are kept and made.
	BlockSize = 4 << 10
)

// Digest is a BLAKE3-256 digest.
type Digest [32]byte

// String returns lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// LeafDigest describes up to LeafSize bytes: the first half of their BLAKE3 digest,
// or zero when all bytes are zero.
type LeafDigest [LeafDigestSize]byte

// IsZero reports whether the leaf has only zeros.
func (l LeafDigest) IsZero() bool { return l == LeafDigest{} }

// Leaf digests data, which must be 1 to LeafSize bytes long.
func Leaf(data []byte) LeafDigest {
	if IsZero(data) {
		return LeafDigest{}
	}
	sum := blake3.Sum256(data)
	return LeafDigest(sum[:LeafDigestSize])
}

// Leaves appends the digests of data's leaves to rows.
func Leaves(rows []byte, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), LeafSize)
		d := Leaf(data[:n])
		rows = append(rows, d[:]...)
		data = data[n:]
	}
	return rows
}

// MaxSize bounds a content, in bytes: its leaf digests are 1/1024 of it.
const MaxSize = 16 << 40

// LeafCount returns the number of leaves of a content of size bytes.
func LeafCount(size int64) int64 {
	if size <= 0 {
		return 0
	}
	return (size-1)/LeafSize + 1
}

// IsZero reports whether all bytes are zero.
func IsZero(b []byte) bool {
	for len(b) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 != 0 {
		if b[0] != 0 {
			return false
		}
		b = b[1:]
	}
	words := unsafe.Slice((*[4]uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/32)
	for i := range words {
		w := &words[i]
		if w[0]|w[1]|w[2]|w[3] != 0 {
			return false
		}
	}
	for _, c := range b[len(words)*32:] {
		if c != 0 {
			return false
		}
	}
	return true
}

// ContentHasher computes the content digest over leaves in order. Its zero value is
// not usable: see NewContent.
type ContentHasher struct{ h *blake3.Hasher }

// NewContent begins the content digest of size bytes.
func NewContent(size int64) *ContentHasher {
	c := &ContentHasher{h: blake3.New()}
	var head [24]byte
	copy(head[:16], "motion content 1")
	binary.LittleEndian.PutUint64(head[16:], uint64(size))
	_, _ = c.h.Write(head[:])
	return c
}

// Add adds further leaf digests, LeafDigestSize bytes each.
func (c *ContentHasher) Add(rows []byte) { _, _ = c.h.Write(rows) }

// Sum returns the digest; the hasher is used up.
func (c *ContentHasher) Sum() (d Digest) {
	c.h.Sum(d[:0])
	return d
}

// Content returns the content digest of size bytes with the given leaves.
func Content(size int64, rows []byte) Digest {
	if len(rows) <= 256 {
		var buf [24 + 256]byte
		b := append(buf[:0], "motion content 1"...)
		b = binary.LittleEndian.AppendUint64(b, uint64(size))
		b = append(b, rows...)
		return blake3.Sum256(b)
	}
	c := NewContent(size)
	c.Add(rows)
	return c.Sum()
}

// EmptyContent is the content digest of a file without bytes.
func EmptyContent() Digest { return Content(0, nil) }

// Root computes the digest of a tree over the encodings of its entries in path order.
type Root struct {
	h   *blake3.Hasher
	buf []byte
	n   int64
}

// NewRoot begins a digest. mask names what was left out of the entries on purpose
// (see Mask) and is part of the digest.
func NewRoot(mask Mask) *Root {
	r := &Root{h: blake3.New()}
	r.buf = append(r.buf, "motion tree 1\x00"...)
	r.buf = binary.LittleEndian.AppendUint32(r.buf, uint32(mask))
	return r
}

// Add adds the next entry.
func (r *Root) Add(e *Entry) {
	r.buf = AppendEntry(r.buf, e)
	r.n++
	if len(r.buf) >= 64<<10 {
		r.flush()
	}
}

func (r *Root) flush() {
	_, _ = r.h.Write(r.buf)
	r.buf = r.buf[:0]
}

// Count returns the number of entries added.
func (r *Root) Count() int64 { return r.n }

// Sum returns the digest of what was added; more may be added afterwards.
func (r *Root) Sum() (d Digest) {
	r.flush()
	r.h.Sum(d[:0])
	return d
}
