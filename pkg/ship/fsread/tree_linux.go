// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// lostFound is mkfs's and fsck's directory in the root of some filesystems; it belongs to
// the filesystem, not to its content.
const lostFound = "lost+found"

// stagePrefix and 16 hex digits are the name of a stage directory in a target's root. It is
// no part of any view, also when what made it is gone.
const stagePrefix = ".kubectl-motion-stage."

// StageName makes the name of a stage directory.
func StageName(random uint64) string { return fmt.Sprintf("%s%016x", stagePrefix, random) }

// IsStage says whether a name in the root is that of a stage directory.
func IsStage(name string) bool {
	hex, ok := strings.CutPrefix(name, stagePrefix)
	return ok && len(hex) == 16 && strings.Trim(hex, "0123456789abcdef") == ""
}

// Tree is a View of a directory tree.
type Tree struct {
	root    int
	info    Info
	mask    tree.Mask
	noatime uint64
	// maxNames is the constant, but for tests.
	maxNames int
}

// OpenTree makes a view of the directory root, which stays the caller's to close after
// the view. What other filesystems are mounted below is an error; lost+found in the root is
// left out. Unless o.CutUnixNano is set, the filesystem is synced.
func OpenTree(root *os.File, o Options) (*Tree, error) {
	t := &Tree{root: int(root.Fd()), maxNames: maxNames}
	var st unix.Statx_t
	if err := StatFD(t.root, &st); err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "look at the source's root")
	}
	if kindOf(st.Mode) != tree.Dir {
		return nil, fault.New(fault.Unreadable, "the source is not a directory")
	}
	fs, err := filesystem(t.root)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "look at the source's filesystem")
	}
	t.info = Info{ChangeDetection: o.ChangeDetection, Live: o.Live, Trusted: fs.trusted, Filesystem: fs.name}
	t.info.Cut, err = cut(t.root, o)
	if err != nil {
		return nil, fault.Wrap(fault.Unreadable, err, "sync the source's filesystem")
	}
	if fd, err := openat2(t.root, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME); err == nil {
		_ = unix.Close(fd)
		t.noatime = unix.O_NOATIME
	}
	return t, nil
}

// cut takes the moment before which a settled stamp must lie, and makes it true.
func cut(fd int, o Options) (tree.Time, error) {
	if o.CutUnixNano != 0 {
		return tree.Time{}.Add(o.CutUnixNano), nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return tree.Time{}, err
	}
	return tree.Time{Sec: now.Sec, Nsec: uint32(now.Nsec)}, unix.Syncfs(fd)
}

// Info describes the view.
func (t *Tree) Info() Info { return t.info }

// LeaveOut says which attributes are no part of what the view describes.
func (t *Tree) LeaveOut(mask tree.Mask) { t.mask = mask }

// Close ends the view; the root's descriptor stays open.
func (t *Tree) Close() error { return nil }

// Root gives the root's node.
func (t *Tree) Root() (Node, error) {
	var st unix.Statx_t
	if err := StatFD(t.root, &st); err != nil {
		return Node{}, fault.At(fault.Unreadable, "", err, "stat")
	}
	return t.node("", &st), nil
}

func (t *Tree) node(path string, st *unix.Statx_t) Node {
	n := NodeOf(path, st)
	n.Stamp.Settled = t.info.settles(n.Stamp)
	return n
}

// Details fills in attributes and a symlink's target.
func (t *Tree) Details(n *Node) error {
	fd, err := OpenBeneath(t.root, n.Path, unix.O_PATH)
	if err != nil {
		return unreadable(n.Path, err, "open")
	}
	defer unix.Close(fd)
	if err := t.same(fd, n); err != nil {
		return err
	}
	if n.Kind == tree.Symlink {
		if n.Link, err = readlink(fd); err != nil {
			return unreadable(n.Path, err, "read the symlink")
		}
	}
	if n.Xattrs, err = PathXattrs(fd, t.mask); err != nil {
		return unreadable(n.Path, err, "read the attributes")
	}
	return nil
}

// same checks that fd is the inode that was listed as n.
func (t *Tree) same(fd int, n *Node) error {
	var st unix.Statx_t
	if err := StatFD(fd, &st); err != nil {
		return unreadable(n.Path, err, "stat")
	}
	if st.Ino != n.Stamp.Ino || kindOf(st.Mode) != n.Kind && n.Kind != tree.Hardlink {
		return &ChangedError{Path: n.Path}
	}
	return nil
}

