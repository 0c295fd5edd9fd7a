// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// running supervises processes, with a socket, until the test ends.
func running(t *testing.T, processes ...Process) (*Set, string) {
	t.Helper()
	for i := range processes {
		processes[i].Log = filepath.Join(t.TempDir(), "log")
	}
	s := New(processes)
	ctx, cancel := context.WithCancel(context.Background())
	socket := filepath.Join(t.TempDir(), "s")
	if err := s.Serve(ctx, socket); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, socket
}

func shell(name, script string) Process {
	return Process{Name: name, Path: "/bin/sh", Args: []string{"-c", script}}
}

// until asks for a process' status until the condition holds.
func until(t *testing.T, socket, name, what string, ok func(Status) bool) Status {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		all, err := Ask(socket, "status", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Name == name && ok(s) {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never %s: %+v", name, what, all)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // this is how a state is waited for
	}
}

func runs(s Status) bool { return s.PID != 0 }

func TestWhatDiesIsStartedAgain(t *testing.T) {
	_, socket := running(t, shell("sleeper", "exec sleep 1000"))
	first := until(t, socket, "sleeper", "ran", runs)
	p, err := os.FindProcess(first.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	second := until(t, socket, "sleeper", "ran again", func(s Status) bool { return runs(s) && s.PID != first.PID })
	if second.Restarts != 1 {
		t.Errorf("restarts = %d, want 1", second.Restarts)
	}
}

func TestWhatWasStoppedStaysStoppedUntilItIsStarted(t *testing.T) {
	_, socket := running(t, shell("sleeper", "exec sleep 1000"))
	until(t, socket, "sleeper", "ran", runs)
	if _, err := Ask(socket, "stop", "sleeper"); err != nil {
		t.Fatal(err)
	}
	stopped := until(t, socket, "sleeper", "stopped", func(s Status) bool { return !s.Wanted })
	if stopped.PID != 0 || stopped.Restarts != 0 {
		t.Errorf("after a stop: %+v", stopped)
	}
	if _, err := Ask(socket, "start", "sleeper"); err != nil {
		t.Fatal(err)
	}
	until(t, socket, "sleeper", "ran again", runs)
}

func TestAStopEndsWhatIgnoresBeingAskedTo(t *testing.T) {
	_, socket := running(t, shell("deaf", "trap '' TERM; while :; do sleep 1; done"))
	until(t, socket, "deaf", "ran", runs)
	if _, err := Ask(socket, "stop", "deaf"); err != nil {
		t.Fatal(err)
	}
	if s := until(t, socket, "deaf", "stopped", func(s Status) bool { return !s.Wanted }); s.PID != 0 {
		t.Errorf("it still runs: %+v", s)
	}
}

func TestAProcessIsNotStartedBeforeItIsReadyAndSaysWhy(t *testing.T) {
	var open atomic.Bool
	p := shell("waiter", "exec sleep 1000")
	p.Ready = func() error {
		if open.Load() {
			return nil
		}
		return errors.New("the door is closed")
	}
	_, socket := running(t, p)
	until(t, socket, "waiter", "waited", func(s Status) bool { return !runs(s) && s.Note == "waits: the door is closed" })
	open.Store(true)
	until(t, socket, "waiter", "ran", runs)
}

func TestAProcessWhoseSetupFailsIsKilledAndTriedAgain(t *testing.T) {
	var tries atomic.Int32
	p := shell("fussy", "exec sleep 1000")
	p.Started = func(int) error {
		if tries.Add(1) == 1 {
			return errors.New("no cable")
		}
		return nil
	}
	_, socket := running(t, p)
	s := until(t, socket, "fussy", "ran", func(s Status) bool { return runs(s) && tries.Load() == 2 })
	log, err := os.ReadFile(s.Log)
	if err != nil || !strings.Contains(string(log), "no cable") {
		t.Errorf("the log says %q, %v", log, err)
	}
}

func TestAnEndedProcessLeavesItsReasonAndItsLog(t *testing.T) {
	_, socket := running(t, shell("failing", "echo it broke >&2; exit 3"))
	s := until(t, socket, "failing", "failed", func(s Status) bool { return s.Note == "exit status 3" })
	log, err := os.ReadFile(s.Log)
	if err != nil || !strings.HasPrefix(string(log), "it broke\n") {
		t.Errorf("the log says %q, %v", log, err)
	}
}

func TestEverythingEndsWithTheSupervision(t *testing.T) {
	s := New([]Process{shell("a", "exec sleep 1000"), shell("b", "exec sleep 1000")})
	for _, m := range s.members {
		m.Log = filepath.Join(t.TempDir(), "log")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	var pids []int
	for _, status := range s.Status() {
		pids = append(pids, status.PID)
	}
	cancel()
	<-done
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); pid != 0 && err == nil {
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestUnknownNamesAndVerbsAreRefused(t *testing.T) {
	_, socket := running(t, shell("sleeper", "exec sleep 1000"))
	if _, err := Ask(socket, "stop", "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("stop nobody: %v", err)
	}
	if _, err := Ask(socket, "dance", "sleeper"); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("dance: %v", err)
	}
}
