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
	"log/slog"
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

const (
	// connBuffer is what is gathered before it is written to a connection.
	connBuffer = 256 << 10
	// tick is how often a checkpoint is asked for at least.
	tick = 30 * time.Second
	// awaitPeerError is how long a broken connection's end waits for the reason from the other end.
	awaitPeerError = 3 * time.Second
	// patience is how often connecting may fail in a row.
	timeout = 6
)

func send(ctx context.Context, v Source, dial Conn, st *State, o SendOptions) (Result, error) {
	s := &sendEnd{source: v, dial: dial, store: st.store, o: o, count: count.New(), log: logger(o.Logger)}
	if s.o.Connections == 0 {
		s.o.Connections = 4
	}
	s.o.Connections = min(max(s.o.Connections, 2), 8)
	if s.o.Checkpoint <= 0 {
		s.o.Checkpoint = tick
	}
	if s.o.Reconnects == 0 {
		s.o.Reconnects = timeout
	}
	s.o.Idle = idleOr(s.o.Idle)
	if st.Torn() {
		return Result{}, fault.New(fault.Torn, "the source is itself between two generations; finish or repeat the shipment to it first")
	}
	if notice := s.store.Notice(); notice != "" {
		s.log.Warn("the state at the source was damaged and has been set aside; more will be read", "cause", notice)
	}
	if err := s.forgetOtherMasks(); err != nil {
		return Result{}, err
	}
	v.LeaveOut(maskOf(o))
	stop := s.count.Report(o.Progress)
	defer stop()
	err := s.run(ctx)
	s.result.Statistics = s.count.Statistics()
	return s.result, err
}

// forgetOtherMasks puts away what is remembered of entries that were described under another
// mask: an unchanged stamp says nothing of what was left out then.
func (s *sendEnd) forgetOtherMasks() error {
	head, mask := s.store.Head(), uint32(maskOf(s.o))
	if head.Mask == mask {
		return nil
	}
	if head.Base != 0 || len(head.Memory) > 0 {
		s.log.Info("what is remembered of the source was described under other options; reading it again")
	}
	head.Base, head.Memory, head.Entries, head.Mask = 0, nil, 0, mask
	return s.store.Commit(head)
}

// sender is one call of Send.
type sendEnd struct {
	source Source
	dial   Conn
	store  *index.Store
	o      SendOptions
	count  *count.Counters
	log    *slog.Logger
	rate   *pipe.Rate

	result Result
}