func readlink(fd int) (string, error) {
	buf := make([]byte, 512)
	for {
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// ChangedError says that an entry is no longer what it was when its directory was read.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string { return fault.Show(e.Path) + ": it changed while it was read" }

// unreadable types an error of the source; what vanished has moved.
func unreadable(path string, err error, what string) error {
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return &ChangedError{Path: path}
	case errors.Is(err, unix.EXDEV):
		return fault.At(fault.Unreadable, path, nil, "another filesystem is mounted here; unmount it or ship it as a volume of its own")
	}
	return fault.At(fault.Unreadable, path, err, what)
}

// Open opens a regular file.
func (t *Tree) Open(n *Node) (Content, error) {
	c, err := t.OpenListed(n)
	if err != nil {
		return nil, err
	}
	f := c.(*file)
	if err := t.same(f.fd, n); err != nil {
		_ = c.Close()
		return nil, err
	}
	f.past = openPast(f.fd, n.Size)
	return f, nil
}

// OpenListed is Open for whoever looks at the inode after reading it: it may not be the one
// that was listed.
func (t *Tree) OpenListed(n *Node) (Content, error) {
	fd, err := OpenBeneath(t.root, n.Path, unix.O_RDONLY|unix.O_NONBLOCK|t.noatime)
	if errors.Is(err, unix.EPERM) && t.noatime != 0 {
		fd, err = OpenBeneath(t.root, n.Path, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil, unreadable(n.Path, err, "open")
	}
	return &file{t: t, fd: fd, path: n.Path, past: -1}, nil
}

type file struct {
	t      *Tree
	fd     int
	path   string
	past   int // -1, or a descriptor to read with past the page cache
	direct *direct
}

func (f *file) Close() error {
	if f.direct != nil {
		_ = unix.Close(f.direct.fd)
	}
	if f.past >= 0 {
		_ = unix.Close(f.past)
	}
	return unix.Close(f.fd)
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if f.direct != nil {
		return f.direct.readAt(f, b, off)
	}
	done := readPast(f.past, b, off)
	n, err := readAt(f.fd, b[done:], off+int64(done))
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.At(fault.Unreadable, f.path, err, fmt.Sprintf("read at %d", off))
	}
	return done + n, err
}

func readAt(fd int, b []byte, off int64) (done int, err error) {
	for done < len(b) {
		n, err := unix.Pread(fd, b[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *file) Node() (Node, error) {
	var st unix.Statx_t
	if err := StatFD(f.fd, &st); err != nil {
		return Node{}, unreadable(f.path, err, "stat")
	}
	return f.t.node(f.path, &st), nil
}

func (f *file) Details(n *Node) (err error) {
	if n.Xattrs, err = FileXattrs(f.fd, f.t.mask); err != nil {
		return unreadable(f.path, err, "read the attributes")
	}
	return nil
}

func (f *file) NextData(off int64) (start, end int64, err error) { return nextData(f.fd, off) }

// nextData asks the filesystem where data is. Whoever cannot tell has data everywhere.
func nextData(fd int, off int64) (start, end int64, err error) {
	start, err = unix.Seek(fd, off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		size, err := unix.Seek(fd, 0, io.SeekEnd)
		return max(size, off), max(size, off), err
	}
	if err != nil {
		size, err := unix.Seek(fd, 0, io.SeekEnd)
		return off, max(size, off), err
	}
	end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	return start, end, err
}

// ReadDir opens a directory and reads all its names.
func (t *Tree) ReadDir(path string) (Dir, error) {
	fd, err := OpenBeneath(t.root, path, unix.O_RDONLY|unix.O_DIRECTORY|t.noatime)
	if err != nil {
		return nil, unreadable(path, err, "open the directory")
	}
	d := &dir{t: t, fd: fd, path: path, names: names{limit: t.maxNames}}
	if err := d.names.read(fd); err != nil {
		_ = unix.Close(fd)
		return nil, unreadable(path, err, "read the directory")
	}
	return d, nil
}

type dir struct {
	t     *Tree
	fd    int
	path  string
	names names
}

func (d *dir) Close() error { return unix.Close(d.fd) }

func (d *dir) Next(limit int) ([]Node, error) {
	batch, err := d.names.take(d.fd, limit)
	if err != nil {
		return nil, unreadable(d.path, err, "read the directory")
	}
	if len(batch) == 0 {
		return nil, io.EOF
	}
	paths := d.names.paths(d.path, batch)
	nodes := make([]Node, len(batch))
	found := make([]bool, len(batch))
	// In order of inodes a cold disk is read forwards.
	order := make([]int, len(batch))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if batch[a].ino < batch[b].ino {
			return -1
		}
		return 1
	})
	var st unix.Statx_t
	for _, i := range order {
		err := statxPtr(d.fd, d.names.ptr(batch[i]), 0, &st)
		if errors.Is(err, unix.ENOENT) && d.t.info.Live {
			nodes[i].Path, found[i] = paths[i], true
			continue
		}
		if err != nil {
			return nil, unreadable(paths[i], err, "stat")
		}
		if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
			return nil, unreadable(paths[i], unix.EXDEV, "stat")
		}
		nodes[i], found[i] = d.t.node(paths[i], &st), !d.t.leftOut(d.path, paths[i], &st)
	}
	return compact(nodes, found), nil
}

func compact(nodes []Node, keep []bool) []Node {
	k := 0
	for i := range nodes {
		if keep[i] {
			if k != i {
				nodes[k] = nodes[i]
			}
			k++
		}
	}
	return nodes[:k]
}

func (t *Tree) leftOut(dir, path string, st *unix.Statx_t) bool {
	if dir != "" {
		return false
	}
	return kindOf(st.Mode) == tree.Dir && (path == lostFound || IsStage(path))
}

// maxNames is how many names of one directory are kept in memory. A larger directory is
// read again for each so many of them: that costs reading, and no memory.
const maxNames = 256 << 10

// names are the names of one directory, packed: with a limit only the next so many in order.
type names struct {
	bytes []byte
	list  []name
	limit int    // 0: none
	after string // names up to this one were taken
	more  bool   // there are names beyond those in list
}

type name struct {
	at, n uint32 // in bytes, which holds a NUL behind each
	ino   uint64
}

const direntHead = int(unsafe.Offsetof(unix.Dirent{}.Name))

func (s *names) read(fd int) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		s.parse(buf[:n])
		if s.limit > 0 && len(s.list) >= 2*s.limit {
			s.cut()
		}
	}
	s.sort()
	if s.limit > 0 && len(s.list) > s.limit {
		s.cut()
	}
	return nil
}

