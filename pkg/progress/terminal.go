// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// terminal keeps one line per volume at the bottom of the screen and prints
// everything else above them.
type terminal struct {
	mu   sync.Mutex
	pool *mpb.Progress
	bars map[string]*bar
}

type bar struct {
	*mpb.Bar
	mu   sync.Mutex
	last VolumeProgress
	rate meter
}

func newTerminal(w io.Writer) *terminal {
	return &terminal{
		pool: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(24)),
		bars: map[string]*bar{},
	}
}

func (s *terminal) Emit(e Event) {
	if e.Type != Volume {
		_, _ = fmt.Fprintln(s.pool, Escape(decorate(e)))
		return
	}
	s.barOf(e.Volume.Claim).show(e)
}

func (s *terminal) barOf(claim string) *bar {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, found := s.bars[claim]; found {
		return b
	}
	b := &bar{}
	b.Bar = s.pool.AddBar(1, mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return " " + Escape(volumeText(b.last, b.rate))
	})))
	s.bars[claim] = b
	return b
}

func (b *bar) show(e Event) {
	b.mu.Lock()
	if b.last.Sync != e.Volume.Sync {
		b.rate = meter{}
	}
	b.last = *e.Volume
	b.rate.add(e.Time, e.Volume.DoneBytes)
	b.mu.Unlock()
	// A bar that reaches its total is finished for good, but another pass may
	// follow: only Close completes it.
	total := max(e.Volume.TotalBytes, e.Volume.DoneBytes, 1)
	b.SetTotal(total+1, false)
	b.SetCurrent(e.Volume.DoneBytes)
}

func (s *terminal) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bars {
		b.Abort(false)
	}
	s.pool.Wait()
}
