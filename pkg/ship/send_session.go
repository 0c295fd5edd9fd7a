// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/sender"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// sendSession drives one session of a sender: it passes events to the protocol machine, and
// carries out the actions.
type sendSession struct {
	*sendEnd
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  pipe.Group
	id     [16]byte

	machine *session.Sender
	events  events
	control net.Conn
	silent  chan struct{} // closed when the control connection has ended
	pass    *sender.Sync
	base    *baseStream
	started time.Time
	scanned time.Time

	connMu sync.Mutex
	closed bool // the session is over: a connection made later is closed at once
	conns  []net.Conn
}

// session runs one session to its end. When it returns, none of its goroutines is left.
func (s *sendEnd) session(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &sendSession{
		sendEnd: s, ctx: ctx, cancel: cancel, machine: session.NewSender(), events: newEvents(),
		silent: make(chan struct{}), started: time.Now(),
	}
	x.group.Failed = func(err error) {
		fault.LogPanic(x.log, err)
		x.event(session.Failed{Err: err})
	}
	s.count.Restart()
	defer func() {
		cancel(errLost)
		x.closeAll()
		x.group.Wait()
		x.discard(err)
	}()
	if _, err := rand.Read(x.id[:]); err != nil {
		return err
	}
	if x.control, err = x.connect(0); err != nil {
		return err
	}
	rows, err := s.store.NewRun()
	if err != nil {
		return err
	}
	x.base = newBaseStream(ctx, rows, x.baseRoom())
	x.group.Go(x.readControl)
	x.group.Go(x.tick)
	x.group.Go(x.sendAlive)
	x.machine.Step(session.Started{Hello: x.hello()})
	err = fault.Guard(x.drive)
	if fault.LogPanic(x.log, err) {
		x.report(err)
	}
	return err
}

func (x *sendSession) hello() wire.Hello {
	info := x.source.Info()
	h := wire.Hello{Sync: x.o.Sync, Image: info.Image, Size: info.Size, Mask: maskOf(x.o), Preserve: x.o.SpecialFiles == Preserve}
	head := x.store.Head()
	if digest, ok := parseDigest(head.Digest); ok && head.Mask == uint32(h.Mask) && head.Base != 0 && !head.Mismatch {
		h.Known, h.Have = true, digest
	}
	return h
}

func maskOf(o SendOptions) tree.Mask {
	if o.SELinux {
		return o.Drop
	}
	return o.Drop | tree.MaskSELinux
}

func parseDigest(text string) (d tree.Digest, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	return tree.Digest(b), true
}

// drive takes events until the session is over. It never waits for something that needs an
// event.
func (x *sendSession) drive() error {
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
			if f, ok := in.(session.Failed); ok {
				in = x.awaitPeerError(f)
			}
			x.machine.Step(in)
		case <-x.ctx.Done():
			return context.Cause(x.ctx)
		}
	}
}

// awaitPeerError waits, when a connection broke, for a Failure message with the reason. It
// returns that message, or f when none arrives.
func (x *sendSession) awaitPeerError(f session.Failed) session.Input {
	if fault.Of(f.Err) != fault.ConnectionLost {
		return f
	}
	timeout := time.NewTimer(peerErrorTimeout)
	defer timeout.Stop()
	for {
		select {
		case in := <-x.events:
			if isFailure(in) {
				return in
			}
		case <-x.silent:
			if in, ok := x.queuedFailure(); ok {
				return in
			}
			return f
		case <-timeout.C:
			return f
		}
	}
}

// queuedFailure takes everything that is queued, up to a Failure message.
func (x *sendSession) queuedFailure() (session.Input, bool) {
	for {
		select {
		case in := <-x.events:
			if isFailure(in) {
				return in, true
			}
		default:
			return nil, false
		}
	}
}

func isFailure(in session.Input) bool {
	m, ok := in.(session.Message)
	if ok {
		_, ok = m.M.(wire.Failure)
	}
	return ok
}

func (x *sendSession) act(a session.Action) error {
	switch a := a.(type) {
	case session.Send:
		switch a.M.(type) {
		case wire.Done:
			x.scanned = time.Now()
		case wire.Commit:
			x.group.Go(func() { x.commit(a.M) })
			return nil
		}
		return x.write(a.M)
	case session.Scan:
		return x.scan(a.Welcome)
	case session.Feed:
		x.base.feed(a.M)
	case session.Acknowledged:
		x.log.Debug("durable at the target", "frames", a.Seq)
	}
	return nil
}

func (x *sendSession) write(m wire.Message) error {
	b := wire.AppendMessage(nil, m)
	x.count.Wire.Add(int64(len(b)))
	_ = x.control.SetWriteDeadline(time.Now().Add(x.o.Idle))
	_, err := x.control.Write(b)
	return fault.Wrap(fault.ConnectionLost, err, "write to the other end")
}

// commit sends the request for verification, if the caller agrees.
func (x *sendSession) commit(m wire.Message) {
	err := beforeVerify(x.ctx, x.o.BeforeVerify)
	if err == nil {
		err = x.write(m)
	}
	if err != nil {
		x.event(session.Failed{Err: err})
	}
}

