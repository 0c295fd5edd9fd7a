// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// recvSession is one session's driver.
type recvSession struct {
	*receiveEnd
	ctx     context.Context
	cancel  context.CancelCauseFunc
	group   sync.WaitGroup
	id      [16]byte
	control *greeted
	inPlace bool

	machine *session.Receiver
	events  chan session.Input
	out     *outbox
	window  *window

	connMu sync.Mutex
	conns  []net.Conn

	frameMu sync.Mutex
	frames  map[uint64]*arrivedFrame
	buffers *pipe.Buffers

	mask     tree.Mask
	applier  *receiver.Applier
	dispatch chan *arrivedFrame
	journalQ chan journalItem
	found    *verify.Exceptions
	verdict  surveyVerdict
	agreed   bool

	// Only for the driver:
	applied  map[uint64]*receiver.Frame
	prefix   uint64
	through  uint64 // what the sync under way covers; 0 when there is none
	held     []*receiver.Frame
	cut      tree.Time
	lastSeen uint64
	fallBack bool // the stage does not fit

	// Guarded by runMu: the runs of this session.
	runMu   sync.Mutex
	drift   *index.Writer // what the survey found
	journal *index.Writer // what was applied
	tree    *index.Writer // the whole tree after verification
}

type journalItem struct {
	frame   *receiver.Frame
	persist uint64 // when not 0: make durable, with cut
	cut     tree.Time
}

// surveyVerdict is what the survey at the beginning of a session says of the whole.
type surveyVerdict struct {
	digest tree.Digest
	count  int64
	walked bool
	// blind: the target has no stamps to look at.
	blind bool
}

func newRecvSession(ctx context.Context, r *receiveEnd, c *greeted, inPlace bool) *recvSession {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &recvSession{
		receiveEnd: r, ctx: ctx, cancel: cancel, id: c.open.Session, control: c, inPlace: inPlace,
		machine: session.NewReceiver(inPlace), events: make(chan session.Input, 1024), frames: map[uint64]*arrivedFrame{},
		dispatch: make(chan *arrivedFrame, 2*framesAhead), journalQ: make(chan journalItem, 4*framesAhead), applied: map[uint64]*receiver.Frame{},
	}
	x.window = newWindow(ctx, receiveMemory)
	x.buffers = pipe.NewBuffers(receiver.Workers, newFrameBuffer)
	x.out = newOutbox(ctx, c, r.count)
	x.found = verify.NewExceptions(ctx)
	r.count.Restart()
	return x
}

func (x *recvSession) event(in session.Input) {
	select {
	case x.events <- in:
	case <-x.ctx.Done():
	}
}

func (x *recvSession) failed(err error) { x.event(session.Failed{Err: err}) }

// run drives the session to its end.
func (x *recvSession) run() error {
	x.group.Go(x.listen)
	x.group.Go(x.out.run)
	x.group.Go(x.live)
	for {
		for _, a := range x.machine.Ready() {
			if end, ok := a.(session.End); ok {
				return x.end(end.Err)
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
				x.wasApplied()
			case session.Persisted:
				x.through = 0
				x.release()
			}
			x.machine.Step(in)
		case <-x.ctx.Done():
			return context.Cause(x.ctx)
		}
	}
}

// end tells the other end why the session is over, if that is not known to it.
func (x *recvSession) end(err error) error {
	var known *fault.Error
	if err != nil && !errors.As(err, &known) {
		err = fault.Wrap(fault.Internal, err, "receive the volume")
		errors.As(err, &known)
	}
	if x.unfits(known) {
		known = fault.New(fault.ConnectionLost, "the increment does not fit beside what the target has; it goes on in place")
		x.out.last(failure(known))
		return known
	}
	if known != nil && !known.Remote && known.Reason != fault.ConnectionLost && known.Reason != fault.Cancelled {
		x.out.last(failure(known))
	}
	return err
}

// close ends everything the session began, and waits for it.
func (x *recvSession) close() {
	x.cancel(errLost)
	_ = x.control.Close()
	x.connMu.Lock()
	for _, c := range x.conns {
		_ = c.Close()
	}
	x.connMu.Unlock()
	x.group.Wait()
	if x.applier != nil {
		x.applier.Close()
	}
	x.runMu.Lock()
	defer x.runMu.Unlock()
	for _, w := range []*index.Writer{x.drift, x.journal, x.tree} {
		if w != nil {
			_ = w.Close()
			x.store.Discard(w.Number())
		}
	}
}

// listen reads the control connection.
func (x *recvSession) listen() {
	for {
		_ = x.control.SetReadDeadline(time.Now().Add(x.o.Idle))
		m, err := wire.ReadMessage(x.control.in)
		if err != nil {
			x.failed(silent(err, x.o.Idle))
			return
		}
		if _, ok := m.(wire.Alive); ok {
			continue
		}
		x.event(session.Message{M: m})
	}
}