// run connects again and again until the pass is over, or nothing gets through any more.
func (s *sendEnd) run(ctx context.Context) error {
	s.rate = pipe.NewRate(s.o.Bandwidth)
	failures := 0
	for {
		before := s.count.Wire.Load()
		err := s.session(ctx)
		s.result.Sessions++
		if err == nil {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return fault.Wrap(fault.Cancelled, cause, "the shipment was cancelled")
		}
		var noDial *dialError
		if fault.Of(err) != fault.ConnectionLost || errors.As(err, &noDial) {
			return err
		}
		if failures++; s.count.Wire.Load() > before+1<<20 {
			failures = 0
		}
		if s.o.Reconnects < 0 || failures >= s.o.Reconnects {
			return err
		}
		s.log.Warn("a connection broke; connecting again", "error", err)
		if err := pause(ctx, time.Duration(failures*failures)*100*time.Millisecond); err != nil {
			return fault.Wrap(fault.Cancelled, err, "the shipment was cancelled")
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sendSession is one session's driver.
type sendSession struct {
	*sendEnd
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  sync.WaitGroup
	id     [16]byte

	machine *session.Sender
	events  chan session.Input
	control net.Conn
	words   chan struct{} // closed when the control connection has nothing more to say
	pass    *sender.Sync
	base    *baseStream
	started time.Time
	scanned time.Time

	connMu sync.Mutex
	closed bool // the session is over: whatever connects still is closed at once
	conns  []net.Conn
}

// session runs one session to its end. When it returns, nothing of it is left.
func (s *sendEnd) session(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &sendSession{
		sendEnd: s, ctx: ctx, cancel: cancel, machine: session.NewSender(), events: make(chan session.Input, 1024),
		words: make(chan struct{}), started: time.Now(),
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
	x.base = newBaseStream(ctx, rows)
	x.group.Go(x.listen)
	x.group.Go(x.tick)
	x.group.Go(x.live)
	x.machine.Step(session.Started{Hello: x.hello()})
	return x.drive()
}

func (x *sendSession) hello() wire.Hello {
	info := x.source.Info()
	h := wire.Hello{Sync: x.o.Sync, Image: info.Image, Size: info.Size, Mask: maskOf(x.o), Preserve: x.o.SpecialFiles == Preserve}
	head := x.store.Head()
	if digest, ok := parseDigest(head.Digest); ok && head.Mask == uint32(h.Mask) && head.Base != 0 {
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

// drive takes events until the session is over. Nothing in it waits for what an event is
// needed for.
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

// awaitPeerError waits, when a connection broke, whether the other end has told why.
func (x *sendSession) awaitPeerError(f session.Failed) session.Input {
	if fault.Of(f.Err) != fault.ConnectionLost {
		return f
	}
	timeout := time.NewTimer(awaitPeerError)
	defer timeout.Stop()
	for {
		select {
		case in := <-x.events:
			if m, ok := in.(session.Message); ok {
				if _, failure := m.M.(wire.Failure); failure {
					return m
				}
			}
		case <-x.words:
			for {
				select {
				case in := <-x.events:
					if m, ok := in.(session.Message); ok {
						if _, failure := m.M.(wire.Failure); failure {
							return m
						}
					}
				default:
					return f
				}
			}
		case <-timeout.C:
			return f
		}
	}
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

// commit asks for verification, if the caller agrees.
func (x *sendSession) commit(m wire.Message) {
	err := beforeVerify(x.ctx, x.o.BeforeVerify)
	if err == nil {
		err = x.write(m)
	}
	if err != nil {
		x.event(session.Failed{Err: err})
	}
}

func beforeVerify(ctx context.Context, ask func(context.Context) error) error {
	if ask == nil {
		return nil
	}
	return fault.Wrap(fault.Refused, ask(ctx), "verify the generation")
}

// scan begins to read the source.
func (x *sendSession) scan(w wire.Welcome) error {
	x.count.Total.Store(w.Entries)
	var err error
	x.pass, err = sender.New(sender.Options{
		Source: x.source, Store: x.store, Mask: maskOf(x.o), Preserve: x.o.SpecialFiles == Preserve, Precopy: x.o.Precopy, Count: x.count,
		Queued: func(q session.Queued) { x.event(q) },
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
		if err != nil {
			x.event(session.Failed{Err: err})
			return
		}
		x.event(session.Scanned{Done: done})
	})
	return nil
}

func (x *sendSession) event(in session.Input) {
	select {
	case x.events <- in:
	case <-x.ctx.Done():
	}
}

// listen reads the control connection.
func (x *sendSession) listen() {
	defer close(x.words)
	in := bufio.NewReaderSize(count.Reader{Reader: x.control, N: &x.count.Wire}, connBuffer)
	for {
		_ = x.control.SetReadDeadline(time.Now().Add(x.o.Idle))
		m, err := wire.ReadMessage(in)
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

// broken types an error of a connection: what the other end sent wrongly is its fault,
// everything else the network's.
func broken(err error) error {
	if errors.Is(err, wire.ErrProtocol) {
		return fault.Wrap(fault.PeerProtocol, err, "read from the other end")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it hung up")
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

// end closes the session: what went well is kept, what failed here is told to the other end.
func (x *sendSession) end(err error) error {
	if err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = fault.Wrap(fault.Internal, err, "ship the volume")
		}
		x.tell(err)
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

// tell sends a failure that began here to the other end.
func (x *sendSession) tell(err error) {
	var known *fault.Error
	if !errors.As(err, &known) || known.Remote || known.Reason == fault.ConnectionLost || known.Reason == fault.Cancelled {
		return
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(awaitPeerError))
	_, _ = x.control.Write(wire.AppendMessage(nil, failure(known)))
}

func failure(e *fault.Error) wire.Failure {
	what := e.What
	if e.Err != nil {
		what += ": " + e.Err.Error()
	}
	return wire.Failure{Reason: e.Reason, HasPath: e.HasPath, Path: e.Path, What: what[:min(len(what), 4096)]}
}

var strengths = [...]Strength{1: Transport, 2: Stamps, 3: Readback}

func strengthOf(n uint8) Strength {
	if int(n) < len(strengths) {
		return strengths[n]
	}
	return ""
}

// keep makes the pass's manifest the one to begin from next time.
func (x *sendSession) keep(verified bool) error {
	if err := x.store.Seal(x.pass.Manifest(), x.pass.Last(), tree.Time{}); err != nil {
		return err
	}
	head := x.store.Head()
	if verified {
		head.Digest, head.Mask, head.Sync = x.result.Digest, uint32(maskOf(x.o)), x.o.Sync
		head.Base, head.Memory, head.Entries = x.pass.Manifest().Number(), nil, x.pass.Manifest().Records()
		head.Journal, head.Stage = nil, ""
		head.Phase, head.Image = index.Whole, x.source.Info().Image
	} else {
		head.Memory = append(slices.Clone(head.Memory), x.pass.Manifest().Number())
	}
	return x.store.Commit(head)
}

// discard puts away what a session leaves: of one that failed, what was read is remembered.
func (x *sendSession) discard(failed error) {
	if x.base != nil {
		_ = x.base.rows.Close()
		x.store.Discard(x.base.rows.Number())
	}
	if x.pass == nil {
		return
	}
	if failed != nil && x.pass.Manifest().Records() > 0 && x.store.Seal(x.pass.Manifest(), 0, tree.Time{}) == nil {
		head := x.store.Head()
		head.Memory = append(slices.Clone(head.Memory), x.pass.Manifest().Number())
		if err := x.store.Commit(head); err != nil {
			x.log.Warn("what was read is not remembered", "error", err)
		}
	}
	_ = x.pass.Manifest().Close()
	x.store.Discard(x.pass.Manifest().Number())
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
