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

// outbox writes control messages from one goroutine, so that no other waits for the other end
// to read.
type outbox struct {
	c       net.Conn
	count   *count.Counters
	mu      sync.Mutex
	changed sync.Cond
	queue   []wire.Message
	slots   chan struct{}
	done    chan struct{}
	closed  bool
}

func newOutbox(ctx context.Context, c net.Conn, count *count.Counters) *outbox {
	o := &outbox{c: c, count: count, slots: make(chan struct{}, 4), done: make(chan struct{})}
	o.changed.L = &o.mu
	context.AfterFunc(ctx, func() {
		o.mu.Lock()
		o.closed = true
		o.mu.Unlock()
		o.changed.Broadcast()
	})
	return o
}

func (o *outbox) push(m wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, m)
	o.changed.Broadcast()
}

// pushBulk queues a message of a long stream; it waits while several of them are queued.
func (o *outbox) pushBulk(ctx context.Context, m wire.Message) error {
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	o.push(bulk{m})
	return nil
}

type bulk struct{ wire.Message }

// last sends a final message, and waits until it is written.
func (o *outbox) last(m wire.Message) {
	o.mu.Lock()
	o.queue = append(o.queue, m)
	o.closed = true
	o.mu.Unlock()
	o.changed.Broadcast()
	_ = o.c.SetWriteDeadline(time.Now().Add(peerErrorTimeout))
	<-o.done
}

func (o *outbox) run() {
	defer close(o.done)
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.changed.Wait()
		}
		if len(o.queue) == 0 {
			o.mu.Unlock()
			return
		}
		m := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		if s, ok := m.(bulk); ok {
			m = s.Message
			<-o.slots
		}
		b := wire.AppendMessage(nil, m)
		o.count.Wire.Add(int64(len(b)))
		if _, err := o.c.Write(b); err != nil {
			return // the reading side reports it
		}
	}
}
