// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	v1Mounts = "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n" +
		"31 30 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" +
		"32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	v2Mount     = "30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	hybridMount = "33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestTheVersionInUseIsFoundFromTheMounts(t *testing.T) {
	for _, c := range []struct {
		name, mounts string
		unified      bool
		make, sweep  []string
	}{
		{
			"version 1", v1Mounts, false,
			[]string{"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/memory"},
			[]string{"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/memory"},
		},
		{"version 2", v2Mount, true, []string{"/sys/fs/cgroup"}, []string{"/sys/fs/cgroup"}},
		{
			"hybrid", v1Mounts + hybridMount, false,
			[]string{"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/memory"},
			[]string{"/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"},
		},
		{"mounted twice", v2Mount + v2Mount, true, []string{"/sys/fs/cgroup"}, []string{"/sys/fs/cgroup"}},
	} {
		tree, err := Parse(c.mounts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if tree.Unified() != c.unified || !slices.Equal(tree.hierarchies, c.make) || !slices.Equal(tree.all, c.sweep) {
			t.Errorf("%s: %+v", c.name, tree)
		}
	}
	if _, err := Parse("25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"); err == nil {
		t.Error("a machine without cgroups was accepted")
	}
}

// pretend makes folders that look like one hierarchy, so that what is written can be read again.
func pretend(t *testing.T, unified bool, files map[string]string) (*Tree, string) {
	t.Helper()
	root := t.TempDir()
	write(t, root, files)
	return &Tree{unified: unified, hierarchies: []string{root}, all: []string{root}}, root
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestOnVersion2ControllersAreHandedDown(t *testing.T) {
	tree, root := pretend(t, true, map[string]string{"cgroup.controllers": "cpuset cpu memory pids\n"})
	if err := tree.Make("/lab"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "cgroup.subtree_control"); got != "+cpuset +cpu +memory +pids" {
		t.Errorf("the root hands down %q", got)
	}
	// The kernel would list in the child what the parent handed down.
	write(t, filepath.Join(root, "lab"), map[string]string{"cgroup.controllers": "memory pids\n"})
	if err := tree.Make("/lab/node"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "lab", "cgroup.subtree_control"); got != "+memory +pids" {
		t.Errorf("the lab hands down %q", got)
	}
}

func TestOnVersion1AFreshCPUSetInheritsFromItsParent(t *testing.T) {
	tree, root := pretend(t, false, map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"})
	if err := os.Mkdir(filepath.Join(root, "lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "lab"), map[string]string{"cpuset.cpus": "\n", "cpuset.mems": "\n"})
	if err := tree.Make("/lab"); err != nil {
		t.Fatal(err)
	}
	if cpus, mems := read(t, root, "lab", "cpuset.cpus"), read(t, root, "lab", "cpuset.mems"); cpus != "0-1" || mems != "0" {
		t.Errorf("the lab's cpuset is %q on %q", cpus, mems)
	}
}

func TestACPUSetThatWasNarrowedOnPurposeStaysSo(t *testing.T) {
	tree, root := pretend(t, false, map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"})
	if err := os.Mkdir(filepath.Join(root, "lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "lab"), map[string]string{"cpuset.cpus": "1\n", "cpuset.mems": "0\n"})
	if err := tree.Make("/lab"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "lab", "cpuset.cpus"); got != "1" {
		t.Errorf("the lab's cpuset became %q", got)
	}
}

func TestDirectoriesAreListedDeepestFirstSoThatTheyCanBeRemoved(t *testing.T) {
	tree, root := pretend(t, false, nil)
	for _, dir := range []string{"lab/a/pod/container", "lab/b", "other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Remove("/lab"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "lab")); !os.IsNotExist(err) {
		t.Errorf("the lab's cgroup is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "other")); err != nil {
		t.Errorf("somebody else's cgroup is gone: %v", err)
	}
	if err := tree.Remove("/lab"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}
