// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package count counts what a pass does while it runs, for those who want to know how far it is.
// Its counters may be used from any goroutine.
package count

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Statistics say how far a pass is. Each end fills in what it knows.
type Statistics struct {
	// Entries seen so far; TotalEntries is the base's count, 0 when unknown.
	Entries, TotalEntries int64
	// ScannedBytes is the size of all content seen; ReadBytes what was read of it. At a
	// target the latter is what had to be read of the target itself.
	ScannedBytes, ReadBytes int64
	// Changed entries: sent whole, in part, as metadata only, or as a deletion.
	Changed int64
	// SentBytes is content before compression, WireBytes what crossed the connections.
	SentBytes, WireBytes int64
	// Moved entries changed while they were read; MovedPath is the first of them.
	Moved     int64
	MovedPath string
	// Elapsed since the pass began.
	Elapsed time.Duration
}

// Counters are what Figures are made of while a pass runs. Entries to Sent and Wire are
// counted by whoever does the work.
type Counters struct {
	start                                        time.Time
	Entries, Total, Scanned, Read, Changed, Sent atomic.Int64
	Wire, moved                                  atomic.Int64

	mu        sync.Mutex
	movedPath string
}

// New begins to count now.
func New() *Counters { return &Counters{start: time.Now()} }

// Move counts an entry that changed while it was read.
func (c *Counters) Move(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved.Add(1) == 1 {
		c.movedPath = path
	}
}

// Moved is how many those were.
func (c *Counters) Moved() int64 { return c.moved.Load() }

// Restart sets what is counted anew in each session; bytes stay, they were spent.
func (c *Counters) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range []*atomic.Int64{&c.Entries, &c.Scanned, &c.Changed, &c.moved} {
		n.Store(0)
	}
	c.movedPath = ""
}

// Statistics says how far it is.
func (c *Counters) Statistics() Statistics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Statistics{
		Entries: c.Entries.Load(), TotalEntries: c.Total.Load(), ScannedBytes: c.Scanned.Load(), ReadBytes: c.Read.Load(),
		Changed: c.Changed.Load(), SentBytes: c.Sent.Load(), WireBytes: c.Wire.Load(),
		Moved: c.moved.Load(), MovedPath: c.movedPath, Elapsed: time.Since(c.start),
	}
}

// Report calls progress about once a second until the function it gives is called.
func (c *Counters) Report(progress func(Statistics)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
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
