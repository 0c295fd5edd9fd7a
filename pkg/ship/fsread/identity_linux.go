// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// Identity returns what the object behind fd is, in a form that another object does not have: for
// a directory or image file its filesystem, inode and birth time, for a block device the
// attachment of this boot. A snapshot or clone of a filesystem has the identity of its origin.
func Identity(fd int) (string, error) {
	var st unix.Statx_t
	if err := StatFD(fd, &st); err != nil {
		return "", fault.Wrap(fault.Unreadable, err, "stat")
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		id, err := deviceIdentity(fd, &st)
		return id, fault.Wrap(fault.Unreadable, err, "identify the device")
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", fault.Wrap(fault.Unreadable, err, "statfs")
	}
	uuid := filesystemUUID(fd)
	if uuid == "" {
		uuid = fmt.Sprintf("fsid %x", fs.Fsid.Val)
	}
	id := fmt.Sprintf("%x %s inode %d born %d.%09d", uint32(fs.Type), uuid, st.Ino, st.Btime.Sec, st.Btime.Nsec)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		id += fmt.Sprintf(" size %d", st.Size)
	}
	return id, nil
}

// FS_IOC_GETFSUUID of linux/fs.h, since Linux 6.9, and XFS_IOC_FSGEOMETRY_V1 of xfs_fs.h: a
// structure of 112 bytes with the UUID at offset 64.
const (
	ioctlFSUUID      = 2<<30 | 17<<16 | 0x15<<8
	ioctlXFSGeometry = 2<<30 | 112<<16 | 'X'<<8 | 100
	xfsUUID          = 64
)

// filesystemUUID returns the UUID of fd's filesystem, or "" where the kernel does not report it.
// XFS needs it: its f_fsid is the device number, which another attachment changes.
func filesystemUUID(fd int) string {
	var generic [17]byte
	if ioctl(fd, ioctlFSUUID, unsafe.Pointer(&generic)) == nil && int(generic[0]) == len(generic)-1 {
		return fmt.Sprintf("uuid %x", generic[1:])
	}
	if fs, err := filesystem(fd); err == nil && fs.name == "xfs" {
		var geometry [112]byte
		if ioctl(fd, ioctlXFSGeometry, unsafe.Pointer(&geometry)) == nil {
			return fmt.Sprintf("uuid %x", geometry[xfsUUID:xfsUUID+16])
		}
	}
	return ""
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// deviceIdentity is the sequence number of the device's attachment (diskseq, since Linux 5.15)
// within this boot, the partition and the size.
func deviceIdentity(fd int, st *unix.Statx_t) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	size, _, err := DeviceSize(fd)
	if err != nil {
		return "", err
	}
	const blkGetDiskSeq = 2<<30 | 8<<16 | 0x12<<8 | 128 // linux/fs.h
	var seq uint64
	if err := ioctl(fd, blkGetDiskSeq, unsafe.Pointer(&seq)); err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
		return "", err
	}
	return fmt.Sprintf("boot %s device %d:%d sequence %d size %d",
		strings.TrimSpace(string(bytes.TrimSpace(boot))), st.Rdev_major, st.Rdev_minor, seq, size), nil
}
