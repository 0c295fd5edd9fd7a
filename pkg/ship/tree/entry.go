// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package tree describes what is shipped: a tree of entries in one total order,
// with one canonical encoding and one digest. It is pure: no I/O, no clock.
//
// # Paths and order
//
// A path is its components joined by NUL (a byte no name can hold); the root is "".
// Comparing paths as bytes is then exactly preorder with siblings in byte order: a
// directory comes before everything below it, and everything below it comes before
// its next sibling. Both ends, the wire and the files on disk use this order alone,
// so every comparison of two trees is a merge.
//
// # Hardlinks
//
// The first path of a group in path order is an ordinary File entry; every other
// member is a Hardlink entry that names it. Link counts are not described: a
// member may lie outside the tree.
//
// # Digest
//
// A file's content is described by its leaves: one 128-bit digest for every 16 KiB,
// all zero for a leaf of zeros, whether it is a hole or not. The content digest is
// taken over size and leaves, an entry's encoding holds it, and the digest of a tree
// (Root) is taken over all encodings in order. Where the data lies, inode numbers
// and ctime do not belong to it.
package tree

import (
	"cmp"
	"strings"
)

// Kind is the type of an entry. The values are part of the encoding.
type Kind uint8

const (
	Dir         Kind = 1
	File        Kind = 2
	Symlink     Kind = 3
	Fifo        Kind = 4
	Socket      Kind = 5
	CharDevice  Kind = 6
	BlockDevice Kind = 7
	// Hardlink is a further name of the File at Entry.Link.
	Hardlink Kind = 8
	// Image is the one entry of a block device or image file; its path is the root's.
	Image Kind = 9
)

var kindNames = [...]string{"", "dir", "file", "symlink", "fifo", "socket", "char-device", "block-device", "hardlink", "image"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return "unknown"
}

// Flags are the inode flags that entries have, of files and directories (ioctl_iflags(2)). Project
// IDs and their inheritance, compression and encryption belong to the volume.
type Flags uint8

const (
	Immutable Flags = 1 << iota
	AppendOnly
	NoDump
	NoAtime
	SyncWrites
	SyncDir
	NoCopyOnWrite
	Casefold

	allFlags = 1<<iota - 1
)

// Time is a point in time as inodes hold it.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Compare orders two times.
func (t Time) Compare(u Time) int {
	if c := cmp.Compare(t.Sec, u.Sec); c != 0 {
		return c
	}
	return cmp.Compare(t.Nsec, u.Nsec)
}

// Add moves t by nanoseconds, which may be negative.
func (t Time) Add(nsec int64) Time {
	n := int64(t.Nsec) + nsec
	sec := t.Sec + n/1e9
	n %= 1e9
	if n < 0 {
		sec, n = sec-1, n+1e9
	}
	return Time{Sec: sec, Nsec: uint32(n)}
}

// Xattr is one extended attribute with its full name.
type Xattr struct {
	Name  string
	Value string
}

// Entry is one inode (or one further name of it) of a tree.
type Entry struct {
	Path string
	Kind Kind
	// Mode holds the twelve permission bits; 0 for Symlink, Hardlink and Image.
	Mode     uint32
	UID, GID uint32
	MTime    Time
	Flags    Flags
	// Size in bytes of a File or Image; 0 for every other kind.
	Size int64
	// Content describes the data of a File or Image.
	Content Digest
	// Link is a Symlink's target (opaque bytes) or the path a Hardlink is another name of.
	Link string
	// Rdev is major<<32 | minor of a device.
	Rdev uint64
	// Xattrs are sorted by name, without duplicates.
	Xattrs []Xattr

	// Allocated: a File with a block for every byte. Carried, so that a preallocated
	// file stays one, but not in the encoding: filesystems differ in it.
	Allocated bool
}

// Join appends a name to a directory's path.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "\x00" + name
}

// Split gives the parent's path and the last name. Split of the root is "", "".
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, 0)
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// Inside says whether path lies below dir (a path does not lie below itself).
func Inside(path, dir string) bool {
	if dir == "" {
		return path != ""
	}
	return len(path) > len(dir) && path[len(dir)] == 0 && path[:len(dir)] == dir
}
