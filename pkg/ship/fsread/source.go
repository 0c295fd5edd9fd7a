// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fsread reads a source: the entries of a directory tree or of a device, in the
// order of package tree, and their content.
//
// # Cut, settled, timestamps
//
// A stamp is an inode number with its ctime and birth time. A store through mmap to a
// page that is already dirty does not change ctime. So each source has a cut: just before
// a syncfs at its start when it is read in place, its instant when it is a snapshot. After
// that syncfs every store must fault and set ctime to the cut or later; a stamp is settled when its ctime is older than the cut
// by more than the granularity of the filesystem's clock, and only a settled stamp
// proves that content is unchanged since it was read.
//
// The source declares how changes are detected: ByTimestamps, or ByContent when it is a
// crash-consistent image, in which two states with different content can carry equal
// timestamps: the journal has a file's new ctime in seconds, its data follows half a minute
// later. A sync of a ByContent source that is to be verified reads all data, and settles no
// stamp: what was read behind one may be older than it, and a later sync of the origin,
// whose changes are detected by timestamps, would take the two for the same.
package fsread

import (
	"io"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// ChangeDetection says what equal timestamps in two views prove.
type ChangeDetection uint8

const (
	// ByTimestamps: the view is the origin itself, stopped or frozen, or a driver known to freeze.
	ByTimestamps ChangeDetection = iota
	// ByContent: a crash-consistent image; equal timestamps prove nothing.
	ByContent
)

func (s ChangeDetection) String() string {
	if s == ByTimestamps {
		return "timestamps"
	}
	return "content"
}

// Info describes a source; it does not change while the source is open.
type Info struct {
	// Image is true for a device or image file: one entry, no directories.
	Image bool
	// Size of the image in bytes; 0 for trees.
	Size int64
	Cut  tree.Time
	// ChangeDetection is what the caller declared.
	ChangeDetection ChangeDetection
	// Live: entries may change during read; they are counted, and the sync is not
	// verified. In any other source a changed entry is an error.
	Live bool
	// Frozen: it is a snapshot, which cannot change.
	Frozen bool
	// Trusted: the filesystem is one whose ctime is known to be kept (ext4, xfs, btrfs,
	// f2fs, zfs). Elsewhere a sync that is to be verified reads all data.
	Trusted bool
	// Identity of what is read, see Identity.
	Identity string
	// Filesystem is its name for people, "0x..." when unknown.
	Filesystem string
}

// settles reports whether a stamp that was found in the source proves, to a later sync, that
// content which still has it is what was read here.
func (i Info) settles(s tree.Stamp) bool {
	return i.ChangeDetection == ByTimestamps && tree.Settled(s.CTime, i.Cut)
}

// Node is an entry as found, before its content is read: Entry has no Content yet, and
// neither Xattrs nor a symlink's Link before Details. Kind 0 is a name that vanished
// between listing and stat, which only a Live source returns.
type Node struct {
	tree.Entry
	Stamp tree.Stamp
	// Dev is the device number within this walk; it means nothing in another.
	Dev uint64
	// Links is the inode's link count.
	Links uint32
	// Blocks is what the content occupies, in bytes.
	Blocks int64
}

// Source is one consistent (or Live) state of a volume. Its methods may be
// called by many goroutines at once.
type Source interface {
	Info() Info
	// LeaveOut sets which attributes are not part of the entries. Called before
	// anything is read.
	LeaveOut(mask tree.Mask)
	// Root gives the root's node, with the empty path.
	Root() (Node, error)
	// ReadDir opens the directory at path.
	ReadDir(path string) (Dir, error)
	// Details fills in what ReadDir leaves out: attributes, and a symlink's target.
	Details(n *Node) error
	// Open opens the content of a File or Image.
	Open(n *Node) (Content, error)
	Close() error
}

// ListedOpener is implemented by a Source that can leave it to the caller to check that
// the file is still the inode that was listed.
type ListedOpener interface {
	OpenListed(n *Node) (Content, error)
}

// Dir gives the entries of one directory.
type Dir interface {
	// Next gives up to limit further nodes in name order, and io.EOF after the last.
	Next(limit int) ([]Node, error)
	Close() error
}

// Content is an open file or device.
type Content interface {
	io.ReaderAt
	io.Closer
	// Node stats the inode again.
	Node() (Node, error)
	// Details fills in the attributes of the open file.
	Details(n *Node) error
	// NextData gives the first range of data at or after off, as reported by the filesystem;
	// everything between off and start is a hole. start is the size when only a hole is
	// left.
	NextData(off int64) (start, end int64, err error)
}

// Range is a part of an image.
type Range struct{ Offset, Length int64 }

// ChangedRanger is what a Content has besides when its driver knows what changed since
// the base (changed-block tracking): nothing outside the ranges differs from it.
type ChangedRanger interface {
	// ChangedRanges gives the ranges in ascending order, and false when they are unknown.
	ChangedRanges(base tree.Digest) ([]Range, bool, error)
}
