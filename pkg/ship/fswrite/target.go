// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fswrite writes a volume: a directory tree below one descriptor, or a device.
//
// # Confinement
//
// Paths of the sender are not trusted. Names are validated where they are decoded;
// every directory is opened by openat2 beneath the root without following symlinks,
// magic links or mounts, and every operation acts on one name in such a directory or on an
// open inode. So nothing outside the root can be reached, for any contents of the tree and
// concurrent changes in it.
//
// # Where an inode is
//
// An increment is prepared in a stage: a directory of random name in the root, in which
// inodes are numbered. Roll-forward moves them to their paths. Each step of it can be
// repeated: what is already done is recognised by the staged inode that is gone, and what
// is not there need not be removed. When it is over, the stage is removed.
//
// # Order on one inode
//
// Content, owner, mode, attributes, times, flags: a write clears setuid and capabilities,
// chown does too, and an immutable inode takes nothing any more. Flags that are in the way
// come off first. What the inode then is, is read back from it.
package fswrite

import (
	"os"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Options of OpenTree and OpenDevice.
type Options struct {
	// Direct is as in fsread.Options; only for OpenDevice.
	Direct *os.File
}

// Place is where an inode is: staged under a number, or, with Staged 0, at its path.
type Place struct {
	Path   string
	Staged uint64
}

// Target is what a shipment is written to. Its methods are for package ship, and may be
// called by many goroutines at once unless stated otherwise.
type Target interface {
	// Image is true for a device or image file, and Size then its size.
	Image() bool
	Size() int64
	// Identity of the volume, see fsread.Identity.
	Identity() (string, error)
	// Lock keeps other receivers out until unlock is called; it fails when there is one.
	Lock() (unlock func(), err error)
	// Empty reports whether a directory holds nothing yet.
	Empty() (bool, error)
	// Probe fails when the target cannot hold what a shipment under the mask may bring; size
	// is the source's, when that is an image.
	Probe(mask tree.Mask, size int64) error
	// Examine finds out what the target can hold, before anything is written to it. Not
	// concurrently with anything else.
	Examine() error
	// Holds fails when Examine found that the target cannot hold what e is.
	Holds(e *tree.Entry) error
	// Source reads the target itself.
	Source(mask tree.Mask) (fsread.Source, error)

	// Usage is what the target occupies, its stages included, in bytes; bounded reports
	// instead that its filesystem has no more than about limit, so that it cannot hold
	// more either.
	Usage(limit int64) (used int64, bounded bool, err error)

	// OpenStage opens the stage of the given name, making it when create is set; ok is
	// false when there is none. Not concurrently with anything else.
	OpenStage(name string, create bool) (ok bool, err error)
	// RemoveStages removes every stage but keep with everything in it. Not concurrently
	// with anything else.
	RemoveStages(keep string) error

	// Mkdir makes sure that there is a directory, replacing an existing entry. Its
	// description comes later.
	Mkdir(path string) error
	// Create makes an empty file, replacing an existing entry.
	Create(p Place) (File, error)
	// Edit opens an existing file for writing.
	Edit(p Place) (File, error)
	// Make makes a symlink, fifo, socket or device, replacing an existing entry.
	Make(p Place, e *tree.Entry) (fsread.Node, error)
	// Link gives the inode at first one more name, replacing an existing entry.
	Link(path, first string) (fsread.Node, error)
	// Remove removes path and everything below it.
	Remove(path string) error
	// Describe gives the inode at e.Path e's description.
	Describe(e *tree.Entry) (fsread.Node, error)
	// Arrive moves a staged inode to its path, replacing an existing entry; done is
	// false when there is no such staged inode (any more). With keep, a file that has
	// several names keeps its inode: the staged content is written into it.
	Arrive(staged uint64, e *tree.Entry, keep bool) (n fsread.Node, done bool, err error)

	// Sync makes everything durable that was done before it.
	Sync() error
	Close() error
}

// File is an open regular file, or the device.
type File interface {
	// WriteAt writes data. Blocks of zeros may be left out where the file is fresh.
	WriteAt(data []byte, off int64) error
	// ReadAt reads what is there.
	ReadAt(b []byte, off int64) (int, error)
	// Zero makes length bytes zero; with keep it leaves them allocated.
	Zero(off, length int64, keep bool) error
	// Resize cuts or lengthens the file; with allocate every byte gets a block.
	Resize(size int64, allocate bool) error
	// Stamp gives the inode's stamp as it is now; zero for a block device.
	Stamp() (tree.Stamp, error)
	// Describe gives the file e's description, and returns what it is then.
	Describe(e *tree.Entry) (fsread.Node, error)
	Close() error
}
