// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// counters are what Figures are made of while a pass runs.
type counters struct {
	start                                        time.Time
	entries, total, scanned, read, changed, sent atomic.Int64
	wire, moved                                  atomic.Int64

	mu        sync.Mutex
	movedPath string
}

func newCounters() *counters { return &counters{start: time.Now()} }

func (c *counters) move(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved.Add(1) == 1 {
		c.movedPath = path
	}
}

// restart sets what is counted anew in each session; bytes stay, they were spent.
func (c *counters) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range []*atomic.Int64{&c.entries, &c.scanned, &c.changed, &c.moved} {
		n.Store(0)
	}
	c.movedPath = ""
}

func (c *counters) figures() Figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Figures{
		Entries: c.entries.Load(), TotalEntries: c.total.Load(), ScannedBytes: c.scanned.Load(), ReadBytes: c.read.Load(),
		Changed: c.changed.Load(), SentBytes: c.sent.Load(), WireBytes: c.wire.Load(),
		Moved: c.moved.Load(), MovedPath: c.movedPath, Elapsed: time.Since(c.start),
	}
}

// report calls progress about once a second until the function it gives is called.
func (c *counters) report(progress func(Figures)) (stop func()) {
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
				progress(c.figures())
			case <-ctx.Done():
				progress(c.figures())
				return
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.n.Add(int64(n))
	return n, err
}
