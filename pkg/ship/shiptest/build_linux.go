// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package shiptest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Maker builds trees; every failure ends the test.
type Maker struct {
	T    testing.TB
	Root string
}

// At makes a Maker for a tree.
func At(t testing.TB, root string) *Maker { return &Maker{T: t, Root: root} }

// Path of a name in the tree.
func (m *Maker) Path(name string) string { return filepath.Join(m.Root, name) }

// Must fails the test when err is not nil.
func (m *Maker) Must(err error) {
	m.T.Helper()
	if err != nil {
		m.T.Fatal(err)
	}
}

// File writes a file, and the directories it is in.
func (m *Maker) File(name string, data []byte) {
	m.T.Helper()
	m.Dir(filepath.Dir(name))
	m.Must(os.WriteFile(m.Path(name), data, 0o644))
}

// Dir makes a directory and those it is in.
func (m *Maker) Dir(name string) {
	m.T.Helper()
	m.Must(os.MkdirAll(m.Path(name), 0o755))
}

// Symlink makes a symlink.
func (m *Maker) Symlink(name, to string) {
	m.T.Helper()
	m.Must(os.Symlink(to, m.Path(name)))
}

// Link gives the file at old one more name.
func (m *Maker) Link(name, old string) {
	m.T.Helper()
	m.Must(os.Link(m.Path(old), m.Path(name)))
}

// Remove removes a name and everything below it.
func (m *Maker) Remove(name string) {
	m.T.Helper()
	m.Must(os.RemoveAll(m.Path(name)))
}

// Mode sets all twelve permission bits.
func (m *Maker) Mode(name string, mode uint32) {
	m.T.Helper()
	m.Must(unix.Chmod(m.Path(name), mode))
}

// Owner sets owner and group, of a symlink too.
func (m *Maker) Owner(name string, uid, gid int) {
	m.T.Helper()
	m.Must(unix.Lchown(m.Path(name), uid, gid))
}

// MTime sets the modification time, of a symlink too.
func (m *Maker) MTime(name string, sec, nsec int64) {
	m.T.Helper()
	ts := []unix.Timespec{{Sec: sec, Nsec: nsec}, {Sec: sec, Nsec: nsec}}
	m.Must(unix.UtimesNanoAt(unix.AT_FDCWD, m.Path(name), ts, unix.AT_SYMLINK_NOFOLLOW))
}

// Xattr sets an attribute, of a symlink too.
func (m *Maker) Xattr(name, attr, value string) {
	m.T.Helper()
	if err := unix.Lsetxattr(m.Path(name), attr, []byte(value), 0); err != nil {
		m.T.Fatalf("%s of %s: %v", attr, name, err)
	}
}

// Node makes a fifo, socket or device.
func (m *Maker) Node(name string, mode uint32, major, minor uint32) {
	m.T.Helper()
	m.Must(unix.Mknod(m.Path(name), mode, int(unix.Mkdev(major, minor))))
}

// Write writes into a file at an offset, without cutting it.
func (m *Maker) Write(name string, off int64, data []byte) {
	m.T.Helper()
	f, err := os.OpenFile(m.Path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	m.Must(err)
	_, err = f.WriteAt(data, off)
	m.Must(err)
	m.Must(f.Close())
}

// Size cuts or lengthens a file.
func (m *Maker) Size(name string, size int64) {
	m.T.Helper()
	f, err := os.OpenFile(m.Path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	m.Must(err)
	m.Must(f.Truncate(size))
	m.Must(f.Close())
}

// Allocate gives every byte of a file a block.
func (m *Maker) Allocate(name string, size int64) {
	m.T.Helper()
	f, err := os.OpenFile(m.Path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	m.Must(err)
	m.Must(unix.Fallocate(int(f.Fd()), 0, 0, size))
	m.Must(f.Close())
}

// TargetFlags sets inode flags as chattr does; they come off when the test ends.
func (m *Maker) Flags(name string, flags int) {
	m.T.Helper()
	m.T.Cleanup(func() {
		if f, err := os.Open(m.Path(name)); err == nil {
			_ = changeFlags(f, 0)
			_ = f.Close()
		}
	})
	SetFlags(m.T, m.Path(name), flags)
}

// TargetFlags of FS_IOC_SETFLAGS.
const (
	FlagImmutable = 0x10
	FlagAppend    = 0x20
	FlagNoDump    = 0x40
)

// SetFlags sets inode flags.
func SetFlags(t testing.TB, path string, flags int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := changeFlags(f, flags); err != nil {
		t.Fatalf("set the flags %#x of %s: %v", flags, path, err)
	}
}

// changeFlags leaves alone what a filesystem keeps in the same word.
func changeFlags(f *os.File, flags int) error {
	have, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	const ours = FlagImmutable | FlagAppend | FlagNoDump | 0x80 | 0x8 | 0x10000 // and those without a name here
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(have)&^ours|flags)
}

// unflag takes inode flags off everything below dir, so that it can be removed.
func unflag(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // what cannot be read cannot be cleared either
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return nil
		}
		if f, err := os.Open(path); err == nil {
			_ = changeFlags(f, 0)
			_ = f.Close()
		}
		return nil
	})
}

// ACL encodes a POSIX ACL as the kernel keeps it: version 2, then tag, permissions and id
// of each entry (linux/posix_acl_xattr.h).
func ACL(entries ...[3]uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return string(b)
}

// Tags of ACL entries.
const (
	ACLUserObj  = 0x01
	ACLUser     = 0x02
	ACLGroupObj = 0x04
	ACLMask     = 0x10
	ACLOther    = 0x20
	ACLNoID     = 0xffffffff
)

// Noise gives n bytes that do not compress, the same for the same seed.
func Noise(seed string, n int) []byte {
	out := make([]byte, 0, n+32)
	for i := 0; len(out) < n; i++ {
		s := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		out = append(out, s[:]...)
	}
	return out[:n]
}

// BlocksOf gives what a file occupies, in bytes.
func BlocksOf(t testing.TB, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
