// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package route is the way of a shipment's data when no address of the target's
// agents can be dialled: through both API servers, by way of the user's machine.
//
// The sender's agent has no credential for the target, and nobody's credential
// belongs on a node. What reaches both clusters is the user, with their own
// identity on the source and the pair's on the target. So the plugin forwards a
// port to the relay of each cluster: to the source's it offers a connection for the
// sender's shipment, and when the sender begins to speak, it connects to the
// target's and copies both ways. It sees what any router sees: the preface, and
// TLS between two keys that it does not have.
//
// The bridge lives as long as the command that runs it. A pass that it carried
// resumes with the next one.
package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

const (
	// width is how many connections are offered at a time: what a sender uses.
	width = 6
	// Between two tries of an offer that failed.
	firstPause, longestPause = 500 * time.Millisecond, 5 * time.Second
)

// Place is a relay on one of the clusters.
type Place struct {
	Cluster   *cluster.Cluster
	Namespace string
	Pod       string
	Port      int
}

func (p Place) open(ctx context.Context) (*tunnel, error) {
	return open(ctx, p.Cluster, p.Namespace, p.Pod, p.Port)
}

// Reach says whether the caller may and can connect to a place, as for a check.
func Reach(ctx context.Context, p Place) error {
	t, err := p.open(ctx)
	if err != nil {
		return err
	}
	return t.Close()
}

// maxSaid bounds what Say reads, in bytes.
const maxSaid = 4 << 10

// Request connects to a place, says words and returns what is answered until the
// connection ends. The error is the API server's or the kubelet's.
func Request(ctx context.Context, p Place, words []byte) ([]byte, error) {
	t, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = t.Close() })
	defer stop()
	if _, err := t.Write(words); err != nil {
		return nil, t.why(err)
	}
	got, err := io.ReadAll(io.LimitReader(t, maxSaid))
	return got, t.why(err)
}

// Bridge carries the connections of one sending shipment.
type Bridge struct {
	Source, Target Place
	// Sender is the UID of the sending shipment.
	Sender string
	// Problem is told why a connection failed, from any goroutine; it may be nil.
	Trouble func(error)
}

// Run offers connections until ctx ends, and returns when all are closed.
func (b *Bridge) Run(ctx context.Context) {
	var lanes sync.WaitGroup
	for range width {
		lanes.Go(func() { b.lane(ctx) })
	}
	lanes.Wait()
}

// lane carries one connection after the other.
func (b *Bridge) lane(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		used, err := b.carry(ctx)
		if err != nil && ctx.Err() == nil && b.Trouble != nil {
			b.Trouble(err)
		}
		if used {
			pause = firstPause
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, longestPause)
	}
}

// carry offers one connection and copies until it ends. used says whether the
// sender took it.
func (b *Bridge) carry(ctx context.Context) (used bool, err error) {
	source, err := b.Source.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = source.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = source.Close() })
	defer stop()
	words, err := protocol.AppendOffer(nil, b.Sender)
	if err != nil {
		return false, err
	}
	if _, err := source.Write(words); err != nil {
		return false, fmt.Errorf("offer a connection to the sender: %w", source.why(err))
	}
	first := make([]byte, 32<<10)
	n, err := source.Read(first)
	if n == 0 {
		if err = source.why(err); errors.Is(err, io.EOF) {
			err = nil // not taken: the sender is not at work now
		}
		return false, err
	}
	target, err := b.Target.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = target.Close() }()
	stopTarget := context.AfterFunc(ctx, func() { _ = target.Close() })
	defer stopTarget()
	if _, err := target.Write(first[:n]); err != nil {
		return false, fmt.Errorf("pass on what the sender says: %w", target.why(err))
	}
	join(source, target)
	return true, target.why(nil)
}

// awaitPeerError is how long one direction may go on when the other has ended.
const awaitPeerError = 5 * time.Second

// join copies both ways until both have ended, and closes both.
func join(a, b *tunnel) {
	end := func() { _, _ = a.Close(), b.Close() }
	defer end()
	var ways sync.WaitGroup
	one := func(to, from *tunnel) {
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
		if err != nil || to.CloseWrite() != nil {
			end()
			return
		}
		time.AfterFunc(awaitPeerError, end)
	}
	ways.Go(func() { one(b, a) })
	ways.Go(func() { one(a, b) })
	ways.Wait()
}
