// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// CheckApart returns an error when a sync from source to target would read what it writes: when
// they are the same, one is inside the other, or one of the states is inside either. Paths that do
// not exist yet count as being in their nearest parent that does. Directories are compared by
// identity, and as well by their path within the filesystem, which bind mounts do not hide. What
// another filesystem is mounted on is not part of a tree.
func CheckApart(source, target string, states ...string) error {
	s, err := locate(source)
	if err != nil {
		return err
	}
	t, err := locate(target)
	if err != nil {
		return err
	}
	reject := func(format string, args ...any) error {
		return fault.New(fault.TargetUnsupported, format, args...)
	}
	switch {
	case s.same(t):
		return reject("source %q and target %q are the same", source, target)
	case s.inside(t):
		return reject("source %q is inside target %q", source, target)
	case t.inside(s):
		return reject("target %q is inside source %q", target, source)
	}
	for _, state := range states {
		at, err := locate(state)
		if err != nil {
			return err
		}
		if at.same(s) || at.inside(s) {
			return reject("state directory %q is inside source %q", state, source)
		}
		if at.same(t) || at.inside(t) {
			return reject("state directory %q is inside target %q", state, target)
		}
	}
	return nil
}

// location is where a path leads.
type location struct {
	// exists: chain begins with the object itself. Otherwise it begins with its nearest parent.
	exists bool
	// rdev of a block device, 0 of anything else.
	rdev uint64
	// chain is the object and its parent directories, within one mount.
	chain []inode
	// path within the filesystem of dev; "" when it is unknown.
	path string
	dev  uint64
}

type inode struct{ dev, ino uint64 }

func (l *location) same(other *location) bool {
	if !l.exists || !other.exists {
		return false
	}
	return l.chain[0] == other.chain[0] || l.rdev != 0 && l.rdev == other.rdev
}

// inside reports whether l is below the directory other.
func (l *location) inside(other *location) bool {
	if !other.exists {
		return false
	}
	for i, in := range l.chain {
		if in == other.chain[0] && (i > 0 || !l.exists) {
			return true
		}
	}
	if l.path == "" || other.path == "" || l.dev != other.dev {
		return false
	}
	return strings.HasPrefix(l.path, strings.TrimSuffix(other.path, "/")+"/")
}

func locate(path string) (*location, error) {
	resolved, rest, err := resolve(path)
	if err != nil {
		return nil, err
	}
	l := &location{exists: rest == ""}
	var mount uint64
	for at := resolved; ; at = filepath.Dir(at) {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, at, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st); err != nil {
			return nil, &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		in := inode{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
		if len(l.chain) == 0 {
			mount, l.dev = st.Mnt_id, in.dev
			if l.exists && st.Mode&unix.S_IFMT == unix.S_IFBLK {
				l.rdev = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
			}
		} else if st.Mnt_id != mount {
			break
		}
		l.chain = append(l.chain, in)
		if at == "/" {
			break
		}
	}
	if inFS, ok := pathInFilesystem(resolved, mount); ok {
		l.path = filepath.Join(inFS, rest)
	}
	return l, nil
}

// resolve follows the links of the part of path that exists; rest is what does not exist yet.
func resolve(path string) (resolved, rest string, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return "", "", err
	}
	for {
		resolved, err = filepath.EvalSymlinks(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return resolved, rest, err
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = filepath.Dir(path)
	}
}

// pathInFilesystem returns where an absolute path is within the filesystem of a mount.
func pathInFilesystem(path string, mount uint64) (string, bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[0] != strconv.FormatUint(mount, 10) {
			continue
		}
		root, point := unescape(fields[3]), unescape(fields[4])
		below, err := filepath.Rel(point, path)
		if err != nil || strings.HasPrefix(below, "..") {
			return "", false
		}
		return filepath.Join(root, below), true
	}
	return "", false
}

// mountinfoEscapes are the characters that mountinfo escapes in octal.
var mountinfoEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return mountinfoEscapes.Replace(s) }
