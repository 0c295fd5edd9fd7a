// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// idle is how long the other end may say nothing. TCP's own probes only tell that its kernel
// lives; so each end says Alive on the control connection four times in that time, whatever
// else it does, and gives the other up when it does not.
const idle = 2 * time.Minute

func idleOr(d time.Duration) time.Duration {
	if d <= 0 {
		return idle
	}
	return d
}

// every calls f at intervals until ctx ends or f fails.
func every(ctx context.Context, d time.Duration, f func() error) {
	t := time.NewTicker(max(d, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if f() != nil {
				return // who reads notices
			}
		case <-ctx.Done():
			return
		}
	}
}

func (x *sendSession) live() {
	every(x.ctx, x.o.Idle/4, func() error { return x.write(wire.Alive{}) })
}

func (x *recvSession) live() {
	every(x.ctx, x.o.Idle/4, func() error { x.out.pushIfIdle(wire.Alive{}); return nil })
}

// pushIfIdle queues a message unless others wait already, which say as much.
func (o *outbox) pushIfIdle(m wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 && !o.closed {
		o.queue = append(o.queue, m)
		o.wake.Broadcast()
	}
}

// silent is broken, with words for the other end's having said nothing.
func silent(err error, idle time.Duration) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.New(fault.ConnectionLost, "the other end said nothing for %s", idle)
	}
	return broken(err)
}
