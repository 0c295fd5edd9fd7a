// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"
)

// measureTimeout bounds how long a first sync is measured, measureChunk how many entries
// of a directory are in memory for it, and measurePending how many directories wait.
const (
	measureTimeout = 20 * time.Second
	measureChunk   = 512
	measurePending = 1 << 16
)

// closeTimeout bounds how long closing a volume waits for the measurement.
const closeTimeout = 2 * time.Second

// measureBeside measures how much there is to ship while it is being shipped, so that
// people see how long it will take. Later syncs know it from the one before. Nothing
// depends on the number: what cannot be measured is not shown.
func (s *Session) measureBeside(at *openedVolume) {
	ctx, cancel := context.WithTimeout(at.ctx, measureTimeout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if total, err := measure(ctx, at.root); err == nil {
			s.setTotal(total)
		}
	}()
	at.onClose(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(closeTimeout):
			s.log.Warn("the measurement of the volume did not stop in time")
		}
	})
}

func (s *Session) setTotal(total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Total = total
}

// errTooMany ends a measurement that would take too much memory.
var errTooMany = errors.New("too many directories to measure")

// measure sums the apparent sizes of the regular files below dir, in bytes.
// Nothing is followed out of dir: os.Root sees to it.
func measure(ctx context.Context, dir *os.File) (int64, error) {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	var total int64
	for left := []string{"."}; len(left) > 0; {
		name := left[len(left)-1]
		left = left[:len(left)-1]
		below, bytes, err := measureOne(ctx, root, name)
		if err != nil {
			return 0, err
		}
		if left = append(left, below...); len(left) > measurePending {
			return 0, errTooMany
		}
		total += bytes
	}
	return total, nil
}

// measureOne sums up one directory and returns those below it. Entries that went
// meanwhile do not count.
func measureOne(ctx context.Context, root *os.Root, name string) (below []string, total int64, err error) {
	// What was a directory may be a FIFO by now: open(2) of one waits for a writer.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, nil
	}
	defer func() { _ = f.Close() }()
	for {
		if len(below) > measurePending {
			return nil, 0, errTooMany
		}
		entries, err := f.ReadDir(measureChunk)
		for _, e := range entries {
			if e.IsDir() {
				below = append(below, path.Join(name, e.Name()))
			} else if e.Type().IsRegular() {
				if info, err := e.Info(); err == nil {
					total += info.Size()
				}
			}
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err != nil {
			return below, total, nil // io.EOF, or what cannot be read: the pass will say so
		}
	}
}
