// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// inode is an open inode that gets a description: by a descriptor that can read or write,
// or, for what cannot be opened, by an O_PATH descriptor and its path in /proc.
type inode struct {
	fd   int
	path bool // O_PATH
	mask tree.Mask
}

func (i inode) proc() string { return fmt.Sprintf("/proc/self/fd/%d", i.fd) }

// describe gives the inode e's description, changing only what differs, and returns what it
// is then. e's Size and Content are the caller's business.
func (i inode) describe(e *tree.Entry) (fsread.Node, error) {
	var st unix.Statx_t
	if err := fsread.StatFD(i.fd, &st); err != nil {
		return fsread.Node{}, unwritable(e.Path, err, "stat")
	}
	now := fsread.NodeOf(e.Path, &st)
	now.Flags |= i.inodeFlags()
	if now.Flags&(tree.Immutable|tree.AppendOnly) != 0 {
		if err := i.setFlags(now.Flags &^ (tree.Immutable | tree.AppendOnly)); err != nil {
			return fsread.Node{}, unwritable(e.Path, err, "clear the immutable flag")
		}
		now.Flags &^= tree.Immutable | tree.AppendOnly
	}
	for _, step := range []func(now, e *tree.Entry) error{i.owner, i.mode, i.attributes, i.times, i.flags} {
		if err := step(&now.Entry, e); err != nil {
			return fsread.Node{}, err
		}
	}
	return i.look(e)
}

// describeNew describes a file that was made with mode 0600 and not touched since. Most of
// the time mode and time are all it takes; anything else that differs, an
// inherited attribute or group, is seen by looking, and put right.
func (i inode) describeNew(e *tree.Entry) (fsread.Node, error) {
	now := tree.Entry{Mode: 0o600, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if len(e.Xattrs) > 0 || e.Flags != 0 {
		return i.describe(e)
	}
	for _, step := range []func(now, e *tree.Entry) error{i.owner, i.mode, i.times} {
		if err := step(&now, e); err != nil {
			return fsread.Node{}, err
		}
	}
	n, what, err := i.see(e)
	if err != nil || what == "" {
		return n, err
	}
	return i.describe(e)
}

func (i inode) owner(now, e *tree.Entry) error {
	if now.UID == e.UID && now.GID == e.GID {
		return nil
	}
	now.Mode &= 0o1777 // chown clears them, depending on who calls
	err := unix.Fchownat(i.fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	return unwritable(e.Path, err, fmt.Sprintf("set the owner %d:%d", e.UID, e.GID))
}

func (i inode) mode(now, e *tree.Entry) error {
	if now.Mode == e.Mode || e.Kind == tree.Symlink {
		return nil
	}
	var err error
	if i.path {
		err = unix.Chmod(i.proc(), e.Mode)
	} else {
		err = unix.Fchmod(i.fd, e.Mode)
	}
	return unwritable(e.Path, err, fmt.Sprintf("set the mode %#o", e.Mode))
}

func (i inode) xattrs() ([]tree.Xattr, error) {
	if i.path {
		return fsread.PathXattrs(i.fd, i.mask)
	}
	return fsread.FileXattrs(i.fd, i.mask)
}

func (i inode) attributes(_, e *tree.Entry) error {
	have, err := i.xattrs()
	if err != nil {
		return unwritable(e.Path, err, "read the attributes")
	}
	for _, x := range have {
		if !slices.ContainsFunc(e.Xattrs, func(w tree.Xattr) bool { return w.Name == x.Name }) {
			if err := i.removeXattr(x.Name); err != nil {
				return unwritable(e.Path, err, "remove the attribute "+fault.Show(x.Name))
			}
		}
	}
	for _, x := range e.Xattrs {
		if slices.Contains(have, x) {
			continue
		}
		err := i.setXattr(x)
		if errors.Is(err, unix.ENOSPC) && i.hasRoom() {
			return fault.At(fault.TargetUnsupported, e.Path, err, "the filesystem of the target has no room in the inode for "+named(x.Name))
		}
		if err != nil {
			return unwritable(e.Path, err, "set "+named(x.Name))
		}
	}
	return nil
}

// hasRoom reports whether the filesystem has free space.
func (i inode) hasRoom() bool {
	var st unix.Statfs_t
	return unix.Fstatfs(i.fd, &st) == nil && st.Bavail > 16
}

func (i inode) setXattr(x tree.Xattr) error {
	if i.path {
		return unix.Setxattr(i.proc(), x.Name, []byte(x.Value), 0)
	}
	return unix.Fsetxattr(i.fd, x.Name, []byte(x.Value), 0)
}

func (i inode) removeXattr(name string) error {
	var err error
	if i.path {
		err = unix.Removexattr(i.proc(), name)
	} else {
		err = unix.Fremovexattr(i.fd, name)
	}
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	return err
}

const utimeOmit = (1 << 30) - 2

func (i inode) times(now, e *tree.Entry) error {
	ts := [2]unix.Timespec{{Nsec: utimeOmit}, {Sec: e.MTime.Sec, Nsec: int64(e.MTime.Nsec)}}
	var empty byte
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(i.fd), uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&ts)), unix.AT_EMPTY_PATH, 0, 0)
	if errno != 0 {
		return unwritable(e.Path, errno, "set the modification time")
	}
	return nil
}

