// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"fmt"

	"golang.org/x/sys/unix"
)

type fsKind struct {
	name    string
	trusted bool
}

// filesystem returns the filesystem of fd, and whether its ctime is known to change with
// every change. Magic numbers: statfs(2), and openzfs for zfs.
func filesystem(fd int) (fsKind, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fsKind{}, err
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return fsKind{"ext4", true}, nil
	case unix.XFS_SUPER_MAGIC:
		return fsKind{"xfs", true}, nil
	case unix.BTRFS_SUPER_MAGIC:
		return fsKind{"btrfs", true}, nil
	case unix.F2FS_SUPER_MAGIC:
		return fsKind{"f2fs", true}, nil
	case 0x2fc12fc1:
		return fsKind{"zfs", true}, nil
	case unix.NFS_SUPER_MAGIC:
		return fsKind{"nfs", false}, nil
	case unix.TMPFS_MAGIC:
		return fsKind{"tmpfs", false}, nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return fsKind{"overlay", false}, nil
	case unix.FUSE_SUPER_MAGIC:
		return fsKind{"fuse", false}, nil
	case unix.SMB_SUPER_MAGIC, 0xff534d42, 0xfe534d42:
		return fsKind{"cifs", false}, nil
	case unix.MSDOS_SUPER_MAGIC:
		return fsKind{"vfat", false}, nil
	default:
		return fsKind{fmt.Sprintf("%#x", uint32(st.Type)), false}, nil
	}
}
