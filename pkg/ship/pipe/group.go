// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pipe

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// ErrGroup is an errgroup.Group whose goroutines turn a panic into an error.
type ErrGroup struct{ group *errgroup.Group }

// WithContext makes an ErrGroup and a context that ends with its first error.
func WithContext(ctx context.Context) (*ErrGroup, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &ErrGroup{g}, ctx
}

// Go starts f.
func (g *ErrGroup) Go(f func() error) {
	g.group.Go(func() error { return fault.Guard(f) })
}

// Wait waits for all goroutines and returns the first error.
func (g *ErrGroup) Wait() error { return g.group.Wait() }

// Group is a sync.WaitGroup whose goroutines pass a panic, as an error, to Failed.
type Group struct {
	// Failed is called from the goroutine that panicked, and must not block for long.
	Failed func(error)

	wait sync.WaitGroup
}

// Go starts f.
func (g *Group) Go(f func()) {
	g.wait.Go(func() {
		if err := fault.Guard(func() error { f(); return nil }); err != nil {
			g.Failed(err)
		}
	})
}

// Wait waits for all goroutines.
func (g *Group) Wait() { g.wait.Wait() }