// inodeFlags returns the flags that statx does not report.
func (i inode) inodeFlags() tree.Flags {
	if i.path {
		return 0
	}
	return fsread.InodeFlags(i.fd)
}

func (i inode) flags(now, e *tree.Entry) error {
	if now.Flags == e.Flags || i.mask&tree.MaskFlags != 0 {
		return nil
	}
	return unwritable(e.Path, i.setFlags(e.Flags), "set the inode flags")
}

// setFlags changes the flags that are carried and leaves the others.
func (i inode) setFlags(f tree.Flags) error {
	if i.path {
		return unix.ENOTTY
	}
	have, err := unix.IoctlGetUint32(i.fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	want := have
	for flag, bit := range fsread.FlagBits {
		if want &^= bit; f&flag != 0 {
			want |= bit
		}
	}
	if want == have {
		return nil
	}
	return unix.IoctlSetPointerInt(i.fd, unix.FS_IOC_SETFLAGS, int(want))
}

// Flags of FS_IOC_SETFLAGS, ioctl_iflags(2).
const (
	fsImmutable = 0x10
	fsAppend    = 0x20
)

// look returns what the inode is, and fails when that is not e: then the target did not store it
// and reported no error.
func (i inode) look(e *tree.Entry) (fsread.Node, error) {
	n, what, err := i.see(e)
	if err == nil && what != "" {
		return fsread.Node{}, fault.At(fault.TargetUnsupported, e.Path, nil, "the filesystem of the target did not store its "+what)
	}
	return n, err
}

// see returns what the inode is, and what of it differs from e.
func (i inode) see(e *tree.Entry) (n fsread.Node, different string, err error) {
	var st unix.Statx_t
	if err := fsread.StatFD(i.fd, &st); err != nil {
		return n, "", unwritable(e.Path, err, "stat")
	}
	n = fsread.NodeOf(e.Path, &st)
	if n.Flags |= i.inodeFlags(); i.mask&tree.MaskFlags != 0 {
		n.Flags = 0
	}
	if n.Xattrs, err = i.xattrs(); err != nil {
		return n, "", unwritable(e.Path, err, "read the attributes")
	}
	n.Link, n.Size, n.Content = e.Link, e.Size, e.Content
	return n, differs(&n.Entry, e), nil
}

// differs names what is different in two descriptions, or is "".
func differs(a, b *tree.Entry) string {
	switch {
	case a.Kind != b.Kind:
		return "type"
	case a.UID != b.UID || a.GID != b.GID:
		return "owner"
	case a.Mode != b.Mode:
		return "mode"
	case a.MTime != b.MTime:
		return "modification time"
	case a.Flags != b.Flags:
		return "inode flags"
	case a.Rdev != b.Rdev:
		return "device number"
	case !slices.Equal(a.Xattrs, b.Xattrs):
		return "extended attributes (" + differentXattr(a.Xattrs, b.Xattrs) + ")"
	}
	return ""
}

func differentXattr(a, b []tree.Xattr) string {
	var names []string
	for _, pair := range [][2][]tree.Xattr{{a, b}, {b, a}} {
		for _, x := range pair[0] {
			if !slices.Contains(pair[1], x) && !slices.Contains(names, fault.Show(x.Name)) {
				names = append(names, fault.Show(x.Name))
			}
		}
	}
	return strings.Join(names, ", ")
}

// unwritable types an error of the target.
func unwritable(path string, err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		return fault.At(fault.TargetFull, path, err, what)
	case errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTTY) ||
		errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EMLINK):
		return fault.At(fault.TargetUnsupported, path, err, what)
	}
	return fault.At(fault.TargetUnwritable, path, err, what)
}
