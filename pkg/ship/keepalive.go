// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// idleTimeout is how long the other end may send nothing. TCP's own probes prove only that its
// kernel works; so each end sends Alive on the control connection four times in that time, and
// ends the session when the other does not.
const idleTimeout = 2 * time.Minute

func idleOr(d time.Duration) time.Duration {
	if d <= 0 {
		return idleTimeout
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
				return // the reading side reports it
			}
		case <-ctx.Done():
			return
		}
	}
}

// sendAlive reports to the target, at intervals, that this end works.
func (x *sendSession) sendAlive() {
	every(x.ctx, x.o.Idle/4, func() error { return x.write(wire.Alive{}) })
}

// pushIfIdle queues a message unless others wait already, which serve as well.
func (o *outbox) pushIfIdle(m wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 && !o.closed {
		o.queue = append(o.queue, m)
		o.changed.Broadcast()
	}
}

// isTimeout reports whether a read ended because nothing arrived in time.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
