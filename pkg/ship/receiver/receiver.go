// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package receiver executes the operations of a sync on a target: frames come in order, and and are
// checked in order; the work is done in parallel. A Journal records the
// results, in order again.
//
// What an operation needs of the target's present state it asks the survey's record, which may
// still be in the making: a frame waits until the survey has passed its paths. Only a content that
// was opened may go on over several frames, and nothing else comes in between.
package receiver

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// Workers write in parallel.
const Workers = 24

// backlog is how many frames may wait for a worker.
const backlog = 2048

// Options of an applier.
type Options struct {
	// InPlace: nothing on the target is to be protected. Otherwise it is staged.
	InPlace bool
	// Preserve takes special files; otherwise the first one is an error.
	Preserve bool
	// MaxSize bounds what the target may occupy, in bytes; 0 means its filesystem's size.
	MaxSize int64
	// Base is what the target has. It is closed with the applier.
	Base *verify.Record
	// Staged is the last number of a staged inode that an earlier session may have given.
	Staged uint64
	Count  *count.Counters
	// Fail is called with errors, from any goroutine.
	Fail func(error)
}

// Applier executes the operations of a sync: Dispatch in order, Work in parallel.
type Applier struct {
	target fswrite.Target
	o      Options
	staged atomic.Uint64 // last number of a staged inode
	got    atomic.Int64  // bytes of content so far

	// Only for the dispatcher:
	last  string // path of the last operation
	taken int64  // bytes of room for files with a block for every byte
	left  int64  // may still come before the target is looked at again
	any   bool
	open  *incoming

	work   chan *Frame
	mu     sync.Mutex // guards what follows
	wake   sync.Cond
	prefix uint64
	files  map[fswrite.File]struct{} // open contents
	over   error                     // why nothing goes on, when nothing does
}

// Frame is a frame being applied.
type Frame struct {
	Seq uint64
	// Done is called when everything in it was carried out. What it has for the Journal
	// stays in memory until it is there.
	Done func(*Frame)
	// Held is the caller's own: what that memory was counted as, in bytes.
	Held int64

	tasks   []func() error
	results []result
}

// resultSize is the memory of a result, its record and a path, in bytes, about.
const resultSize = 512

// Size is about how much memory the frame takes until the Journal has it, in bytes.
func (f *Frame) Size() int64 {
	n := int64(len(f.results)) * resultSize
	for i := range f.results {
		n += int64(len(f.results[i].rows))
	}
	return n
}

// result is what the journal must know of an operation: a record, or leaf digests of the
// content that was opened last.
type result struct {
	record *index.Record
	open   *incoming
	closes *incoming
	rows   []byte
	offset int64
	zero   int64
}

// New makes an applier for one session, which ends with ctx.
func New(ctx context.Context, target fswrite.Target, o Options) *Applier {
	a := &Applier{target: target, o: o, work: make(chan *Frame, backlog), files: map[fswrite.File]struct{}{}}
	a.staged.Store(o.Staged)
	a.wake.L = &a.mu
	context.AfterFunc(ctx, func() {
		a.mu.Lock()
		a.over = context.Cause(ctx)
		a.mu.Unlock()
		a.wake.Broadcast()
	})
	return a
}

// Got is how many bytes of content were dispatched.
func (a *Applier) Got() int64 { return a.got.Load() }

// Work applies frames until ctx ends.
func (a *Applier) Work(ctx context.Context) {
	for {
		select {
		case f := <-a.work:
			for _, task := range f.tasks {
				if err := task(); err != nil {
					a.o.Fail(err)
					return
				}
			}
			f.tasks = nil
			f.Done(f)
		case <-ctx.Done():
			return
		}
	}
}

// Reached marks all frames up to seq as applied.
func (a *Applier) Reached(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prefix = seq
	a.wake.Broadcast()
}

// after waits until all frames before seq are applied.
func (a *Applier) after(seq uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.prefix+1 < seq && a.over == nil {
		a.wake.Wait()
	}
	if a.over != nil {
		return a.over
	}
	return nil
}

// Close closes the contents that were left open, and the base. Nothing works any more.
func (a *Applier) Close() {
	for f := range a.files {
		_ = f.Close()
	}
	_ = a.o.Base.Close()
}

