// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets this binary be motion-agent, which starts itself twice.
func TestMain(m *testing.M) {
	if os.Getenv("MOTION_TEST_AGENT") != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// runAgent runs motion-agent and returns its exit status and its output.
func runAgent(t *testing.T, args ...string) (status int, output string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "MOTION_TEST_AGENT=1")
	out, err := c.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// assertAgent runs motion-agent and checks its exit status, and that its output contains text.
func assertAgent(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	if got, output := runAgent(t, args...); got != status || !strings.Contains(output, text) {
		t.Errorf("motion-agent %s: exit status %d instead of %d, or no %q in its output:\n%s", strings.Join(args, " "), got, status, text, output)
	}
}

func TestCopyRejectsInvalidUsage(t *testing.T) {
	assertAgent(t, 2, "accepts 2 arg(s)", "copy", "/somewhere")
	assertAgent(t, 2, "--nothing", "copy", "--nothing", "a", "b")
	assertAgent(t, 2, "xattr.trusted", "copy", "--drop", "acl,owner", "a", "b")
	assertAgent(t, 2, "must be one of", "copy", "--drop", "selinux", "a", "b")
	assertAgent(t, 1, "no such file", "copy", filepath.Join(t.TempDir(), "none"), t.TempDir())
}

func TestCopyHintsAtTheDropFlag(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	file := filepath.Join(src, "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	assertAgent(t, 0, "both ends have", "copy", src, dst)
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem without attributes can be mounted here")
		return
	}
	command := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	command("mount", "-t", "ramfs", "none", dst)
	t.Cleanup(func() { command("umount", dst) })
	state := t.TempDir()
	command("setfattr", "-n", "user.x", "-v", "1", file)
	assertAgent(t, 1, "hint: use --drop xattr.user ", "copy", "--state", state, src, dst)
	command("setfacl", "-m", "u:1234:r", file)
	assertAgent(t, 1, "hint: use --drop acl ", "copy", "--state", state, "--drop", "xattr.user", src, dst)
	assertAgent(t, 0, "both ends have", "copy", "--state", state, "--drop", "xattr.user,acl", src, dst)
	if b, err := os.ReadFile(filepath.Join(dst, "file")); err != nil || string(b) != "x" {
		t.Errorf("%q %v", b, err)
	}
}

// The status of a process that copy runs is not the status of copy: 2 means invalid usage.
func TestCopyFailsWhenAnEndCrashes(t *testing.T) {
	crash := filepath.Join(t.TempDir(), "crash")
	if err := os.WriteFile(crash, []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	src, dst := t.TempDir(), t.TempDir()
	assertAgent(t, 1, "the receiver process ended early", "copy", "--receive-with", crash, src, dst)
	assertAgent(t, 1, "the sender process ended early", "copy", "--send-with", crash, src, dst)
}