func (x *recvSession) act(a session.Action) error {
	switch a := a.(type) {
	case session.Send:
		if _, ok := a.M.(wire.Committed); ok {
			x.over = true
		}
		x.out.push(a.M)
	case session.Survey:
		return x.begin(a.Hello)
	case session.Apply:
		x.frameMu.Lock()
		f := x.frames[a.Seq]
		delete(x.frames, a.Seq)
		x.frameMu.Unlock()
		x.window.passed(a.Seq + 1)
		x.lastSeen = a.Seq
		x.dispatch <- f
	case session.Sync:
		x.through = a.Through
		x.group.Go(func() { x.sync(a.Through) })
	case session.Persist:
		x.journalQ <- journalItem{persist: a.Through, cut: x.cut}
	case session.Judge:
		x.group.Go(func() { x.answer(func() (session.Input, error) { return x.judge() }) })
	case session.WriteCommit:
		x.group.Go(func() {
			x.answer(func() (session.Input, error) { return session.CommitWritten{}, x.writeCommit(a.Digest) })
		})
	case session.RollForward:
		x.group.Go(func() { x.answer(func() (session.Input, error) { return x.rollForward() }) })
	case session.WriteVerification:
		x.group.Go(func() { x.answer(func() (session.Input, error) { return x.verify(a.Digest) }) })
	}
	return nil
}

func (x *recvSession) answer(f func() (session.Input, error)) {
	in, err := f()
	if err != nil {
		in = session.Failed{Err: err}
	}
	x.event(in)
}

