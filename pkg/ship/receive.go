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
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

const (
	// openTimeout is how long a new connection may take to say what it is for.
	openTimeout = 10 * time.Second
	// afterword is how long a source is waited for that may not have heard that the pass is
	// over.
	afterword = 5 * time.Second
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
		r.log.Warn("the state at the target was damaged and has been set aside; the target will be read to rebuild it", "cause", notice)
	}
	stop := r.count.Report(o.Progress)
	defer stop()
	err := r.run(ctx)
	r.result.Statistics = r.count.Statistics()
	return r.result, err
}

// receiver is one call of Receive.
type receiveEnd struct {
	target fswrite.Target
	accept Conn
	store  *index.Store
	o      ReceiveOptions
	count  *count.Counters
	log    *slog.Logger

	controls chan *greeted
	mu       sync.Mutex
	current  *recvSession

	result Result
	// over: the pass has ended durably; only the source may not know it yet.
	over bool
	// moved is the run that says what rolling forward left behind; 0 when it did not run.
	moved uint64
}

// greeted is a connection that has said what it is for.
type greeted struct {
	net.Conn
	in   *bufio.Reader
	open wire.Open
}

// run takes sessions until one ends as it should, or fails for good.
func (r *receiveEnd) run(ctx context.Context) error {
	if err := r.recover(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
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

// next waits for the next session. After the pass is over it gives up waiting, without an
// error.
func (r *receiveEnd) next(ctx context.Context) (*greeted, error) {
	var enough <-chan time.Time
	if r.over {
		t := time.NewTimer(afterword)
		defer t.Stop()
		enough = t.C
	}
	select {
	case c := <-r.controls:
		r.over = false
		return c, nil
	case <-enough:
		return nil, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Cancelled, context.Cause(ctx), "wait for the source")
	}
}

// acceptAll sorts connections as they come.
func (r *receiveEnd) acceptAll(ctx context.Context, cancel context.CancelCauseFunc, group *sync.WaitGroup) {
	for {
		c, err := r.accept(ctx)
		if err != nil {
			cancel(fault.Wrap(fault.ConnectionLost, err, "accept connections"))
			return
		}
		group.Go(func() { r.sort(ctx, c) })
	}
}

// sort reads what a connection is for and hands it over.
func (r *receiveEnd) sort(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetReadDeadline(time.Now().Add(openTimeout))
	g := &greeted{Conn: c, in: bufio.NewReaderSize(count.Reader{Reader: c, N: &r.count.Wire}, connBuffer)}
	m, err := wire.ReadMessage(g.in)
	open, ok := m.(wire.Open)
	if err != nil || !ok {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	g.open = open
	if open.Version != wire.Version {
		known := fault.New(fault.PeerVersionMismatch, "the target speaks version %d of the protocol, the source %d", wire.Version, open.Version)
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
	// A new session means that the old one is dead, even where that is not yet felt.
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

// attach gives a data connection to the session it belongs to.
func (r *receiveEnd) attach(g *greeted) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current != nil && r.current.id == g.open.Session && r.current.attach(g)
}

// session runs one session to its end. When it returns, nothing of it is left.
func (r *receiveEnd) session(ctx context.Context, c *greeted) error {
	inPlace, err := r.writesInPlace()
	if err != nil {
		return err
	}
	x := newRecvSession(ctx, r, c, inPlace)
	r.mu.Lock()
	r.current = x
	r.mu.Unlock()
	err = x.run()
	r.mu.Lock()
	r.current = nil
	r.mu.Unlock()
	x.close()
	if x.fallBack {
		return r.tear(err)
	}
	return err
}

// writesInPlace decides whether there is anything on the target to protect.
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
