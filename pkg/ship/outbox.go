// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// outbox writes control messages from one goroutine, so that nobody else waits for the
// other end to read.
type outbox struct {
	ctx    context.Context
	c      net.Conn
	count  *count.Counters
	mu     sync.Mutex
	wake   sync.Cond
	queue  []wire.Message
	slots  chan struct{}
	done   chan struct{}
	closed bool
}

func newOutbox(ctx context.Context, c net.Conn, count *count.Counters) *outbox {
	o := &outbox{ctx: ctx, c: c, count: count, slots: make(chan struct{}, 4), done: make(chan struct{})}
	o.wake.L = &o.mu
	context.AfterFunc(ctx, func() {
		o.mu.Lock()
		o.closed = true
		o.mu.Unlock()
		o.wake.Broadcast()
	})
	return o
}

func (o *outbox) push(m wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, m)
	o.wake.Broadcast()
}

// pushSlowly queues a message of a long stream; it waits while several of them wait.
func (o *outbox) pushSlowly(m wire.Message) error {
	select {
	case o.slots <- struct{}{}:
	case <-o.ctx.Done():
		return context.Cause(o.ctx)
	}
	o.push(slow{m})
	return nil
}

type slow struct{ wire.Message }

// last sends a final message, and waits for it to be gone.
func (o *outbox) last(m wire.Message) {
	o.mu.Lock()
	o.queue = append(o.queue, m)
	o.closed = true
	o.mu.Unlock()
	o.wake.Broadcast()
	_ = o.c.SetWriteDeadline(time.Now().Add(awaitPeerError))
	<-o.done
}

func (o *outbox) run() {
	defer close(o.done)
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.wake.Wait()
		}
		if len(o.queue) == 0 {
			o.mu.Unlock()
			return
		}
		m := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		if s, ok := m.(slow); ok {
			m = s.Message
			<-o.slots
		}
		b := wire.AppendMessage(nil, m)
		o.count.Wire.Add(int64(len(b)))
		if _, err := o.c.Write(b); err != nil {
			return // the reading side notices
		}
	}
}
