// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package count counts what a sync does while it runs, and reports its progress. Its counters may
// be used from any goroutine.
package count

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
)

// Statistics are the progress of a sync. Each end fills in what it knows.
type Statistics struct {
	// Entries scanned so far; TotalEntries is the base's count, 0 when unknown.
	Entries, TotalEntries int64
	// ScannedBytes is the size of all content scanned, ReadBytes how much of it was read. At a
	// target the latter is what had to be read of the target itself.
	ScannedBytes, ReadBytes int64
	// Changed entries: sent whole, in part, as metadata only, or as a deletion.
	Changed int64
	// SentBytes is content before compression, WireBytes what crossed the connections.
	SentBytes, WireBytes int64
	// ChangedDuringRead entries changed while they were read; FirstChangedPath is one of them.
	ChangedDuringRead int64
	FirstChangedPath  string
	// Elapsed since the sync began.
	Elapsed time.Duration
}

// Counters are the source of Statistics while a sync runs. Entries to Sent and Wire are counted
// where the work is done.
type Counters struct {
	start                                        time.Time
	Entries, Total, Scanned, Read, Changed, Sent atomic.Int64
	Wire, unstable                               atomic.Int64

	mu           sync.Mutex
	firstChanged string
}

// New starts counting.
func New() *Counters { return &Counters{start: time.Now()} }

// AddChangedDuringRead counts an entry that changed while it was read.
func (c *Counters) AddChangedDuringRead(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unstable.Add(1) == 1 {
		c.firstChanged = path
	}
}

// ChangedDuringRead is the number of those entries.
func (c *Counters) ChangedDuringRead() int64 { return c.unstable.Load() }

// Restart resets what each session counts on its own; bytes stay.
func (c *Counters) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range []*atomic.Int64{&c.Entries, &c.Scanned, &c.Changed, &c.unstable} {
		n.Store(0)
	}
	c.firstChanged = ""
}

// Statistics returns the progress so far.
func (c *Counters) Statistics() Statistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Statistics{
		Entries: c.Entries.Load(), TotalEntries: c.Total.Load(), ScannedBytes: c.Scanned.Load(), ReadBytes: c.Read.Load(),
		Changed: c.Changed.Load(), SentBytes: c.Sent.Load(), WireBytes: c.Wire.Load(),
		ChangedDuringRead: c.unstable.Load(), FirstChangedPath: c.firstChanged, Elapsed: time.Since(c.start),
	}
}

// Report calls progress about once a second, and once more when stop is called. A panic of
// progress ends the reports, and is logged.
func (c *Counters) Report(progress func(Statistics), log *slog.Logger) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := pipe.Group{Failed: func(err error) { fault.LogPanic(log, err) }}
	done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(c.Statistics())
			case <-ctx.Done():
				progress(c.Statistics())
				return
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// Reader adds what is read through it to N.
type Reader struct {
	io.Reader
	N *atomic.Int64
}

func (r Reader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.N.Add(int64(n))
	return n, err
}