// scan begins to read the source.
func (x *sendSession) scan(w wire.Welcome) error {
	x.count.Total.Store(w.Entries)
	var err error
	x.pass, err = sender.New(sender.Options{
		Source: x.source, Store: x.store, Mask: maskOf(x.o), Preserve: x.o.SpecialFiles == Preserve, Precopy: x.o.Precopy, Count: x.count,
		ReadAll: x.store.Head().Mismatch, Queued: func(q session.Queued) { x.event(q) },
	})
	if err != nil {
		return err
	}
	x.pass.Narrow(x.o.Bandwidth > 0)
	head := x.store.Head()
	kept := index.Empty()
	if w.Same {
		if kept, err = x.store.Read(head.Base); err != nil {
			return err
		}
	}
	var memory index.Iterator
	if !w.Same || len(head.Memory) > 0 {
		if memory, err = x.store.ReadAll(append([]uint64{head.Base}, head.Memory...)...); err != nil {
			return err
		}
	}
	x.connectData()
	x.group.Go(func() {
		done, err := x.pass.Run(x.ctx, newBaseJoin(kept, x.base), memory)
		if err == nil && done.Verify {
			done.Verify, err = x.recheck(x.ctx)
		}
		if err != nil {
			x.event(session.Failed{Err: err})
			return
		}
		x.event(session.Scanned{Done: done})
	})
	return nil
}

func (x *sendSession) event(in session.Input) { x.events.put(x.ctx, in) }

// readControl reads the control connection.
func (x *sendSession) readControl() {
	defer close(x.silent)
	in := bufio.NewReaderSize(count.Reader{Reader: x.control, N: &x.count.Wire}, connBuffer)
	for {
		_ = x.control.SetReadDeadline(time.Now().Add(x.o.Idle))
		m, err := wire.ReadMessage(in, wire.FromReceiver)
		if err != nil {
			x.event(session.Failed{Err: silent(err, x.o.Idle)})
			return
		}
		switch m.(type) {
		case wire.Alive:
			continue
		case wire.Base, wire.BaseRows:
			if x.base.admit() != nil {
				return
			}
		}
		x.event(session.Message{M: m})
	}
}

// broken gives an error of a connection its reason: a violation of the protocol is the other
// end's, everything else is the network's.
func broken(err error) error {
	if errors.Is(err, wire.ErrProtocol) {
		return fault.Wrap(fault.PeerRejected, err, "read from the other end")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the other end closed the connection")
	}
	return fault.Wrap(fault.ConnectionLost, err, "read from the other end")
}

func (x *sendSession) tick() {
	t := time.NewTicker(x.o.Checkpoint)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			x.event(session.Tick{})
		case <-x.ctx.Done():
			return
		}
	}
}

// end ends the session: it keeps the outcome, or reports an error of this end to the target.
func (x *sendSession) end(err error) error {
	if err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = fault.Wrap(fault.Internal, err, "ship the volume")
		}
		x.report(err)
		return err
	}
	out := x.machine.Outcome()
	x.result.Verified, x.result.Unchanged = out.Verified, x.pass.Last() == 0
	x.result.Strength = strengthOf(out.Strength)
	x.result.Digest = x.pass.Digest().String()
	x.result.ScanTime, x.result.VerifyTime = x.scanned.Sub(x.started), time.Since(x.scanned)
	x.result.ShipTime = x.result.ScanTime
	return x.keep(out.Verified)
}

// report sends an error to the target, unless it came from there.
func (x *sendSession) report(err error) {
	var known *fault.Error
	if !errors.As(err, &known) || known.Remote || known.Reason == fault.ConnectionLost || known.Reason == fault.Cancelled {
		return
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(peerErrorTimeout))
	_, _ = x.control.Write(wire.AppendMessage(nil, failure(known)))
}

func failure(e *fault.Error) wire.Failure {
	what := e.What
	if e.Err != nil {
		what += ": " + e.Err.Error()
	}
	return wire.Failure{Reason: e.Reason, HasPath: e.HasPath, Path: e.Path, What: what[:min(len(what), 4096)]}
}

var strengths = [...]Strength{1: Transport, 2: Timestamps, 3: Readback}

func strengthOf(n uint8) Strength {
	if int(n) < len(strengths) {
		return strengths[n]
	}
	return ""
}

// keep makes the index of this sync the one that the next begins from.
func (x *sendSession) keep(verified bool) error {
	w := x.pass.Manifest()
	if err := x.store.Seal(w, x.pass.Last(), tree.Time{}); err != nil {
		return err
	}
	head := x.store.Head()
	if !verified {
		return x.remember(head)
	}
	head.Digest, head.Mask, head.Sync = x.result.Digest, uint32(maskOf(x.o)), x.o.Sync
	head.Base, head.Memory, head.Entries = w.Number(), nil, w.Records()
	head.Journal, head.Stage = nil, ""
	head.Phase, head.Image, head.Mismatch = index.Whole, x.source.Info().Image, false
	return x.store.Commit(head)
}

// maxMemory bounds the runs of syncs that were not verified. Beyond it they are merged, so that
// a target that breaks off every session cannot fill this end's state.
const maxMemory = 4

// remember adds the sealed index of a sync that was not verified to the head.
func (x *sendSession) remember(head index.Head) error {
	head.Memory = append(slices.Clone(head.Memory), x.pass.Manifest().Number())
	if len(head.Memory) <= maxMemory {
		return x.store.Commit(head)
	}
	merged, err := mergeRuns(x.store, head.Memory, false)
	if err != nil {
		return err
	}
	head.Memory = []uint64{merged}
	return x.store.Commit(head)
}

// discard removes what a session leaves. What one that failed has read is remembered.
func (x *sendSession) discard(failed error) {
	if x.base != nil {
		_ = x.base.rows.Close()
		x.store.Discard(x.base.rows.Number())
	}
	if x.pass == nil {
		return
	}
	w := x.pass.Manifest()
	if failed != nil && w.Records() > 0 {
		err := x.store.Seal(w, 0, tree.Time{})
		if err == nil {
			err = x.remember(x.store.Head())
		}
		if err != nil {
			x.log.Warn("cannot keep what was read of the source; the next sync reads it again", "error", err)
		}
	}
	_ = w.Close()
	x.store.Discard(w.Number())
}
