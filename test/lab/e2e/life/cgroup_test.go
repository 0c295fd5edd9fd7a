//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package life

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/test/lab/cgroup"
	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

// TestProcessesAreKilledAndCgroupsRemovedOnEachVersionThatThisMachineHas uses the kernel's own cgroups. On a hybrid
// machine both versions can be tried.
func TestProcessesAreKilledAndCgroupsRemovedOnEachVersionThatThisMachineHas(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var v1, v2 strings.Builder
	for line := range strings.Lines(string(mounts)) {
		switch {
		case strings.Contains(line, " - cgroup2 "):
			v2.WriteString(line)
		case strings.Contains(line, " - cgroup "):
			v1.WriteString(line)
		}
	}
	for version, text := range map[string]string{"version 1": v1.String(), "version 2": v2.String()} {
		if text == "" {
			t.Logf("this machine has no cgroup %s", version)
			continue
		}
		t.Run(version, func(t *testing.T) {
			tree, err := cgroup.Parse(text)
			must(t, err)
			const path = "/motion-lab-test"
			must(t, tree.Make(path+"/a/b"))
			t.Cleanup(func() { tree.Kill(path); _ = tree.Remove(path) })
			cmd := exec.Command("sleep", "1000")
			must(t, cmd.Start())
			must(t, tree.Enter(path+"/a/b", cmd.Process.Pid))
			if got := tree.Processes(path); len(got) != 1 || got[0] != cmd.Process.Pid {
				t.Errorf("processes are %v, want %d", got, cmd.Process.Pid)
			}
			if err := tree.Remove(path); err == nil {
				t.Error("a cgroup with a process in it was removed")
			}
			tree.Kill(path)
			if err := cmd.Wait(); err == nil {
				t.Error("the process ended by itself")
			}
			labtest.Eventually(t, "the removal", func() error { return tree.Remove(path) })
			if left := tree.Dirs(path); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
