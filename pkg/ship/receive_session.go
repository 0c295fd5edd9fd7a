// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// events is the queue of a session's driver.
type events chan session.Input

func newEvents() events { return make(events, 1024) }

// put queues an input; it gives up when ctx ends, because then the session is over.
func (e events) put(ctx context.Context, in session.Input) {
	select {
	case e <- in:
	case <-ctx.Done():
	}
}

// receiveSession drives one session of a receiver: it passes events to the protocol machine,
// and carries out the actions with its four parts.
type receiveSession struct {
	*receiveEnd
	ctx     context.Context
	cancel  context.CancelCauseFunc
	group   pipe.Group
	machine *session.Receiver
	events  events

	transport *transport
	pipeline  *pipeline
	journal   *journal
	survey    *survey

	mask    tree.Mask
	inPlace bool
	// stageFull: the session ended because the stage does not fit beside the verified copy.
	stageFull bool
}

func newReceiveSession(ctx context.Context, r *receiveEnd, c *greeted, inPlace bool) *receiveSession {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &receiveSession{
		receiveEnd: r, ctx: ctx, cancel: cancel, machine: session.NewReceiver(inPlace), events: newEvents(), inPlace: inPlace,
	}
	x.group.Failed = x.failed
	x.transport = newTransport(ctx, c, r, x.events)
	x.transport.start = x.group.Go
	x.journal = newJournal(r.store)
	x.pipeline = newPipeline(x.transport, x.journal, x.events)
	x.survey = newSurvey(ctx, x)
	r.count.Restart()
	return x
}

func (x *receiveSession) failed(err error) {
	fault.LogPanic(x.log, err)
	x.events.put(x.ctx, session.Failed{Err: err})
}

// run drives the session to its end.
func (x *receiveSession) run() error {
	x.group.Go(func() { x.transport.readControl(x.ctx) })
	x.group.Go(x.transport.out.run)
	x.group.Go(func() { x.transport.sendAlive(x.ctx) })
	err := fault.Guard(x.drive)
	if fault.LogPanic(x.log, err) {
		return x.report(err)
	}
	return err
}

// drive takes events until the session is over.
func (x *receiveSession) drive() error {
	for {
		for _, a := range x.machine.Ready() {
			if end, ok := a.(session.End); ok {
				return x.report(end.Err)
			}
			if err := x.act(a); err != nil {
				x.machine.Step(session.Failed{Err: err})
			}
		}
		if x.machine.Ended() {
			continue
		}
		select {
		case in := <-x.events:
			switch in.(type) {
			case session.Applied:
				x.pipeline.takeApplied()
			case session.Persisted:
				x.pipeline.syncDone()
			}
			x.machine.Step(in)
		case <-x.ctx.Done():
			return context.Cause(x.ctx)
		}
	}
}

// report sends the error that ends the session to the source, unless it came from there.
func (x *receiveSession) report(err error) error {
	var known *fault.Error
	if err != nil && !errors.As(err, &known) {
		err = fault.Wrap(fault.Internal, err, "receive the volume")
		errors.As(err, &known)
	}
	if x.stageIsFull(known) {
		known = fault.New(fault.ConnectionLost, "the increment does not fit beside the verified copy; it continues in place")
		x.transport.out.last(failure(known))
		return known
	}
	if known != nil && !known.Remote && known.Reason != fault.ConnectionLost && known.Reason != fault.Cancelled {
		x.transport.out.last(failure(known))
	}
	return err
}

// close ends everything the session started, and waits for it.
func (x *receiveSession) close() {
	x.cancel(errLost)
	x.transport.close()
	x.group.Wait()
	x.pipeline.close()
	x.journal.close()
}

// act carries out an action of the protocol machine. It does not wait: what takes long runs
// in a goroutine and reports through an event.
func (x *receiveSession) act(a session.Action) error {
	switch a := a.(type) {
	case session.Send:
		if _, ok := a.M.(wire.Committed); ok {
			x.over = true
		}
		x.transport.out.push(a.M)
	case session.Survey:
		return x.begin(a.Hello)
	case session.Apply:
		x.pipeline.apply(a.Seq)
	case session.Sync:
		x.pipeline.through = a.Through
		x.answer(func() (session.Input, error) { return x.sync(a.Through) })
	case session.Persist:
		x.journal.persist(a.Through)
	case session.Judge:
		x.answer(x.judge)
	case session.WriteCommit:
		x.answer(func() (session.Input, error) { return session.CommitWritten{}, x.writeCommit(a.Digest) })
	case session.RollForward:
		x.answer(x.rollForward)
	case session.WriteVerification:
		x.answer(func() (session.Input, error) { return x.verify(a.Digest) })
	}
	return nil
}

// answer runs f in a goroutine and queues its outcome.
func (x *receiveSession) answer(f func() (session.Input, error)) {
	x.group.Go(func() {
		in, err := f()
		if err != nil {
			in = session.Failed{Err: err}
		}
		x.events.put(x.ctx, in)
	})
}

