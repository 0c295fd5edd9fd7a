// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// abilities are what a target's filesystem was found to hold, by trying it in a directory
// of our own. The zero value is of one that was not tried, and lacks nothing.
type abilities struct {
	tried bool
	// lacks are the classes of attributes that cannot be set: "user.", "trusted.",
	// tree.XattrCapability, tree.XattrACL.
	lacks map[string]error
	kinds map[tree.Kind]error
	owner error // other owners than uid and gid cannot be given
	uid   uint32
	gid   uint32
	links error
	// xattrs bounds the attributes of an inode, see attributesSize; 0 means tree's limits.
	xattrs  int
	nsec    bool
	minTime int64
	maxTime int64
	nameMax int
	maxSize int64
	flags   map[tree.Flags]error
	folds   bool // upper and lower case are one name
}

// Examine finds out what the target can hold, before the first byte is written to it: in
// the stage, or where nothing is staged in a directory that is removed again.
func (t *Tree) Examine() error {
	if t.able.tried {
		return nil
	}
	dir, name := t.stage, ""
	if dir < 0 {
		name = fsread.StageName(uint64(os.Getpid())<<32 | 0x9e37)
		if err := t.changing(t.root, func() error { return unix.Mkdirat(t.root, name, 0o700) }); err != nil && !errors.Is(err, unix.EEXIST) {
			return unwritable("", err, "create a directory")
		}
		fd, err := fsread.OpenBeneath(t.root, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return unwritable("", err, "create a directory")
		}
		defer unix.Close(fd)
		dir = fd
	}
	a, err := examine(dir)
	if name != "" {
		if err := t.Remove(name); err != nil {
			return err
		}
	}
	if err != nil {
		return unwritable("", err, "probe the filesystem")
	}
	if a.folds {
		return fault.New(fault.TargetUnsupported, "the filesystem of the target ignores case in file names")
	}
	t.able = a
	return nil
}

const probeName = "probe"

// examine tries things on a file in dir.
func examine(dir int) (a abilities, err error) {
	_ = unix.Unlinkat(dir, probeName, 0)
	fd, err := unix.Openat(dir, probeName, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return a, err
	}
	defer unix.Close(fd)
	defer unix.Unlinkat(dir, probeName, 0) //nolint:errcheck // the directory goes as a whole
	a = abilities{tried: true, lacks: map[string]error{}, kinds: map[tree.Kind]error{}, flags: map[tree.Flags]error{}}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return a, err
	}
	a.uid, a.gid = st.Uid, st.Gid
	a.attributes(fd)
	a.inode(fd, dir)
	a.times(fd)
	a.names(dir)
	a.sizes(fd)
	return a, nil
}

// A capability set and an ACL that are valid: linux/capability.h (version 2), linux/posix_acl_xattr.h.
func someCapability() []byte {
	return append([]byte{1, 0, 0, 2, 0, 4, 0, 0}, make([]byte, 12)...)
}