func (s *names) sort() {
	slices.SortFunc(s.list, func(a, b name) int { return strings.Compare(s.text(a), s.text(b)) })
}

// cut keeps the first names in order, and their bytes alone.
func (s *names) cut() {
	s.sort()
	s.list, s.more = s.list[:s.limit], true
	bytes := make([]byte, 0, len(s.bytes)/2)
	for i, n := range s.list {
		at := len(bytes)
		bytes = append(bytes, s.bytes[n.at:n.at+n.n+1]...)
		s.list[i].at = uint32(at)
	}
	s.bytes = bytes
}

// again reads the names behind those that were taken.
func (s *names) again(fd int) error {
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return err
	}
	s.bytes, s.list, s.more = nil, nil, false
	return s.read(fd)
}

func (s *names) parse(buf []byte) {
	for len(buf) > direntHead {
		d := (*unix.Dirent)(unsafe.Pointer(&buf[0]))
		raw := buf[direntHead:d.Reclen]
		n := 0
		for n < len(raw) && raw[n] != 0 {
			n++
		}
		if text := raw[:n]; string(text) != "." && string(text) != ".." && (s.after == "" || string(text) > s.after) {
			s.list = append(s.list, name{at: uint32(len(s.bytes)), n: uint32(n), ino: d.Ino})
			s.bytes = append(append(s.bytes, text...), 0)
		}
		buf = buf[d.Reclen:]
	}
}

func (s *names) text(n name) string {
	return unsafe.String(&s.bytes[n.at], int(n.n))
}

func (s *names) ptr(n name) *byte { return &s.bytes[n.at] }

func (s *names) take(fd, limit int) ([]name, error) {
	if len(s.list) == 0 && s.more {
		if err := s.again(fd); err != nil {
			return nil, err
		}
	}
	batch := s.list[:min(limit, len(s.list))]
	s.list = s.list[len(batch):]
	if len(s.list) == 0 && s.more && len(batch) > 0 {
		s.after = strings.Clone(s.text(batch[len(batch)-1]))
	}
	return batch, nil
}

// paths makes the paths of a batch out of one piece of memory.
func (s *names) paths(dir string, batch []name) []string {
	total := 0
	for _, n := range batch {
		total += len(dir) + 1 + int(n.n)
	}
	var b strings.Builder
	b.Grow(total)
	out := make([]string, len(batch))
	for i, n := range batch {
		from := b.Len()
		if dir != "" {
			b.WriteString(dir)
			b.WriteByte(0)
		}
		b.WriteString(s.text(n))
		out[i] = b.String()[from:]
	}
	return out
}

// EachName calls f for each name in an open directory, in the order in which they lie there,
// and holds only a few of them at a time. f may remove the name it is given.
func EachName(fd int, f func(name string) error) error {
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		var s names
		s.parse(buf[:n])
		for _, each := range s.list {
			if err := f(s.text(each)); err != nil {
				return err
			}
		}
	}
}
