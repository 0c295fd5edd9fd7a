// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pipe runs work in parallel, keeps its outcome in order, and bounds the memory and
// bandwidth that it takes. A panic in one of its goroutines becomes an error.
package pipe

import (
	"context"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// Ordered runs produce, which calls emit for each piece of work in order; work for many
// pieces at once; and consume for each outcome, in the order in which the pieces were
// emitted, from one goroutine. At most window pieces are between emit and the end of
// consume. The first error, or a panic turned into one, stops everything and is returned.
func Ordered[In, Out any](
	ctx context.Context, workers, window int,
	produce func(ctx context.Context, emit func(In) error) error,
	work func(ctx context.Context, in In) (Out, error),
	consume func(Out) error,
) error {
	g, ctx := WithContext(ctx)
	todo := make(chan *piece[In, Out], window)
	order := make(chan *piece[In, Out], window)
	slots := make(chan struct{}, window)
	g.Go(func() error {
		defer close(todo)
		defer close(order)
		return produce(ctx, func(in In) error {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			p := &piece[In, Out]{in: in}
			p.done.Lock()
			todo <- p // never blocks: it has as many places as there are slots
			order <- p
			return nil
		})
	})
	for range workers {
		g.Go(func() error { return drain(ctx, todo, work) })
	}
	g.Go(func() error {
		for p := range order {
			p.done.Lock()
			if p.err != nil {
				return p.err
			}
			if err := consume(p.out); err != nil {
				return err
			}
			<-slots
		}
		return nil
	})
	return g.Wait()
}

type piece[In, Out any] struct {
	in   In
	out  Out
	err  error
	done sync.Mutex // locked until out is set
}

func drain[In, Out any](ctx context.Context, todo <-chan *piece[In, Out], work func(ctx context.Context, in In) (Out, error)) error {
	for p := range todo {
		if err := context.Cause(ctx); err != nil {
			p.err = err
		} else {
			p.err = fault.Guard(func() (err error) {
				p.out, err = work(ctx, p.in)
				return err
			})
		}
		var none In
		p.in = none
		p.done.Unlock()
	}
	return nil
}
