// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the two processes that know of a freeze.
const (
	asKeeper = "MOTION_FREEZE_TEST_KEEPER"
	asAgent  = "MOTION_FREEZE_TEST_AGENT"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asKeeper) != "":
		if err := Keep(context.Background(), os.Getenv(asKeeper), slog.New(slog.DiscardHandler)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(asAgent) != "":
		agent(os.Getenv(asAgent), os.Args[1])
	default:
		os.Exit(m.Run())
	}
}

// agent freezes for as long as possible, says so and stays.
func agent(socket, volume string) {
	root, err := os.Open(volume)
	if err == nil {
		_, err = Hold(context.Background(), socket, root, MaxHold)
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, "failed:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "frozen")
	select {}
}

// volume is an XFS of its own.
func volume(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("filesystems are root's to mount")
	}
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run(t, "truncate", "-s", "300M", image)
	run(t, "mkfs.xfs", "-q", image)
	run(t, "mount", "-o", "loop", image, at)
	t.Cleanup(func() {
		if f, err := os.Open(at); err == nil {
			_, _ = thaw(int(f.Fd())) // a failed test must not leave it frozen
			_ = f.Close()
		}
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return at
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// process starts this binary as one of the two, and waits for its first line.
func process(t *testing.T, role, socket string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	c.Env = append(os.Environ(), role+"="+socket)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	if role == asAgent {
		line := make([]byte, 200)
		n, err := out.Read(line)
		if err != nil || !strings.HasPrefix(string(line[:n]), "frozen") {
			t.Fatalf("the agent says %q: %v", line[:n], err)
		}
	}
	return c
}

// keeper starts one, and waits until it listens.
func keeper(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	c := process(t, asKeeper, socket)
	await(t, "a keeper that listens", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unixpacket", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return c, socket
}

// patience is shorter than the longest freeze: what ends one within it is not the
// end of its time.
const timeout = MaxHold / 2

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !f(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("there is not: %s", what)
		}
	}
}

// frozen says whether the filesystem is, and leaves it so. Nobody freezes twice.
func frozen(t *testing.T, at string) bool {
	t.Helper()
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	err = freeze(int(f.Fd()))
	if errors.Is(err, unix.EBUSY) {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thaw(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	return false
}

func hold(t *testing.T, socket, at string, d time.Duration) *Frozen {
	t.Helper()
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Hold(t.Context(), socket, root, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return f
}

func TestAFilesystemStandsStillUntilItIsReleased(t *testing.T) {
	at := volume(t)
	_, socket := keeper(t)
	f := hold(t, socket, at, MaxHold)
	if !frozen(t, at) {
		t.Error("it is not frozen")
	}
	if held, err := f.Release(); !held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
	if frozen(t, at) {
		t.Error("it is frozen after its release")
	}
}

func TestAKilledAgentLeavesNoFrozenFilesystem(t *testing.T) {
	at := volume(t)
	_, socket := keeper(t)
	a := process(t, asAgent, socket, at)
	if !frozen(t, at) {
		t.Fatal("the agent froze nothing")
	}
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "a thawed filesystem", func() bool { return !frozen(t, at) })
}

func TestAKilledKeeperLeavesNoFrozenFilesystemAndTheAgentKnowsThatItWasNotHeld(t *testing.T) {
	at := volume(t)
	k, socket := keeper(t)
	f := hold(t, socket, at, MaxHold)
	if err := k.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "a thawed filesystem", func() bool { return !frozen(t, at) })
	if held, err := f.Release(); held || err == nil {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestNoFreezeOutlastsItsTimeAndWhoeverComesLateIsTold(t *testing.T) {
	at := volume(t)
	_, socket := keeper(t)
	f := hold(t, socket, at, time.Millisecond)
	await(t, "a thawed filesystem", func() bool { return !frozen(t, at) })
	<-f.done
	if held, err := f.Release(); held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestASecondFreezeIsRefusedAndTheFirstGoesOn(t *testing.T) {
	at := volume(t)
	_, socket := keeper(t)
	first := hold(t, socket, at, MaxHold)
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if _, err := Hold(t.Context(), socket, root, MaxHold); err == nil {
		t.Error("it is frozen twice")
	}
	if _, err := Hold(t.Context(), socket, root, 2*MaxHold); err == nil {
		t.Error("a freeze without end is taken")
	}
	if held, err := first.Release(); !held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestOnlyAFilesystemOfTheVolumesOwnIsFrozen(t *testing.T) {
	const pods = `1 0 254:0 / / rw - overlay o rw
2 1 8:1 /var/lib/kubelet/pods /host/pods rw - ext4 /dev/sda1 rw
3 1 8:1 /var/lib/kubectl-motion /var/lib/kubectl-motion rw - ext4 /dev/sda1 rw
`
	for name, test := range map[string]struct {
		mounts string
		own    bool
	}{
		"a disk of its own, seen twice":            {"9 2 8:2 / /host/pods/u/volume-subpaths/pv/c/0 rw - xfs x rw\n8 2 8:2 / /host/pods/u/volumes/p/pv rw - xfs x rw\n", true},
		"a folder of a disk":                       {"9 2 8:2 /pv /host/pods/u/volume-subpaths/pv/c/0 rw - xfs x rw\n", false},
		"a disk with folders that are others'":     {"9 2 8:2 / /host/pods/u/volumes/p/pv rw - xfs x rw\n8 2 8:2 /x /host/pods/v/volumes/p/x rw - xfs x rw\n", false},
		"the node's own":                           {"9 2 8:1 / /host/pods/u/volume-subpaths/pv/c/0 rw - ext4 x rw\n", false},
		"a disk that is seen outside of the pods'": {"9 2 8:2 / /host/pods/u/volumes/p/pv rw - xfs x rw\n8 1 8:2 / /etc/hosts rw - xfs x rw\n", false},
		"nothing that is mounted":                  {"8 2 8:2 / /host/pods/u/volumes/p/pv rw - xfs x rw\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := own(pods+test.mounts, "9", "/host/pods"); (err == nil) != test.own {
				t.Errorf("error %v", err)
			}
		})
	}
}
