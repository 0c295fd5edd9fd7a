// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package server is the way to the agents for who reaches a cluster by its API
// server alone.
//
// It runs as one unprivileged pod with a fixed name, so that a right to forward
// ports to it is a right to forward ports to nothing else, and it listens on its
// own loopback, so that the API server's port-forward is the only way in. A
// connection says which live shipment it is for, and is passed on to the agent
// that serves it; anything else is closed. What is in it only the two ends of the
// shipment can read.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/peers"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

// Relay passes connections on.
type Relay struct {
	directory *peers.Directory
	shipments cache.SharedIndexInformer
	listener  *listen.Server
}

// limits are those of an agent, except that all connections come from the same address.
func limits() listen.Limits {
	l := listen.DefaultLimits()
	l.HalfOpenPerAddress, l.PerSecondPerAddress, l.BurstPerAddress = l.HalfOpen, l.PerSecond, l.Burst
	return l
}

// New makes a relay to the agents in namespace.
func New(c *cluster.Cluster, namespace string, log *slog.Logger) *Relay {
	shipments := c.Dynamic.Resource(v1alpha1.VolumeShipments)
	r := &Relay{
		directory: peers.New(c.Kube, namespace, ""),
		listener:  listen.New(limits(), nil, log),
	}
	r.shipments = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return shipments.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return shipments.Watch(ctx, o)
		},
	}, c.Dynamic), &unstructured.Unstructured{}, 0, peers.Index())
	r.directory.Watch(r.shipments.GetIndexer())
	r.listener.Forward(r.directory, protocol.Relay)
	return r
}

// Ready says whether the relay knows the shipments.
func (r *Relay) Ready() bool { return r.shipments.HasSynced() }

// Serve passes on the connections of l until ctx ends, and closes l.
func (r *Relay) Serve(ctx context.Context, l net.Listener) error {
	if err := r.shipments.SetTransform(peers.Trim); err != nil {
		return fmt.Errorf("watch shipments: %w", err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.shipments.RunWithContext(ctx)
	}()
	err := r.listener.Serve(ctx, l)
	<-watched
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
