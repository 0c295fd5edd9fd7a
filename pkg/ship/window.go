// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"
)

// framesAhead bounds how far a frame may be ahead of the one that is due, in frames.
const framesAhead = 1024

// window admits frames into memory. Frames that arrive before their turn are released only after
// the one that is due has arrived, so they never keep that one out. Frames whose turn has come are
// released as they are applied, and admission waits for that.
type window struct {
	mu      sync.Mutex
	changed sync.Cond
	size    int64
	used    int64
	due     uint64
	early   map[uint64]int64 // cost of the frames whose turn has not come
	ahead   int64            // the sum of early
	closed  bool
}

func newWindow(ctx context.Context, size int64) *window {
	w := &window{size: size, due: 1, early: map[uint64]int64{}}
	w.changed.L = &w.mu
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.changed.Broadcast()
	})
	return w
}

// admit waits until there is room for frame seq; false means that the session is over.
func (w *window) admit(seq uint64, cost int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && !w.fits(seq, cost) {
		w.changed.Wait()
	}
	w.take(seq, cost)
	return !w.closed
}

func (w *window) fits(seq uint64, cost int64) bool {
	if w.used+cost <= w.size && seq <= w.due+framesAhead {
		return true
	}
	return seq == w.due && w.used == w.ahead // nothing is released before it has arrived
}

// grow corrects the cost of an admitted frame; a negative cost makes it smaller.
func (w *window) grow(seq uint64, cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(seq, cost)
	if cost < 0 {
		w.changed.Broadcast()
	}
}

func (w *window) take(seq uint64, cost int64) {
	w.used += cost
	if seq >= w.due {
		w.early[seq] += cost
		w.ahead += cost
	}
}

// passed records that the turn of all frames before seq has come.
func (w *window) passed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.due < seq; w.due++ {
		w.ahead -= w.early[w.due]
		delete(w.early, w.due)
	}
	w.changed.Broadcast()
}

// release returns cost of a frame whose turn has come; a negative cost is added to it.
func (w *window) release(cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= cost
	w.changed.Broadcast()
}
