// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// fsxattr is struct fsxattr of linux/fs.h.
type fsxattr struct {
	xflags, extsize, nextents, project, cowextsize uint32
	_                                              [8]byte
}

const (
	fsGetXattr = 2<<30 | 28<<16 | 'X'<<8 | 31 // FS_IOC_FSGETXATTR
	fsSetXattr = 1<<30 | 28<<16 | 'X'<<8 | 32 // FS_IOC_FSSETXATTR
)

// adoptProject gives a staged inode the project ID of the directory that it is moved to. Projects
// are quotas of the target, and no part of an entry: rename(2) into a directory that passes its
// project on fails with EXDEV for an inode of another project.
func adoptProject(stage int, staged string, dir int) bool {
	var have, want fsxattr
	if projectOf(dir, fsGetXattr, &want) != nil {
		return false
	}
	fd, err := unix.Openat(stage, staged, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if projectOf(fd, fsGetXattr, &have) != nil || have.project == want.project {
		return false
	}
	have.project = want.project
	return projectOf(fd, fsSetXattr, &have) == nil
}

func projectOf(fd int, request uintptr, x *fsxattr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(x))); errno != 0 {
		return errno
	}
	return nil
}
