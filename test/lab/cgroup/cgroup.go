// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup makes and removes the lab's part of the cgroup tree, on version 1 (one hierarchy per controller) and
// version 2 (one for all).
//
// Every process of a lab, pods included, lives below one cgroup of its own. That is what makes it safe to clean up
// after a lab whose supervisor was killed: what is in there is ours, regardless of its process ID or name.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Tree is the machine's cgroup setup.
type Tree struct {
	unified     bool
	hierarchies []string // where the lab's cgroups are made
	all         []string // where container runtimes may have made some below them
}

// Detect reads the machine's cgroup mounts.
func Detect() (*Tree, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return Parse(string(mounts))
}

// Parse reads mountinfo (see proc(5)): the mount point is field 5, the type follows the " - ". Version 1 wins when
// both are mounted, because a hybrid machine keeps its controllers there; runc uses the version 2 mount as well.
func Parse(mountinfo string) (*Tree, error) {
	var v1 []string
	v2 := ""
	seen := map[string]bool{}
	for line := range strings.Lines(mountinfo) {
		head, tail, ok := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		if !ok || len(fields) < 5 || seen[fields[4]] || !strings.HasPrefix(fields[4], "/sys/fs/cgroup") {
			continue
		}
		seen[fields[4]] = true
		switch {
		case strings.HasPrefix(tail, "cgroup2 "):
			v2 = fields[4]
		case strings.HasPrefix(tail, "cgroup "):
			v1 = append(v1, fields[4])
		}
	}
	switch {
	case len(v1) > 0:
		all := v1
		if v2 != "" {
			all = append(slices.Clone(v1), v2)
		}
		return &Tree{hierarchies: v1, all: all}, nil
	case v2 != "":
		return &Tree{unified: true, hierarchies: []string{v2}, all: []string{v2}}, nil
	}
	return nil, errors.New("no cgroup filesystem is mounted below /sys/fs/cgroup")
}

// Unified reports whether the machine uses cgroup version 2.
func (t *Tree) Unified() bool { return t.unified }

// Make creates the cgroup at path, and its parents, in every hierarchy.
func (t *Tree) Make(path string) error {
	for _, root := range t.hierarchies {
		if err := t.makeIn(root, path); err != nil {
			return fmt.Errorf("make cgroup %s: %w", filepath.Join(root, path), err)
		}
	}
	return nil
}

func (t *Tree) makeIn(root, path string) error {
	dir := root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if t.unified {
			if err := enableControllers(dir); err != nil {
				return err
			}
		}
		parent := dir
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := inheritCPUSet(parent, dir); err != nil {
			return err
		}
	}
	return nil
}

// enableControllers hands every controller that dir has down to its children. Only version 2 asks for this, and it
// refuses while dir itself holds processes, unless dir is the real root.
func enableControllers(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var wanted []string
	for name := range strings.FieldsSeq(string(available)) {
		wanted = append(wanted, "+"+name)
	}
	if len(wanted) == 0 {
		return nil
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	err = os.WriteFile(control, []byte(strings.Join(wanted, " ")), 0)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w: processes live in %s itself, so cgroup version 2 cannot divide it; "+
			"on a machine that is itself a container, start it with its own leaf cgroup for them", err, dir)
	}
	return err
}

// inheritCPUSet copies the CPUs and memory nodes of the parent: a fresh version 1 cpuset has none, and takes no process
// until it has.
func inheritCPUSet(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.TrimSpace(string(have)) != "" {
			continue // not a cpuset hierarchy, or already set
		}
		if _, err := os.Stat(filepath.Join(dir, name+".effective")); err == nil {
			continue // version 2: empty means "as the parent"
		}
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// Enter moves a process into the cgroup at path, in every hierarchy.
func (t *Tree) Enter(path string, pid int) error {
	for _, root := range t.hierarchies {
		file := filepath.Join(root, path, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// Dirs returns the existing cgroup directories at and below path, in every hierarchy, deepest first.
func (t *Tree) Dirs(path string) []string {
	var dirs []string
	for _, root := range t.all {
		_ = filepath.WalkDir(filepath.Join(root, path), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil // what vanished while we looked needs no removing
		})
	}
	sort.SliceStable(dirs, func(i, j int) bool {
		return strings.Count(dirs[i], "/") > strings.Count(dirs[j], "/")
	})
	return dirs
}

// Processes returns the ids of all processes at and below path.
func (t *Tree) Processes(path string) []int {
	seen := map[int]bool{}
	var pids []int
	for _, dir := range t.Dirs(path) {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err == nil && pid > 0 && !seen[pid] {
				seen[pid] = true
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Kill sends SIGKILL to every process at and below path but the caller, and returns how many there were.
func (t *Tree) Kill(path string) int {
	pids := t.Processes(path)
	for _, pid := range pids {
		if pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return len(pids)
}

// Remove removes the cgroups at and below path, deepest first. They must hold no process.
func (t *Tree) Remove(path string) error {
	var errs []error
	for _, dir := range t.Dirs(path) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
