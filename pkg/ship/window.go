// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"
)

// framesAhead bounds how far a frame may be ahead of the one that is due.
const framesAhead = 1024

// window admits frames into memory. What frames take that came before their turn is given back
// only after the one that is due has come, so these never keep it out; what those take whose turn
// has come is given back by itself, and is waited for.
type window struct {
	mu     sync.Mutex
	wake   sync.Cond
	size   int64
	used   int64
	due    uint64
	early  map[uint64]int64 // what frames take whose turn has not come
	ahead  int64            // the sum of early
	closed bool
}

func newWindow(ctx context.Context, size int64) *window {
	w := &window{size: size, due: 1, early: map[uint64]int64{}}
	w.wake.L = &w.mu
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.wake.Broadcast()
	})
	return w
}

// admit waits until there is room for frame seq; false means the session is over.
func (w *window) admit(seq uint64, cost int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && !w.fits(seq, cost) {
		w.wake.Wait()
	}
	w.take(seq, cost)
	return !w.closed
}

func (w *window) fits(seq uint64, cost int64) bool {
	if w.used+cost <= w.size && seq <= w.due+framesAhead {
		return true
	}
	return seq == w.due && w.used == w.ahead // nothing is given back before it has come
}

// grow counts what an admitted frame takes besides.
func (w *window) grow(seq uint64, cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(seq, cost)
}

func (w *window) take(seq uint64, cost int64) {
	w.used += cost
	if seq >= w.due {
		w.early[seq] += cost
		w.ahead += cost
	}
}

// passed says that the turn of all frames before seq has come.
func (w *window) passed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.due < seq; w.due++ {
		w.ahead -= w.early[w.due]
		delete(w.early, w.due)
	}
	w.wake.Broadcast()
}

// release gives back what is not needed any more of a frame whose turn has come; a negative
// cost is taken besides.
func (w *window) release(cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= cost
	w.wake.Broadcast()
}
