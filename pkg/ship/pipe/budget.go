// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pipe

import (
	"context"
	"sync"
)

// Budget bounds the memory that is in use, in bytes. A request for more than all of it is
// granted once nothing else is in use, so that no request waits for ever.
type Budget struct {
	mu    sync.Mutex
	size  int64
	out   int64
	queue []*waiter
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size} }

// Acquire waits for n bytes, in the order of the calls.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.fits(n) {
		b.out += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		b.forget(w)
		return context.Cause(ctx)
	}
}

func (b *Budget) fits(n int64) bool { return b.out == 0 || b.out+n <= b.size }

func (b *Budget) forget(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // it was granted meanwhile
		b.release(w.n)
		return
	default:
	}
	for i, q := range b.queue {
		if q == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			break
		}
	}
	b.grant()
}

// Release returns n bytes.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release(n)
}

func (b *Budget) release(n int64) {
	b.out -= n
	if b.out < 0 {
		panic("internal error: more memory released than acquired")
	}
	b.grant()
}

func (b *Budget) grant() {
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		w := b.queue[0]
		b.queue = b.queue[1:]
		b.out += w.n
		close(w.ready)
	}
}

// Out returns the bytes that are in use.
func (b *Budget) Out() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out
}
