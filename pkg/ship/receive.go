// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

const (
	// openTimeout bounds how long a new connection may take to send its Open message.
	openTimeout = 10 * time.Second
	// reconnectTimeout is how long to wait for a source that may not have received Committed.
	reconnectTimeout = 5 * time.Second
	// maxConns bounds the data connections of a session.
	maxConns = 8
)

func receive(ctx context.Context, t Target, accept Conn, st *State, o ReceiveOptions) (Result, error) {
	r := &receiveEnd{
		target: t, accept: accept, store: st.store, o: o, count: count.New(), log: logger(o.Logger),
		controls: make(chan *greeted, 1),
	}
	r.o.Idle = idleOr(r.o.Idle)
	if notice := r.store.Notice(); notice != "" {
		r.log.Warn("the state at the target was damaged and has been set aside; the target is read to rebuild it", "cause", notice)
	}
	stop := r.count.Report(o.Progress, r.log)
	defer stop()
	err := fault.Guard(func() error { return r.run(ctx) })
	if markErr := markMismatch(r.store, err); markErr != nil {
		r.log.Warn("cannot record the mismatch", "error", markErr)
	}
	r.result.Statistics = r.count.Statistics()
	return r.result, err
}

// receiveEnd is one call of Receive.
type receiveEnd struct {
	target fswrite.Target
	accept Conn
	store  *index.Store
	o      ReceiveOptions
	count  *count.Counters
	log    *slog.Logger

	controls chan *greeted
	mu       sync.Mutex
	current  *receiveSession

	result Result
	// over: the sync has ended durably; only the source may not know it yet.
	over bool
	// agreed: the caller has agreed to the verification.
	agreed bool
	// rolled is the run that describes what rolling forward moved; 0 when it did not run.
	rolled uint64
}

// greeted is a connection whose Open message was read.
type greeted struct {
	net.Conn
	in   *bufio.Reader
	open wire.Open
}

// run takes sessions until one ends without an error, or with one that is final.
func (r *receiveEnd) run(ctx context.Context) error {
	unlock, err := r.target.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.bind(); err != nil {
		return err
	}
	if err := r.finishRoll(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	group := pipe.Group{Failed: func(err error) {
		fault.LogPanic(r.log, err)
		cancel(err)
	}}
	defer group.Wait()
	defer cancel(errLost)
	group.Go(func() { r.acceptAll(ctx, cancel, &group) })
	for {
		c, err := r.next(ctx)
		if c == nil {
			return err
		}
		err = r.session(ctx, c)
		r.result.Sessions++
		if err == nil {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return fault.Wrap(fault.Cancelled, cause, "the shipment was cancelled")
		}
		if fault.Of(err) != fault.ConnectionLost {
			return err
		}
		r.log.Warn("a connection broke; waiting for the source", "error", err)
	}
}

// bind drops state that describes another volume: another filesystem or device, or a directory that
// was created again.
func (r *receiveEnd) bind() error {
	identity, err := r.target.Identity()
	if err != nil {
		return err
	}
	same, err := r.store.Bind(identity)
	if err == nil && !same {
		r.log.Warn("the state at the target is that of another volume; the target is read")
	}
	return err
}

// next waits for the next session. After the sync is over it stops waiting, without an error.
func (r *receiveEnd) next(ctx context.Context) (*greeted, error) {
	var timeout <-chan time.Time
	if r.over {
		t := time.NewTimer(reconnectTimeout)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case c := <-r.controls:
		r.over = false
		return c, nil
	case <-timeout:
		return nil, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Cancelled, context.Cause(ctx), "wait for the source")
	}
}

// acceptAll accepts connections and finds out what each is for.
func (r *receiveEnd) acceptAll(ctx context.Context, cancel context.CancelCauseFunc, group *pipe.Group) {
	for {
		c, err := r.accept(ctx)
		if err != nil {
			cancel(fault.Wrap(fault.ConnectionLost, err, "accept connections"))
			return
		}
		group.Go(func() { r.greet(ctx, c) })
	}
}

// greet reads a connection's Open message: it either begins a session or belongs to one.
func (r *receiveEnd) greet(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetReadDeadline(time.Now().Add(openTimeout))
	g := &greeted{Conn: c, in: bufio.NewReaderSize(count.Reader{Reader: c, N: &r.count.Wire}, connBuffer)}
	m, err := wire.ReadMessage(g.in, wire.FromSender)
	open, ok := m.(wire.Open)
	if err != nil || !ok {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	g.open = open
	if open.Version != wire.Version {
		known := fault.New(fault.PeerVersionMismatch, "the target uses protocol version %d, the source %d", wire.Version, open.Version)
		_, _ = c.Write(wire.AppendMessage(nil, failure(known)))
		_ = c.Close()
		return
	}
	if open.Index != 0 {
		if !r.attach(g) {
			_ = c.Close()
		}
		return
	}
	// A new session means that the old one is dead, even if no read has failed yet.
	r.mu.Lock()
	if r.current != nil {
		r.current.cancel(fault.New(fault.ConnectionLost, "the source has connected again"))
	}
	r.mu.Unlock()
	select {
	case r.controls <- g:
	case <-ctx.Done():
		_ = c.Close()
	}
}

// attach passes a data connection to the session it belongs to.
func (r *receiveEnd) attach(g *greeted) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current != nil && r.current.transport.id == g.open.Session && r.current.transport.attach(r.current.ctx, g)
}

// session runs one session to its end. When it returns, none of its goroutines is left.
func (r *receiveEnd) session(ctx context.Context, c *greeted) error {
	inPlace, err := r.writesInPlace()
	if err != nil {
		return err
	}
	x := newReceiveSession(ctx, r, c, inPlace)
	r.setCurrent(x)
	err = x.run()
	r.setCurrent(nil)
	x.close()
	if x.stageFull {
		return r.continueInPlace(err)
	}
	return err
}

func (r *receiveEnd) setCurrent(x *receiveSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = x
}

// writesInPlace decides whether the target is written in place: when it holds nothing that must
// be protected.
func (r *receiveEnd) writesInPlace() (bool, error) {
	switch r.store.Head().Phase {
	case index.Torn:
		return true, nil
	case index.Whole:
		return r.target.Image(), nil
	}
	if r.target.Image() {
		return true, nil
	}
	return r.target.Empty()
}
