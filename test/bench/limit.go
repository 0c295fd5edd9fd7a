// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The limits are what this machine can do with bare system calls in parallel: the same ones
// that any faithful copy has to make, without a protocol, digests or a state. They are
// processes of their own, so that their start counts as it does for everybody.

// bare runs one limit: "walk", "copy", "read" or "clone", the number of workers, and paths; or
// "digest" or "tls" and a number of bytes.
func bare(args []string) error {
	if len(args) == 2 {
		n, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		switch args[0] {
		case "digest":
			return digest(n)
		case "tls":
			return encrypt(n)
		}
	}
	if len(args) < 3 {
		return errors.New("a limit, the number of workers and a path")
	}
	workers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "walk":
		return each(args[2:], func(p string) error { return walkTree(p, "", workers) })
	case "copy":
		return walkTree(args[2], args[3], workers)
	case "read":
		return splitFile(args[2], "", workers)
	case "clone":
		return splitFile(args[2], args[3], workers)
	}
	return fmt.Errorf("no limit %q", args[0])
}

// each does f for all paths at once.
func each(paths []string, f func(string) error) error {
	var group sync.WaitGroup
	failed := make([]error, len(paths))
	for i, p := range paths {
		group.Go(func() { failed[i] = f(p) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// walker visits directories in parallel, and copies them when to is not empty.
type walker struct {
	from, to string
	mu       sync.Mutex
	wake     sync.Cond
	todo     []string
	busy     int
	err      error
}

func walkTree(from, to string, workers int) error {
	w := &walker{from: from, to: to, todo: []string{"."}}
	w.wake.L = &w.mu
	var group sync.WaitGroup
	for range workers {
		group.Go(w.work)
	}
	group.Wait()
	return w.err
}

func (w *walker) work() {
	buf := make([]byte, 1<<20)
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.todo) == 0 && w.busy > 0 && w.err == nil {
			w.wake.Wait()
		}
		if len(w.todo) == 0 || w.err != nil {
			w.wake.Broadcast()
			return
		}
		dir := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.busy++
		w.mu.Unlock()
		subs, err := w.dir(dir, buf)
		w.mu.Lock()
		w.busy--
		w.todo = append(w.todo, subs...)
		if err != nil {
			w.err = err
		}
		w.wake.Broadcast()
	}
}

// dir looks at every entry of a directory, and copies the files in it.
func (w *walker) dir(path string, buf []byte) (subs []string, err error) {
	from, err := os.Open(filepath.Join(w.from, path))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to := -1
	if w.to != "" {
		if to, err = unix.Open(filepath.Join(w.to, path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return nil, err
		}
		defer unix.Close(to)
	}
	names, err := from.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	fd := int(from.Fd())
	var st unix.Statx_t
	for _, name := range names {
		if err := unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
			return nil, err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if to >= 0 {
				if err := unix.Mkdirat(to, name, uint32(st.Mode)&0o7777); err != nil && !errors.Is(err, unix.EEXIST) {
					return nil, err
				}
			}
			subs = append(subs, filepath.Join(path, name))
		case unix.S_IFREG:
			if to >= 0 {
				if err := copyFile(fd, to, name, &st, buf); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return subs, nil
}

// copyFile makes the calls that no faithful copy of a file can do without.
func copyFile(from, to int, name string, st *unix.Statx_t, buf []byte) error {
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	if _, err := unix.Flistxattr(in, buf[:256]); err != nil {
		return err
	}
	out, err := unix.Openat(to, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	for off := int64(0); off < int64(st.Size); {
		n, err := unix.Pread(in, buf[:min(int64(len(buf)), int64(st.Size)-off)], off)
		if err != nil || n == 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		if _, err := unix.Pwrite(out, buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	if err := unix.Fchmod(out, uint32(st.Mode)&0o7777); err != nil {
		return err
	}
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: st.Mtime.Sec, Nsec: int64(st.Mtime.Nsec)}}
	if err := unix.UtimesNanoAt(to, name, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var after unix.Statx_t
	if err := unix.Statx(out, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &after); err != nil {
		return err
	}
	_, err = unix.Flistxattr(out, buf[:256])
	return err
}

// splitFile reads a file in parallel, and writes it to to when that is not empty.
func splitFile(from, to string, workers int) error {
	const part = 1 << 20
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	var out *os.File
	if to != "" {
		if out, err = os.OpenFile(to, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return err
		}
		defer out.Close()
		if err := unix.Fallocate(int(out.Fd()), 0, 0, size); err != nil {
			return err
		}
	}
	var next atomic.Int64
	failed := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			buf := make([]byte, part)
			for failed[w] == nil {
				off := (next.Add(1) - 1) * part
				if off >= size {
					return
				}
				b := buf[:min(part, size-off)]
				if _, err := in.ReadAt(b, off); err != nil {
					failed[w] = err
				} else if out != nil {
					_, failed[w] = out.WriteAt(b, off)
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}
