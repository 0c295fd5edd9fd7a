// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
)

// pipeline applies the frames of a session: it dispatches them in order, and passes what was
// applied to the journal, in order again.
type pipeline struct {
	transport *transport
	journal   *journal
	events    events
	applier   *receiver.Applier
	queue     chan *arrivedFrame

	mu      sync.Mutex
	applied map[uint64]*receiver.Frame // whose turn has not come

	// Only for the driver:
	last    uint64            // frame that was dispatched last; 0 when there was none
	prefix  uint64            // all frames up to it are applied
	through uint64            // the frame that the sync under way covers; 0 when there is none
	held    []*receiver.Frame // wait for the end of that sync
}

func newPipeline(t *transport, j *journal, ev events) *pipeline {
	return &pipeline{
		transport: t, journal: j, events: ev, queue: make(chan *arrivedFrame, 2*framesAhead), applied: map[uint64]*receiver.Frame{},
	}
}

// open makes the applier and starts its workers. recorded is what the target is known to have.
func (p *pipeline) open(x *receiveSession, head index.Head, recorded index.Iterator) {
	p.applier = receiver.New(x.ctx, x.target, receiver.Options{
		InPlace: x.inPlace, Preserve: x.o.SpecialFiles == Preserve, MaxSize: x.o.MaxBytes, Staged: head.Staged,
		Base: verify.NewRecord(index.NewCursor(recorded), x.survey.found), Count: x.count, Fail: x.failed,
	})
	for range receiver.Workers {
		x.group.Go(func() { p.applier.Work(x.ctx) })
	}
}

func (p *pipeline) close() {
	if p.applier != nil {
		p.applier.Close()
	}
}

// overCapacity reports whether the source has sent more than limit bytes, which the target may
// not hold in place either; 0 means no limit.
func (p *pipeline) overCapacity(limit int64) bool {
	return p.applier != nil && limit > 0 && p.applier.Got() > limit
}

// apply queues a frame whose turn has come. The window keeps the queue from filling up.
func (p *pipeline) apply(seq uint64) {
	p.last = seq
	p.queue <- p.transport.take(seq)
}

// dispatchAll passes frames to the applier, in order, until ctx ends. Before the first it
// calls begin.
func (p *pipeline) dispatchAll(ctx context.Context, begin func() error, fail func(error)) {
	for first := true; ; first = false {
		var f *arrivedFrame
		select {
		case f = <-p.queue:
		case <-ctx.Done():
			return
		}
		var err error
		if first {
			err = begin()
		}
		if err == nil {
			err = p.applier.Dispatch(&receiver.Frame{Seq: f.seq, Done: p.done(ctx, f)}, f.ops)
		}
		if err != nil {
			fail(err)
			return
		}
	}
}

// done returns what is called when all operations of a frame are applied.
func (p *pipeline) done(ctx context.Context, f *arrivedFrame) func(*receiver.Frame) {
	return func(a *receiver.Frame) {
		p.transport.recycle(f)
		// During a sync, what was applied waits for the journal: of a million small files that
		// is more than their frames were.
		a.Held = a.Size()
		p.transport.window.release(f.cost - a.Held)
		p.mu.Lock()
		p.applied[a.Seq] = a
		p.mu.Unlock()
		p.events.put(ctx, session.Applied{Seq: a.Seq})
	}
}

// takeApplied passes on what is applied, in order: to the operations that wait for it, and to
// the journal, but not beyond what a sync under way covers.
func (p *pipeline) takeApplied() {
	for {
		p.mu.Lock()
		a := p.applied[p.prefix+1]
		delete(p.applied, p.prefix+1)
		p.mu.Unlock()
		if a == nil {
			break
		}
		p.prefix++
		p.held = append(p.held, a)
	}
	p.applier.Reached(p.prefix)
	p.passToJournal()
}

// syncDone ends the sync under way.
func (p *pipeline) syncDone() {
	p.through = 0
	p.passToJournal()
}

func (p *pipeline) passToJournal() {
	for len(p.held) > 0 && (p.through == 0 || p.held[0].Seq <= p.through) {
		p.journal.add(p.held[0])
		p.held = p.held[1:]
	}
}