// begin checks the source's Hello, answers it, and starts the survey.
func (x *receiveSession) begin(h wire.Hello) error {
	if h.Sync != x.o.Sync {
		return fault.New(fault.PeerRejected, "the source ships sync %d, the target expects sync %d", h.Sync, x.o.Sync)
	}
	if err := compatible(h, x.target); err != nil {
		return err
	}
	x.mask = h.Mask
	if err := x.target.Probe(h.Mask, h.Size); err != nil {
		return err
	}
	head, err := x.usableHead()
	if err != nil {
		return err
	}
	if head, err = x.openStage(head); err != nil {
		return err
	}
	w := wire.Welcome{InPlace: x.inPlace, Entries: head.Entries}
	if digest, ok := parseDigest(head.Digest); ok && head.Phase == index.Whole {
		w.Whole, w.Verified = true, digest
		w.Same = h.Known && h.Have == digest
	}
	x.count.Total.Store(head.Entries)
	if err := x.prepare(head); err != nil {
		return err
	}
	x.transport.out.push(w)
	x.answer(func() (session.Input, error) { return session.Surveyed{}, x.survey.run(x.ctx, head, w.Same) })
	return nil
}

// compatible returns why a target cannot take the source that sent h, or nil.
func compatible(h wire.Hello, target fswrite.Target) error {
	switch {
	case h.Mask&^tree.AllMasks != 0:
		return fault.New(fault.PeerVersionMismatch, "the source leaves out attributes that this version does not know (mask %#x)", h.Mask&^tree.AllMasks)
	case h.Image && !target.Image():
		return fault.New(fault.TargetUnsupported, "the source is a device or image file, the target is a directory")
	case !h.Image && target.Image():
		return fault.New(fault.TargetUnsupported, "the source is a directory, the target is a device or image file")
	case h.Image && h.Size > target.Size():
		return fault.New(fault.TargetTooSmall, "the source has %d bytes, the target %d", h.Size, target.Size())
	}
	return nil
}

// usableHead returns the head without what this session cannot use: records that were taken
// under another mask, and a stage whose journal has grown too long.
func (x *receiveSession) usableHead() (index.Head, error) {
	head := x.store.Head()
	known := head.Base != 0 || len(head.Journal) > 0
	if known && (head.Mask != uint32(x.mask) || head.Image != x.target.Image()) {
		x.log.Info("the target was recorded under other options; reading it again")
		head = index.Head{Phase: head.Phase, Mismatch: head.Mismatch}
		return head, x.store.Commit(head)
	}
	return x.limitJournal(head)
}

// openStage opens the stage of an earlier session, and removes every other stage.
func (x *receiveSession) openStage(head index.Head) (index.Head, error) {
	if err := x.target.RemoveStages(head.Stage); err != nil || head.Stage == "" {
		return head, err
	}
	ok, err := x.target.OpenStage(head.Stage, false)
	if err != nil || ok {
		return head, err
	}
	// It was recorded and never made, or another process removed it.
	x.log.Info("the stage of an earlier session does not exist any more; its content is sent again")
	head.Stage, head.Journal = "", nil
	return head, x.store.Commit(head)
}

// prepare opens the runs of the session and starts the workers.
func (x *receiveSession) prepare(head index.Head) error {
	if err := x.journal.open(); err != nil {
		return err
	}
	recorded, err := x.store.ReadAll(append([]uint64{head.Base}, head.Journal...)...)
	if err != nil {
		return err
	}
	x.pipeline.open(x, head, recorded)
	x.group.Go(func() { x.pipeline.dispatchAll(x.ctx, x.beginWriting, x.failed) })
	x.group.Go(func() { x.journal.write(x.ctx, x.events, x.transport.window.release) })
	return nil
}

// beginWriting records durably that the target is being written, before the first write.
func (x *receiveSession) beginWriting() error {
	stage, err := x.journal.begin(x.mask, x.target.Image(), x.inPlace)
	if err != nil {
		return err
	}
	if stage != "" {
		if _, err := x.target.OpenStage(stage, true); err != nil {
			return err
		}
	}
	return x.target.Examine()
}

// sync makes everything durable that was applied.
func (x *receiveSession) sync(through uint64) (session.Input, error) {
	cut := timeNow()
	if err := x.target.Sync(); err != nil {
		return nil, err
	}
	x.journal.setCut(cut)
	return session.Synced{Through: through}, nil
}

// stageIsFull decides whether the session ends because there is no room for the stage. The
// next one then writes in place.
func (x *receiveSession) stageIsFull(known *fault.Error) bool {
	x.stageFull = known != nil && known.Reason == fault.TargetFull && !known.Remote && !x.inPlace &&
		x.store.Head().Phase != index.Rolling && !x.pipeline.overCapacity(x.o.MaxBytes)
	return x.stageFull
}

// maxJournal bounds the runs that an increment's journal consists of: two for each session
// that wrote.
const maxJournal = 128

// limitJournal bounds what sessions that break, over and over, leave in the state. A journal
// of a target that is written in place becomes one run; an increment is staged from its
// beginning again.
func (x *receiveSession) limitJournal(head index.Head) (index.Head, error) {
	if len(head.Journal) < maxJournal {
		return head, nil
	}
	if !x.inPlace {
		x.log.Warn("the increment broke off too often; it is staged from its beginning", "runs", len(head.Journal))
		head.Stage, head.Journal = "", nil
		return head, x.store.Commit(head)
	}
	merged, err := mergeRuns(x.store, append([]uint64{head.Base}, head.Journal...), true)
	if err != nil {
		return head, fmt.Errorf("merge the state: %w", err)
	}
	head.Base, head.Journal = merged, nil
	return head, x.store.Commit(head)
}
