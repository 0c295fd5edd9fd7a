// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package client carries a shipment's data through both API servers, by way of the
// user's machine, for when no address of the target's agents can be dialled.
//
// The sender's agent has no credential for the target, and a user's credential
// never belongs on a node. What reaches both clusters is the user, with their own
// identity on the source and the pair's on the target. So the plugin forwards a
// port to the relay of each cluster: to the source's it offers a connection for the
// sender's shipment, and when the sender begins to write, it connects to the
// target's and copies both ways. It sees what any router sees: the preface, and
// TLS between two keys that it does not have.
//
// A Bridge lives as long as the command that runs it. A sync that it carried
// resumes with the next one.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

const (
	// width is how many connections are offered at a time: what a sender uses.
	width = 6
	// Between two tries of an offer that failed.
	minBackoff, maxBackoff = 500 * time.Millisecond, 5 * time.Second
)

// Endpoint is a port of a pod, reached by forwarding a port through the API server.
type Endpoint struct {
	Cluster   *cluster.Cluster
	Namespace string
	Pod       string
	Port      int
}

// EndpointOf is the relay of a cluster.
func EndpointOf(c *cluster.Cluster) Endpoint {
	return Endpoint{Cluster: c, Namespace: deploy.DefaultNamespace, Pod: deploy.RelayPod, Port: deploy.RelayPort}
}

func (e Endpoint) open(ctx context.Context) (*tunnel, error) {
	return open(ctx, e.Cluster, e.Namespace, e.Pod, e.Port)
}

// Check reports whether the caller may and can connect to an endpoint.
func Check(ctx context.Context, e Endpoint) error {
	t, err := e.open(ctx)
	if err != nil {
		return err
	}
	return t.Close()
}

// maxAnswer bounds what Request and MeasureRate read, in bytes.
const maxAnswer = 4 << 10

// Request connects to an endpoint, writes body and returns the answer, up to the
// end of the connection. The error is the API server's or the kubelet's.
func Request(ctx context.Context, e Endpoint, body []byte) ([]byte, error) {
	t, err := e.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = t.Close() })
	defer stop()
	if _, err := t.Write(body); err != nil {
		return nil, t.cause(err)
	}
	got, err := io.ReadAll(io.LimitReader(t, maxAnswer))
	return got, t.cause(err)
}

// Bridge carries the connections of one sending shipment.
type Bridge struct {
	Source, Target Endpoint
	// Sender is the UID of the sending shipment.
	Sender string
	// OnError gets the errors of connections that failed, from any goroutine; it may
	// be nil.
	OnError func(error)
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
	backoff := minBackoff
	for ctx.Err() == nil {
		used, err := b.carry(ctx)
		if err != nil && ctx.Err() == nil && b.OnError != nil {
			b.OnError(err)
		}
		if used {
			backoff = minBackoff
			continue
		}
		t := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		backoff = min(2*backoff, maxBackoff)
	}
}

// carry offers one connection and copies until it ends. used reports whether the
// sender took it.
func (b *Bridge) carry(ctx context.Context) (used bool, err error) {
	source, err := b.Source.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = source.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = source.Close() })
	defer stop()
	offer, err := protocol.AppendOffer(nil, b.Sender)
	if err != nil {
		return false, err
	}
	if _, err := source.Write(offer); err != nil {
		return false, fmt.Errorf("offer a connection to the sender: %w", source.cause(err))
	}
	first := make([]byte, 32<<10)
	n, err := source.Read(first)
	if n == 0 {
		if err = source.cause(err); errors.Is(err, io.EOF) {
			err = nil // not taken: the sender is not working now
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
		return false, fmt.Errorf("write to the relay of the target: %w", target.cause(err))
	}
	join(source, target)
	return true, target.cause(nil)
}

// halfOpenTimeout is how long one direction may stay open when the other has ended.
const halfOpenTimeout = 5 * time.Second

// join copies both ways until both have ended, and closes both.
func join(a, b *tunnel) {
	end := func() { _, _ = a.Close(), b.Close() }
	defer end()
	var directions sync.WaitGroup
	one := func(to, from *tunnel) {
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
		if err != nil || to.CloseWrite() != nil {
			end()
			return
		}
		time.AfterFunc(halfOpenTimeout, end)
	}
	directions.Go(func() { one(b, a) })
	directions.Go(func() { one(a, b) })
	directions.Wait()
}
