// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestAMeasureCountsFilesAndFollowsNothing(t *testing.T) {
	top, outside := t.TempDir(), t.TempDir()
	write := func(name string, n int) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range measureChunk + 10 {
		write(filepath.Join(top, "many", fmt.Sprint(i)), 1)
	}
	write(filepath.Join(top, "a", "b", "c"), 1000)
	write(filepath.Join(outside, "big"), 1<<20)
	if err := os.Symlink(outside, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	if got, err := measure(t.Context(), dir); err != nil || got != measureChunk+10+1000 {
		t.Errorf("%d bytes, error %v", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure(ended, dir); err == nil {
		t.Error("a measure that was stopped said a number")
	}
}

func TestMeasure(t *testing.T) {
	top := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(top, "was-a-directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	t.Run("a directory that was replaced by a FIFO does not block", func(t *testing.T) {
		done := make(chan int64, 1)
		go func() {
			_, total, _ := measureOne(t.Context(), root, "was-a-directory")
			done <- total
		}()
		select {
		case total := <-done:
			if total != 0 {
				t.Errorf("%d bytes", total)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("the measurement waits for a writer of the FIFO")
		}
	})
}
