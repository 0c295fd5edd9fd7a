// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

const (
	// writers is how many requests are under way at the same time. It is the limit
	// instead of a rate: the API server's priority and fairness guards it, and a
	// rate would make a quick server wait. Sixteen keep a server nearby busy that has
	// nothing else to do; a busy or a distant one takes more (decision 0030).
	writers = 64
	// writersBytes is how many bytes of objects they carry together, so that objects
	// of 1 MiB do not fill the memory of either end.
	writersBytes = 16 << 20
)

// Lanes run requests about objects side by side, bounded by their number and by
// what the objects weigh. The context ends with the first error.
type Lanes struct {
	group *errgroup.Group
	ctx   context.Context // the group's
	room  *semaphore.Weighted
}

// NewLanes returns Lanes and the context for what runs in them.
func NewLanes(ctx context.Context) (*Lanes, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	return &Lanes{group: group, ctx: ctx, room: semaphore.NewWeighted(writersBytes)}, ctx
}

// Go runs f about an object of so many bytes, and waits until there is room for it.
// After an error, or the end of the context, nothing more is run.
func (l *Lanes) Go(weight int, f func() error) {
	n := min(int64(weight), writersBytes)
	if l.room.Acquire(l.ctx, n) != nil {
		return // Wait says why
	}
	l.group.Go(func() error {
		defer l.room.Release(n)
		return f()
	})
}

// Wait returns the first error, or why the context ended.
func (l *Lanes) Wait() error {
	ended := context.Cause(l.ctx)
	if err := l.group.Wait(); err != nil {
		return err
	}
	return ended
}
