// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// Over a long way each connection takes three round trips: they are made at the same time.
func TestDataConnectionsAreMadeAtTheSameTime(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	p.Send.Connections = 5
	var begun atomic.Int32
	all := make(chan struct{})
	p.Dialling = func(ctx context.Context) error {
		if n := begun.Add(1); n == 1 { // the control connection
			return nil
		} else if n == 6 {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	shiptest.At(t, p.Source).File("file", shiptest.Noise("file", 3<<20))
	p.Mirror()
}

// What the connections that stand can carry need not wait for one that does not come, and
// nobody waits for it when the pass is over.
func TestADataConnectionThatCannotBeMadeDelaysNothing(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	var begun, ended atomic.Int32
	p.Dialling = func(ctx context.Context) error {
		if begun.Add(1) != 3 {
			return nil
		}
		<-ctx.Done()
		ended.Add(1)
		return context.Cause(ctx)
	}
	shiptest.At(t, p.Source).File("file", shiptest.Noise("file", 3<<20))
	p.Mirror()
	if ended.Load() != 1 {
		t.Error("somebody still dials")
	}
}

// A pass without anything to send succeeds where no data connection can be made; with
// something, the reason is told and nothing is half done.
func TestDataConnectionsThatFailMatterOnlyWhenThereIsSomethingToSend(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("file", shiptest.Noise("file", 3<<20))
	p.Mirror()
	closed := errors.New("the port is closed")
	var begun atomic.Int32
	p.Dialling = func(context.Context) error {
		if begun.Add(1) == 1 {
			return nil
		}
		return closed
	}
	if o := p.Mirror(); !o.Sent.Unchanged {
		t.Errorf("something was sent: %+v", o.Sent)
	}
	begun.Store(0)
	m.File("file", shiptest.Noise("other", 3<<20))
	if o := p.Try(t.Context()); !errors.Is(o.SendErr, closed) || o.Received.Verified {
		t.Errorf("%v, %+v", o.SendErr, o.Received)
	}
	p.Dialling = nil
	p.Mirror()
}
