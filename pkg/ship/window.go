// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"
)

// framesAhead bounds how far a frame may be ahead of the one that is due.
const framesAhead = 1024

// window admits frames into memory. The frame that is due is always admitted, so that
// whatever came early never keeps it out.
type window struct {
	mu     sync.Mutex
	wake   sync.Cond
	size   int64
	used   int64
	due    uint64
	closed bool
}

func newWindow(ctx context.Context, size int64) *window {
	w := &window{size: size, due: 1}
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
	for !w.closed && seq != w.due && (w.used+cost > w.size || seq > w.due+framesAhead) {
		w.wake.Wait()
	}
	w.used += cost
	return !w.closed
}

// passed says that the next frame due is seq.
func (w *window) passed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = seq
	w.wake.Broadcast()
}

// release gives back what is not needed any more; a negative cost is taken besides.
func (w *window) release(cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= cost
	w.wake.Broadcast()
}