// Dispatch begins to apply a frame. Frames must come in order.
func (a *Applier) Dispatch(f *Frame, ops []wire.Op) error {
	for i := range ops {
		if err := a.op(f, &ops[i]); err != nil {
			return err
		}
	}
	a.work <- f
	return nil
}

// op begins one operation.
func (a *Applier) op(f *Frame, op *wire.Op) error {
	if err := a.charge(int64(len(op.Data))); err != nil {
		return err
	}
	switch op.Kind {
	case wire.OpData, wire.OpZero:
		return a.data(f, op)
	case wire.OpOpen:
		return a.begin(f, op)
	case wire.OpDelete:
		return a.remove(f, op.Path)
	default:
		return a.put(f, op)
	}
}

// charge counts n bytes of content against the target's capacity.
func (a *Applier) charge(n int64) error {
	if got := a.got.Add(n); a.o.MaxSize > 0 && got > a.o.MaxSize {
		return fault.New(fault.TargetFull, "the source sent more than the target's capacity of %d bytes", a.o.MaxSize)
	}
	return a.admit(n)
}

// put begins the operation that gives a path its entry.
func (a *Applier) put(f *Frame, op *wire.Op) error {
	if err := a.checkOrder(op.Entry.Path, op.Content == wire.ContentOpen); err != nil {
		return err
	}
	if err := a.permitted(&op.Entry); err != nil {
		return err
	}
	if op.Content == wire.ContentOpen {
		return a.complete(f, op)
	}
	base, err := a.base(op.Entry.Path)
	if err != nil {
		return err
	}
	a.o.Count.Changed.Add(1)
	switch op.Entry.Kind {
	case tree.Image:
		return fault.New(fault.PeerRejected, "an image without content")
	case tree.Dir:
		return a.directory(f, op, base)
	case tree.Hardlink:
		return a.link(f, op)
	case tree.File:
		if op.Content == wire.ContentKept {
			return a.keep(f, op, base)
		}
		return a.whole(f, op, base)
	default:
		return a.special(f, op)
	}
}

// permitted fails when policy or filesystem of the target exclude an entry.
func (a *Applier) permitted(e *tree.Entry) error {
	if what := tree.Special(e); what != "" && !a.o.Preserve {
		return fault.At(fault.SpecialFileRefused, e.Path, nil, "it is "+what+", which the policy of the target refuses")
	}
	return a.target.Holds(e)
}

// base returns what the target has at path, or a record of kind 0.
func (a *Applier) base(path string) (index.Record, error) {
	r, ok, err := a.o.Base.Find(path)
	if err != nil || !ok {
		return index.Record{}, err
	}
	return r, nil
}

// leastRoom is what may come between two looks at the target, as a part of its
// capacity: a full one is not walked for every file that is rewritten.
const leastRoom = 64

// admit keeps what stands on the target, what is staged beside it and what this and
// earlier sessions sent within the capacity, where the filesystem does not. What is
// being written at the moment is not seen.
func (a *Applier) admit(n int64) error {
	if a.o.MaxSize <= 0 || n == 0 {
		return nil
	}
	if a.left -= n; a.left >= 0 {
		return nil
	}
	used, bounded, err := a.target.Usage(a.o.MaxSize)
	if err != nil {
		return err
	}
	switch {
	case bounded:
		a.left = math.MaxInt64
	case used > a.o.MaxSize:
		return fault.New(fault.TargetFull, "the target uses %d bytes, more than its capacity of %d", used, a.o.MaxSize)
	default:
		a.left = max(a.o.MaxSize-used, a.o.MaxSize/leastRoom)
	}
	return nil
}

// checkOrder checks that paths ascend, and that nothing comes between the operations of a content.
func (a *Applier) checkOrder(path string, closes bool) error {
	if closes {
		if a.open == nil || a.open.path != path {
			return fault.At(fault.PeerRejected, path, nil, "end of a content that is not open")
		}
		return nil
	}
	if a.open != nil || a.any && path <= a.last {
		return fault.At(fault.PeerRejected, path, nil, "operation out of order")
	}
	a.last, a.any = path, true
	return nil
}
