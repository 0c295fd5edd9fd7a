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

// agent runs motion-agent and gives its exit status and what it said.
func agent(t *testing.T, args ...string) (status int, said string) {
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

func expect(t *testing.T, status int, said string, args ...string) {
	t.Helper()
	if got, text := agent(t, args...); got != status || !strings.Contains(text, said) {
		t.Errorf("motion-agent %s: status %d instead of %d, or it does not say %q:\n%s", strings.Join(args, " "), got, status, said, text)
	}
}

func TestCopySaysWhatIsWrongWithItsCommandLine(t *testing.T) {
	expect(t, 2, "accepts 2 arg(s)", "copy", "/somewhere")
	expect(t, 2, "--nothing", "copy", "--nothing", "a", "b")
	expect(t, 2, "xattr.trusted", "copy", "--drop", "acl,owner", "a", "b")
	expect(t, 2, "these can be left out", "copy", "--drop", "selinux", "a", "b")
	expect(t, 1, "no such file", "copy", filepath.Join(t.TempDir(), "none"), t.TempDir())
}

func TestCopyNamesTheFlagThatLeavesOutWhatTheTargetCannotHold(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	file := filepath.Join(src, "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, 0, "both ends have", "copy", src, dst)
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
	expect(t, 1, "hint: --drop xattr.user ", "copy", "--state", state, src, dst)
	command("setfacl", "-m", "u:1234:r", file)
	expect(t, 1, "hint: --drop acl ", "copy", "--state", state, "--drop", "xattr.user", src, dst)
	expect(t, 0, "both ends have", "copy", "--state", state, "--drop", "xattr.user,acl", src, dst)
	if b, err := os.ReadFile(filepath.Join(dst, "file")); err != nil || string(b) != "x" {
		t.Errorf("%q %v", b, err)
	}
}