// begin checks what the pass wants, answers, and starts to look at the target.
func (x *recvSession) begin(h wire.Hello) error {
	if h.Sync != x.o.Sync {
		return fault.New(fault.PeerProtocol, "the source ships generation %d, the target expects %d", h.Sync, x.o.Sync)
	}
	if err := x.suits(h); err != nil {
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
	x.out.push(w)
	x.group.Go(func() {
		if err := x.survey(head, w.Same); err != nil {
			x.failed(err)
			return
		}
		x.event(session.Surveyed{})
	})
	return nil
}

// suits says what keeps this target from taking that source.
func (x *recvSession) suits(h wire.Hello) error {
	switch {
	case h.Mask&^tree.AllMasks != 0:
		return fault.New(fault.PeerVersionMismatch, "the source leaves out what this version does not know (%#x)", h.Mask&^tree.AllMasks)
	case h.Image && !x.target.Image():
		return fault.New(fault.TargetUnsupported, "the source is a device or image file, the target a directory")
	case !h.Image && x.target.Image():
		return fault.New(fault.TargetUnsupported, "the source is a directory, the target a device or image file")
	case h.Image && h.Size > x.target.Size():
		return fault.New(fault.TargetTooSmall, "the source has %d bytes, the target %d", h.Size, x.target.Size())
	}
	return nil
}

// usableHead gives the head without what cannot be used in this session: knowledge that was
// taken under another mask.
func (x *recvSession) usableHead() (index.Head, error) {
	head := x.store.Head()
	known := head.Base != 0 || len(head.Journal) > 0
	if !known || head.Mask == uint32(x.mask) && head.Image == x.target.Image() {
		return head, nil
	}
	x.log.Info("what is known of the target was taken under other options; reading it again")
	head = index.Head{Phase: head.Phase}
	return head, x.store.Commit(head)
}

// openStage opens what an earlier session staged, and removes stages that nobody knows.
func (x *recvSession) openStage(head index.Head) (index.Head, error) {
	if err := x.target.RemoveStages(head.Stage); err != nil || head.Stage == "" {
		return head, err
	}
	ok, err := x.target.OpenStage(head.Stage, false)
	if err != nil || ok {
		return head, err
	}
	// It was announced and not made, or somebody removed it: what it held is sent again.
	x.log.Info("the stage of an earlier session is gone; what it held is sent again")
	head.Stage, head.Journal = "", nil
	return head, x.store.Commit(head)
}

// prepare opens the runs of the session and starts the workers.
func (x *recvSession) prepare(head index.Head) error {
	var err error
	x.runMu.Lock()
	defer x.runMu.Unlock()
	if x.drift, err = x.store.NewRun(); err != nil {
		return err
	}
	if x.journal, err = x.store.NewRun(); err != nil {
		return err
	}
	kept, err := x.store.ReadAll(append([]uint64{head.Base}, head.Journal...)...)
	if err != nil {
		return err
	}
	x.applier = receiver.New(x.ctx, x.target, receiver.Options{
		InPlace: x.inPlace, Preserve: x.o.SpecialFiles == Preserve, MaxSize: x.o.MaxBytes, Staged: head.Staged,
		Base: verify.NewRecord(index.NewCursor(kept), x.found), Count: x.count, Fail: x.failed,
	})
	for range receiver.Workers {
		x.group.Go(func() { x.applier.Work(x.ctx) })
	}
	x.group.Go(x.dispatchAll)
	x.group.Go(x.writeJournal)
	return nil
}

// dispatchAll hands frames to the applier, in order.
func (x *recvSession) dispatchAll() {
	for first := true; ; first = false {
		var f *arrivedFrame
		select {
		case f = <-x.dispatch:
		case <-x.ctx.Done():
			return
		}
		if first {
			if err := x.beginWriting(); err != nil {
				x.failed(err)
				return
			}
		}
		if err := x.applier.Dispatch(&receiver.Frame{Seq: f.seq, Done: x.frameDone(f)}, f.ops); err != nil {
			x.failed(err)
			return
		}
	}
}

func (x *recvSession) frameDone(f *arrivedFrame) func(*receiver.Frame) {
	return func(a *receiver.Frame) {
		f.ops, f.raw = nil, nil
		if f.pooled {
			x.buffers.Put(f.back)
		}
		f.back = nil
		// While a sync is under way what was applied waits for the journal: of a million small
		// files that is more than their frames were.
		a.Held = a.Size()
		x.window.release(f.cost - a.Held)
		x.frameMu.Lock()
		x.applied[a.Seq] = a
		x.frameMu.Unlock()
		x.event(session.Applied{Seq: a.Seq})
	}
}

// beginWriting makes it durable that the target is being written, before it is.
func (x *recvSession) beginWriting() error {
	x.runMu.Lock()
	defer x.runMu.Unlock()
	head := x.store.Head()
	head.Journal = append(append([]uint64(nil), head.Journal...), x.drift.Number(), x.journal.Number())
	head.Mask, head.Image = uint32(x.mask), x.target.Image()
	stage := ""
	if x.inPlace {
		head.Phase = index.Torn
	} else {
		// Numbers are not given twice: this session may use those up to the next one's.
		head.Staged += 1 << 32
		if head.Stage == "" {
			var random [8]byte
			if _, err := rand.Read(random[:]); err != nil {
				return err
			}
			head.Stage = fsread.StageName(binary.LittleEndian.Uint64(random[:]))
			stage = head.Stage
		}
	}
	for _, w := range []*index.Writer{x.drift, x.journal} {
		if err := x.store.Seal(w, 0, tree.Time{}); err != nil {
			return err
		}
	}
	if err := x.store.Commit(head); err != nil {
		return err
	}
	if stage != "" {
		if _, err := x.target.OpenStage(stage, true); err != nil {
			return err
		}
	}
	return x.target.Examine()
}

// wasApplied passes on what is applied, in order: to those who wait for it, and to the
// journal, but not beyond what a sync under way covers.
func (x *recvSession) wasApplied() {
	for {
		x.frameMu.Lock()
		a := x.applied[x.prefix+1]
		delete(x.applied, x.prefix+1)
		x.frameMu.Unlock()
		if a == nil {
			break
		}
		x.prefix++
		x.held = append(x.held, a)
	}
	x.applier.Reached(x.prefix)
	x.release()
}

func (x *recvSession) release() {
	for len(x.held) > 0 && (x.through == 0 || x.held[0].Seq <= x.through) {
		x.journalQ <- journalItem{frame: x.held[0]}
		x.held = x.held[1:]
	}
}

func (x *recvSession) sync(through uint64) {
	x.answer(func() (session.Input, error) {
		now := time.Now()
		if err := x.target.Sync(); err != nil {
			return nil, err
		}
		x.runMu.Lock()
		x.cut = tree.Time{}.Add(now.UnixNano())
		x.runMu.Unlock()
		return session.Synced{Through: through}, nil
	})
}

// writeJournal writes the journal, and makes it durable when asked.
func (x *recvSession) writeJournal() {
	j := receiver.NewJournal(x.store, x.journal)
	for {
		var item journalItem
		select {
		case item = <-x.journalQ:
		case <-x.ctx.Done():
			return
		}
		if item.persist == 0 {
			if err := j.Add(item.frame); err != nil {
				x.failed(err)
				return
			}
			x.window.release(item.frame.Held)
			continue
		}
		err := j.Partial()
		if err == nil {
			err = x.persist(item)
		}
		if err != nil {
			x.failed(err)
			return
		}
		x.event(session.Persisted{Through: item.persist})
	}
}

func (x *recvSession) persist(item journalItem) error {
	x.runMu.Lock()
	defer x.runMu.Unlock()
	if err := x.store.Seal(x.drift, 0, item.cut); err != nil {
		return err
	}
	return x.store.Seal(x.journal, item.persist, item.cut)
}
