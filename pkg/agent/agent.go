// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package agent is the daemon on each node that ships volumes.
//
// It serves VolumeShipments: a user's request to send or to receive one claim.
// Of everything that a user writes it believes nothing that it has not checked
// (packages check, verify, policy, mount), it opens no volume but through that
// chain (package session), and on the API server it writes the status of
// shipments that its own node serves, and nothing else.
//
// One agent serves a shipment: the one on whose node a fit pod has the volume. It
// claims it by writing status.nodeName with the resourceVersion that it read, and
// gives it up when that pod goes. The controller here is level-driven: reconcile
// looks at one shipment as it is now and brings session and status in line; what
// informers deliver only says when to look. Namespaces have their shipments looked at
// in turn (turns), so that no team waits for another team's thousand.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/peers"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

const (
	// workers reconcile; sessions run beside them.
	workers = 4
	// statusPeriod is the minimum time between two writes of statistics.
	statusPeriod = 5 * time.Second
	// idlePeriod is how often a shipment is looked at when nothing happens.
	idlePeriod = 30 * time.Second
	// requestTimeout bounds one look at a shipment.
	requestTimeout = 20 * time.Second
)

// Config of an agent.
type Config struct {
	Cluster *cluster.Cluster
	// Node is this agent's node, and NodeIP the address at which its NodePorts
	// are dialled.
	Node, NodeIP string
	// Namespace is the agents' own.
	Namespace string
	// Service is the name of the NodePort Service of the listeners.
	Service string
	// Peers receives the shipments; may be nil.
	Peers *peers.Directory
	Log   *slog.Logger
}

// Agent is the controller of one node.
type Agent struct {
	config Config
	env    *session.Env
	queue  workqueue.TypedRateLimitingInterface[key]
	watch  *watches
	log    *slog.Logger

	mu       sync.Mutex
	sessions map[key]*session.Session
	wrote    map[key]time.Time

	ready bool
}

// key names a shipment object.
type key struct{ namespace, name string }

func (k key) String() string { return k.namespace + "/" + k.name }

// New makes an agent; Run starts it.
func New(config Config, env *session.Env) *Agent {
	return &Agent{
		config: config, env: env, log: config.Log,
		queue:    newQueue(),
		sessions: map[key]*session.Session{}, wrote: map[key]time.Time{},
	}
}

func newQueue() workqueue.TypedRateLimitingInterface[key] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[key](100*time.Millisecond, statusPeriod)
	order := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[key]{Queue: newTurns()})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[key]{
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[key]{Queue: order}),
	})
}

// Run serves until ctx ends. When it returns every volume is closed.
func (a *Agent) Run(ctx context.Context) error {
	a.watch = newWatches(a)
	if a.config.Peers != nil {
		a.config.Peers.Watch(a.watch.shipments.GetIndexer())
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer a.queue.ShutDown()
	work.Go(func() { a.watch.run(ctx) })
	if !a.watch.synced(ctx) {
		return fmt.Errorf("stopped before the initial lists were complete: %w", context.Cause(ctx))
	}
	a.setReady()
	a.log.Info("agent is ready")
	for range workers {
		work.Go(func() { a.work(ctx) })
	}
	work.Go(func() { a.sweepForever(ctx) })
	<-ctx.Done()
	a.queue.ShutDown()
	a.stopAll()
	return nil
}

func (a *Agent) setReady() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = true
}

// Ready says whether the agent knows its shipments.
func (a *Agent) Ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

// stopAll ends every session and waits until they hold nothing.
func (a *Agent) stopAll() {
	a.mu.Lock()
	var all []*session.Session
	for _, s := range a.sessions {
		s.Stop(errShutdown)
		all = append(all, s)
	}
	a.mu.Unlock()
	for _, s := range all {
		<-s.Done()
	}
}

func (a *Agent) work(ctx context.Context) {
	for {
		k, stop := a.queue.Get()
		if stop {
			return
		}
		a.handle(ctx, k)
		a.queue.Done(k)
	}
}

// handle reconciles one shipment; a panic in it is that shipment's alone.
func (a *Agent) handle(ctx context.Context, k key) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	again, err := a.safely(ctx, k)
	switch {
	case err != nil:
		a.log.Warn("cannot reconcile the shipment; will retry", "shipment", k.String(), "error", err)
		a.queue.AddRateLimited(k)
	case again > 0:
		a.queue.Forget(k)
		a.queue.AddAfter(k, again)
	default:
		a.queue.Forget(k)
	}
}