func someACL() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, 1<<32 - 1}, {2, 4, 1}, {4, 4, 1<<32 - 1}, {16, 4, 1<<32 - 1}, {32, 0, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func (a *abilities) attributes(fd int) {
	for name, value := range map[string][]byte{
		"user.": []byte("1"), "trusted.": []byte("1"), tree.XattrCapability: someCapability(), tree.XattrACL: someACL(),
	} {
		full := name
		if strings.HasSuffix(name, ".") {
			full += "kubectl-motion"
		}
		if err := unix.Fsetxattr(fd, full, value, 0); err != nil {
			a.lacks[name] = err
		} else {
			_ = unix.Fremovexattr(fd, full)
		}
	}
	if a.lacks["user."] != nil {
		return
	}
	const probe = "user.kubectl-motion"
	most := furthest(tree.MaxXattrValue, func(n int64) bool { return unix.Fsetxattr(fd, probe, make([]byte, n), 0) == nil })
	_ = unix.Fremovexattr(fd, probe)
	if most < tree.MaxXattrValue {
		// The room in the inode itself, which small attributes use first, is not in this.
		a.xattrs, _ = attributesSize(&tree.Entry{Xattrs: []tree.Xattr{{Name: probe, Value: strings.Repeat("x", int(most))}}})
	}
}

func (a *abilities) inode(fd, dir int) {
	if a.owner = unix.Fchown(fd, 1, 2); a.owner == nil {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Uid != 1 || st.Gid != 2 {
			a.owner = errors.New("owners are not stored")
		}
		_ = unix.Fchown(fd, int(a.uid), int(a.gid))
	}
	for flag, bit := range fsread.FlagBits {
		if flag == tree.NoCopyOnWrite || flag == tree.Casefold {
			a.flags[flag] = errors.New("it can only be set on an empty file or directory")
			continue
		}
		on := fd
		if flag == tree.SyncDir {
			on = dir
		}
		have, err := unix.IoctlGetUint32(on, unix.FS_IOC_GETFLAGS)
		if err == nil {
			err = unix.IoctlSetPointerInt(on, unix.FS_IOC_SETFLAGS, int(have|bit))
		}
		if err != nil {
			a.flags[flag] = err
			continue
		}
		_ = unix.IoctlSetPointerInt(on, unix.FS_IOC_SETFLAGS, int(have))
	}
}

// times sets some moments and sees what is kept of them.
func (a *abilities) times(fd int) {
	keeps := func(sec, nsec int64) bool {
		e := tree.Entry{MTime: tree.Time{Sec: sec, Nsec: uint32(nsec)}}
		var st unix.Stat_t
		return inode{fd: fd}.times(nil, &e) == nil && unix.Fstat(fd, &st) == nil && st.Mtim.Sec == sec && st.Mtim.Nsec == nsec
	}
	a.nsec = keeps(1, 123_456_789)
	a.minTime = -furthest(1<<62, func(n int64) bool { return keeps(-n, 0) })
	a.maxTime = furthest(1<<62, func(n int64) bool { return keeps(n, 0) })
}

// furthest returns the greatest number up to limit for which holds is true. It must be true for 0,
// and false beyond the first for which it is false.
func furthest(limit int64, holds func(int64) bool) int64 {
	low, high := int64(0), limit
	for low < high {
		if mid := high - (high-low)/2; holds(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// names tries other kinds of inodes, and what the directory makes of names.
func (a *abilities) names(dir int) {
	a.nameMax = tree.MaxName
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir, &fs); err == nil && fs.Namelen > 0 {
		a.nameMax = int(min(fs.Namelen, tree.MaxName))
	}
	var st unix.Stat_t
	a.folds = unix.Fstatat(dir, strings.ToUpper(probeName), &st, unix.AT_SYMLINK_NOFOLLOW) == nil
	const other = "other"
	try := func(f func() error) error {
		err := f()
		_ = unix.Unlinkat(dir, other, 0)
		return err
	}
	for kind, rdev := range map[tree.Kind]uint64{tree.Symlink: 0, tree.Fifo: 0, tree.Socket: 0, tree.CharDevice: 1<<32 | 3, tree.BlockDevice: 7 << 32} {
		if err := try(func() error { return mknod(dir, other, &tree.Entry{Kind: kind, Link: "x", Rdev: rdev}) }); err != nil {
			a.kinds[kind] = err
		}
	}
	a.links = try(func() error { return unix.Linkat(dir, probeName, dir, other, 0) })
}

// sizes finds the largest file, whose blocks are never written.
func (a *abilities) sizes(fd int) {
	a.maxSize = furthest(1<<63-1, func(n int64) bool { return unix.Ftruncate(fd, n) == nil })
	_ = unix.Ftruncate(fd, 0)
}

// Holds fails when the target was found not to hold what e is.
func (t *Tree) Holds(e *tree.Entry) error {
	if !t.able.tried {
		return nil
	}
	if what, err := t.able.missing(e); what != "" {
		return fault.At(fault.TargetUnsupported, e.Path, err, "the filesystem of the target does not support "+what)
	}
	return nil
}

// missing names what of e the target cannot hold, or is "".
func (a *abilities) missing(e *tree.Entry) (what string, err error) {
	if _, name := tree.Split(e.Path); len(name) > a.nameMax {
		return fmt.Sprintf("a file name of %d bytes (limit %d)", len(name), a.nameMax), nil
	}
	if e.Kind == tree.Hardlink {
		if a.links != nil {
			return "hardlinks", a.links
		}
		return "", nil
	}
	switch err := a.kinds[e.Kind]; {
	case err != nil:
		return "a " + e.Kind.String(), err
	case a.owner != nil && (e.UID != a.uid || e.GID != a.gid):
		return fmt.Sprintf("its owner %d:%d", e.UID, e.GID), a.owner
	case e.MTime.Nsec != 0 && !a.nsec:
		return "timestamps with nanoseconds", nil
	case e.MTime.Sec < a.minTime || e.MTime.Sec > a.maxTime || e.MTime.Nsec != 0 && (e.MTime.Sec == a.minTime || e.MTime.Sec == a.maxTime):
		return fmt.Sprintf("its modification time (%d seconds since 1970)", e.MTime.Sec), nil
	case e.Size > a.maxSize:
		return fmt.Sprintf("a file of %d bytes (limit %d)", e.Size, a.maxSize), nil
	}
	for flag, err := range a.flags {
		if e.Flags&flag != 0 {
			return fmt.Sprintf("its inode flags (%s)", tree.MaskFlags), err
		}
	}
	for i := range e.Xattrs {
		if err := a.lacks[class(e.Xattrs[i].Name)]; err != nil {
			return named(e.Xattrs[i].Name), err
		}
	}
	if size, largest := attributesSize(e); a.xattrs > 0 && size > a.xattrs {
		return fmt.Sprintf("%d bytes of extended attributes (limit %d), the largest is %s", size, a.xattrs, named(largest)), nil
	}
	return "", nil
}

// attributesSize is the room of an entry's attributes in an inode or block of ext4: a head of 16
// bytes for each, name without its prefix and value in multiples of 4. largest is the name of the
// largest.
func attributesSize(e *tree.Entry) (size int, largest string) {
	most := 0
	for _, x := range e.Xattrs {
		_, name, _ := strings.Cut(x.Name, ".")
		n := 16 + (len(name)+3)&^3 + (len(x.Value)+3)&^3
		if size += n; n > most {
			most, largest = n, x.Name
		}
	}
	return size, largest
}

// named names an attribute, and the part of the mask that would leave it out.
func named(attribute string) string {
	if m := tree.MaskOf(attribute); m != 0 {
		return fmt.Sprintf("the attribute %s (%s)", fault.Show(attribute), m)
	}
	return "the attribute " + fault.Show(attribute)
}

// class gives the class of attributes a name belongs to.
func class(name string) string {
	switch {
	case name == tree.XattrDefaultACL:
		return tree.XattrACL
	case strings.HasPrefix(name, "user."):
		return "user."
	case strings.HasPrefix(name, "trusted."):
		return "trusted."
	default:
		return name
	}
}
