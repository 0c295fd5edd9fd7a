// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestANetworkThatTheHostUsesIsNotTaken(t *testing.T) {
	const routes = `default via 192.0.2.1 dev eth0
10.213.0.0/30 dev mlab0-1 proto kernel scope link src 10.213.0.1
172.16.0.0/12 via 192.0.2.9 dev eth0
local 10.220.7.7 dev lo table local proto kernel scope host
`
	for network, want := range map[string]bool{
		"10.213.0.0/16": true, "10.214.0.0/16": false, "10.220.0.0/16": true, "172.20.0.0/16": true, "192.168.0.0/16": false,
	} {
		if got := inUse(routes, network); got != want {
			t.Errorf("inUse(%s) = %v, want %v", network, got, want)
		}
	}
	if !inUse("10.0.0.0/8 via 192.0.2.1 dev eth0\n", "10.214.0.0/16") {
		t.Error("a wider route of the host was overlooked")
	}
}

func TestAFolderWithoutALabSaysHowToMakeOne(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir)
	if !errors.Is(err, ErrNoLab) || !strings.Contains(err.Error(), "motion-lab up --dir "+dir) {
		t.Errorf("error is %v", err)
	}
}

func TestADamagedLabFileIsNotTakenForNoLab(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lab.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || errors.Is(err, ErrNoLab) {
		t.Errorf("error is %v", err)
	}
}

func TestOneLabIsWorkedOnByOneCommandAtATime(t *testing.T) {
	dir := t.TempDir()
	release, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "another motion-lab") {
		t.Errorf("a second lock: %v", err)
	}
	release()
	release, err = lock(dir)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	release()
}

func TestAProgramIsCopiedOnlyWhenItChanged(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	put := func(content string, date time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(from, []byte(content), 0o755), os.Chtimes(from, date, date)); err != nil {
			t.Fatal(err)
		}
		if err := copyIfChanged(from, to); err != nil {
			t.Fatal(err)
		}
	}
	inode := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(to)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	put("one", time.Unix(1000, 0))
	first := inode()
	put("one", time.Unix(1000, 0))
	if !os.SameFile(first, inode()) {
		t.Error("an unchanged program was copied again")
	}
	put("two", time.Unix(2000, 0))
	data, err := os.ReadFile(to)
	if err != nil || string(data) != "two" {
		t.Errorf("the changed program is %q, %v", data, err)
	}
	if os.SameFile(first, inode()) {
		t.Error("a program that may be running was overwritten in place")
	}
	if inode().Mode().Perm() != 0o755 {
		t.Errorf("mode is %v", inode().Mode())
	}
}

func TestTheEndOfALogIsItsLastLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if got := tail(file); got != "" {
		t.Errorf("a missing log reads %q", got)
	}
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(tail(file), "\n")
	if len(got) != 15 || got[0] != "line 85" || got[14] != "line 99" {
		t.Errorf("got %d lines from %q to %q", len(got), got[0], got[len(got)-1])
	}
}
