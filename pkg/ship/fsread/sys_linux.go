// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

const (
	resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	// hop is the longest part of a path that is given to the kernel at once; PATH_MAX
	// counts the final NUL.
	hop = unix.PathMax - 1
)

// OpenBeneath opens path (components separated by NUL) below the directory root. No
// symlink is followed, no mount crossed, and a path of any length works.
func OpenBeneath(root int, path string, flags uint64) (int, error) {
	if path == "" {
		return openat2(root, ".", flags)
	}
	name := strings.ReplaceAll(path, "\x00", "/")
	if len(name) <= hop {
		return openat2(root, name, flags)
	}
	dir, opened := root, false
	for len(name) > hop {
		cut := strings.LastIndexByte(name[:hop+1], '/')
		next, err := openat2(dir, name[:cut], unix.O_PATH|unix.O_DIRECTORY)
		if opened {
			_ = unix.Close(dir)
		}
		if err != nil {
			return -1, err
		}
		dir, opened, name = next, true, name[cut+1:]
	}
	fd, err := openat2(dir, name, flags)
	_ = unix.Close(dir)
	return fd, err
}

func openat2(dir int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolve}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		// EAGAIN: a rename somewhere made the kernel unsure whether we are still beneath.
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// statxPtr is statx of a NUL-terminated name without copying it.
func statxPtr(dir int, name *byte, flags int, st *unix.Statx_t) error {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_SYNC_AS_STAT), statxMask, uintptr(unsafe.Pointer(st)), 0)
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// StatFD is statx of an open file.
func StatFD(fd int, st *unix.Statx_t) error {
	var none byte
	return statxPtr(fd, &none, unix.AT_EMPTY_PATH, st)
}

// NodeOf describes what statx found at path. Its stamp is not settled.
func NodeOf(path string, st *unix.Statx_t) Node {
	n := Node{
		Entry: tree.Entry{
			Path: path, Kind: kindOf(st.Mode), Mode: uint32(st.Mode) & 0o7777, UID: st.Uid, GID: st.Gid,
			MTime: timeOf(st.Mtime),
		},
		Stamp: tree.Stamp{Ino: st.Ino, CTime: timeOf(st.Ctime), BTime: timeOf(st.Btime)},
		Dev:   uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), Links: st.Nlink, Blocks: int64(st.Blocks) * 512,
	}
	switch n.Kind {
	case tree.File:
		n.Size = int64(st.Size)
		n.Allocated = n.Size > 0 && n.Blocks >= n.Size
	case tree.Symlink:
		n.Mode = 0
	case tree.CharDevice, tree.BlockDevice:
		n.Rdev = uint64(st.Rdev_major)<<32 | uint64(st.Rdev_minor)
	}
	if n.Kind == tree.File || n.Kind == tree.Dir { // other kinds inherit flags, which cannot be changed
		n.Flags = flagsOf(st.Attributes)
	}
	return n
}

func timeOf(t unix.StatxTimestamp) tree.Time { return tree.Time{Sec: t.Sec, Nsec: t.Nsec} }

func flagsOf(attributes uint64) (f tree.Flags) {
	if attributes&unix.STATX_ATTR_IMMUTABLE != 0 {
		f |= tree.Immutable
	}
	if attributes&unix.STATX_ATTR_APPEND != 0 {
		f |= tree.AppendOnly
	}
	if attributes&unix.STATX_ATTR_NODUMP != 0 {
		f |= tree.NoDump
	}
	return f
}

// FlagBits are the flags of FS_IOC_GETFLAGS, ioctl_iflags(2), that entries have.
var FlagBits = map[tree.Flags]uint32{
	tree.Immutable: 0x10, tree.AppendOnly: 0x20, tree.NoDump: 0x40, tree.NoAtime: 0x80, tree.SyncWrites: 0x8,
	tree.SyncDir: 0x10000, tree.NoCopyOnWrite: 0x800000, tree.Casefold: 0x40000000,
}

// InodeFlags returns the flags of an open file or directory (not O_PATH): statx reports only some.
func InodeFlags(fd int) (f tree.Flags) {
	have, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0 // a filesystem without flags
	}
	for flag, bit := range FlagBits {
		if have&bit != 0 {
			f |= flag
		}
	}
	return f
}

func kindOf(mode uint16) tree.Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return tree.Dir
	case unix.S_IFREG:
		return tree.File
	case unix.S_IFLNK:
		return tree.Symlink
	case unix.S_IFIFO:
		return tree.Fifo
	case unix.S_IFSOCK:
		return tree.Socket
	case unix.S_IFCHR:
		return tree.CharDevice
	default:
		return tree.BlockDevice
	}
}
