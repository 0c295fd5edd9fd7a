// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// ErrXattrTooLarge: the attributes of an entry exceed what an entry may hold.
var ErrXattrTooLarge = errors.New("extended attributes too large")

// xattrs gives access to the attributes of one inode, whichever way it is reached.
type xattrs struct {
	list func(buf []byte) (int, error)
	get  func(name string, buf []byte) (int, error)
}

// FileXattrs reads the attributes of an open file (not O_PATH) that the mask keeps.
func FileXattrs(fd int, mask tree.Mask) ([]tree.Xattr, error) {
	var few [256]byte // most files have none
	if n, err := unix.Flistxattr(fd, few[:]); err == nil && n == 0 {
		return nil, nil
	}
	return xattrs{
		list: func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		get:  func(name string, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) },
	}.read(mask)
}

// PathXattrs reads the attributes of what an O_PATH descriptor stands for.
func PathXattrs(fd int, mask tree.Mask) ([]tree.Xattr, error) {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	return xattrs{
		list: func(buf []byte) (int, error) { return unix.Listxattr(path, buf) },
		get:  func(name string, buf []byte) (int, error) { return unix.Getxattr(path, name, buf) },
	}.read(mask)
}

func (x xattrs) read(mask tree.Mask) ([]tree.Xattr, error) {
	names, err := grow(x.list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var out []tree.Xattr
	total := 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if !tree.KeepXattr(name, mask) {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return x.get(name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if total += len(name) + len(value) + 8; total > tree.MaxEntry/2 {
			return nil, ErrXattrTooLarge
		}
		out = append(out, tree.Xattr{Name: name, Value: string(value)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// grow calls f with a buffer that is large enough.
func grow(f func(buf []byte) (int, error)) ([]byte, error) {
	var small [256]byte
	buf := small[:]
	for {
		n, err := f(buf)
		switch {
		case err == nil:
			return append([]byte(nil), buf[:n]...), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ERANGE) && len(buf) < 1<<20:
			buf = make([]byte, len(buf)*16)
		default:
			return nil, err
		}
	}
}
