// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package shiptest has what tests of the shipping engine share: an oracle that compares
// two trees without using the engine, and a driver for both ends in one process.
package shiptest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// inode is everything that two equal trees must agree on about one path.
type inode struct {
	mode      uint32
	uid, gid  uint32
	rdev      uint64
	size      int64
	mtim      unix.Timespec
	link      string
	sum       [32]byte
	xattrs    string
	flags     uint64
	firstName string // of its hardlink group within the tree
}

// Compare says in what two trees differ, one line for each difference: types, modes,
// owners, sizes, times to the nanosecond, symlinks, contents, attributes, inode flags and
// which names are one inode. lost+found in the roots does not count. At most 20 lines.
func Compare(a, b string) ([]string, error) {
	left, err := describe(a)
	if err != nil {
		return nil, err
	}
	right, err := describe(b)
	if err != nil {
		return nil, err
	}
	var out []string
	say := func(path, format string, args ...any) {
		if len(out) < 20 {
			out = append(out, fmt.Sprintf("%q: ", path)+fmt.Sprintf(format, args...))
		}
	}
	for _, path := range names(left, right) {
		l, inLeft := left[path]
		r, inRight := right[path]
		switch {
		case !inRight:
			say(path, "only in %s", a)
		case !inLeft:
			say(path, "only in %s", b)
		default:
			compareInodes(path, l, r, say)
		}
	}
	return out, nil
}

func compareInodes(path string, l, r inode, say func(path, format string, args ...any)) {
	check := func(what string, x, y any) {
		if x != y {
			say(path, "%s is %v, and %v", what, x, y)
		}
	}
	check("mode", fmt.Sprintf("%o", l.mode), fmt.Sprintf("%o", r.mode))
	check("owner", fmt.Sprint(l.uid, ":", l.gid), fmt.Sprint(r.uid, ":", r.gid))
	check("device", l.rdev, r.rdev)
	check("size", l.size, r.size)
	check("mtime", fmt.Sprint(l.mtim), fmt.Sprint(r.mtim))
	check("symlink", l.link, r.link)
	check("content", l.sum, r.sum)
	check("attributes", l.xattrs, r.xattrs)
	check("inode flags", l.flags, r.flags)
	check("first name", l.firstName, r.firstName)
}

func names(trees ...map[string]inode) []string {
	all := map[string]bool{}
	for _, t := range trees {
		for path := range t {
			all[path] = true
		}
	}
	out := make([]string, 0, len(all))
	for path := range all {
		out = append(out, path)
	}
	sort.Strings(out)
	return out
}

// carried returns the flags that entries have: other kinds than files and directories inherit some.
func carried(st *unix.Statx_t) uint64 {
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return 0
	}
	return st.Attributes & carriedFlags
}

const carriedFlags = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND | unix.STATX_ATTR_NODUMP

// describe walks a tree by descriptors, so that depth does not matter.
func describe(root string) (map[string]inode, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]inode{}
	groups := map[uint64][]string{}
	err = describeDir(fd, ".", out, groups)
	for _, paths := range groups {
		sort.Slice(paths, func(i, j int) bool {
			return strings.ReplaceAll(paths[i], "/", "\x00") < strings.ReplaceAll(paths[j], "/", "\x00")
		})
		for _, path := range paths {
			n := out[path]
			n.firstName = paths[0]
			out[path] = n
		}
	}
	return out, err
}

func describeDir(fd int, path string, out map[string]inode, groups map[uint64][]string) error {
	defer unix.Close(fd)
	n, _, err := describeInode(fd, path)
	if err != nil {
		return err
	}
	out[path] = n
	dir := os.NewFile(uintptr(mustDup(fd)), path)
	list, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return err
	}
	for _, name := range list {
		if path == "." && name == "lost+found" {
			continue
		}
		child := path + "/" + name
		cfd, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("%q: %w", child, err)
		}
		n, st, err := describeInode(cfd, child)
		if err != nil {
			return fmt.Errorf("%q: %w", child, err)
		}
		_ = unix.Close(cfd)
		if n.mode&unix.S_IFMT == unix.S_IFDIR {
			sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
			if err != nil {
				return fmt.Errorf("%q: %w", child, err)
			}
			if err := describeDir(sub, child, out, groups); err != nil {
				return err
			}
			continue
		}
		out[child] = n
		groups[st.Ino] = append(groups[st.Ino], child)
	}
	return nil
}

func mustDup(fd int) int {
	n, err := unix.Dup(fd)
	if err != nil {
		panic(err)
	}
	return n
}

func describeInode(fd int, path string) (inode, unix.Statx_t, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return inode{}, st, err
	}
	n := inode{
		mode: uint32(st.Mode), uid: st.Uid, gid: st.Gid, mtim: unix.Timespec{Sec: st.Mtime.Sec, Nsec: int64(st.Mtime.Nsec)},
		flags: carried(&st),
	}
	var err error
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.size = int64(st.Size)
		n.sum, err = sum(fd)
	case unix.S_IFLNK:
		n.link, err = readlink(fd)
	case unix.S_IFCHR, unix.S_IFBLK:
		n.rdev = uint64(st.Rdev_major)<<32 | uint64(st.Rdev_minor)
	}
	if err != nil {
		return n, st, err
	}
	n.xattrs, err = xattrs(fd)
	return n, st, err
}

func proc(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func sum(fd int) (out [32]byte, err error) {
	f, err := os.Open(proc(fd))
	if err != nil {
		return out, err
	}
	defer f.Close()
	h := sha256.New()
	// Holes of huge files are not read: their place and length go into the sum instead.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return out, err
	}
	if size < 1<<30 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return out, err
		}
		_, err = io.Copy(h, f)
		return [32]byte(h.Sum(nil)), err
	}
	for off := int64(0); off < size; {
		start, err := f.Seek(off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return out, err
		}
		end, err := f.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return out, err
		}
		block := make([]byte, 4096)
		for at := start &^ 4095; at < end; at += 4096 {
			n, err := f.ReadAt(block, at)
			if err != nil && !errors.Is(err, io.EOF) {
				return out, err
			}
			if len(bytes.Trim(block[:n], "\x00")) > 0 {
				fmt.Fprintf(h, "%d:%d:", at, n)
				h.Write(block[:n])
			}
		}
		off = end
	}
	return [32]byte(h.Sum(nil)), nil
}

func readlink(fd int) (string, error) {
	buf := make([]byte, 8192)
	n, err := unix.Readlinkat(fd, "", buf)
	return string(buf[:max(n, 0)]), err
}

func xattrs(fd int) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Listxattr(proc(fd), buf)
	if err != nil {
		return "", err
	}
	list := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	sort.Strings(list)
	var out strings.Builder
	for _, name := range list {
		if name == "" || name == "security.selinux" {
			continue
		}
		n, err := unix.Getxattr(proc(fd), name, buf)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&out, "%s=%x ", name, buf[:n])
	}
	return out.String(), nil
}
