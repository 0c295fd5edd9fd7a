// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package daemon puts an agent together from its settings and runs it: one
// connection to the API server, the kubelet's pods folder, the state folder, the
// listener for other clusters, and a small one for the kubelet's probes.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/device"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/metrics"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/peers"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

// Options are an agent's settings.
type Options struct {
	// Node and NodeIP say which node this is and how others dial it.
	Node, NodeIP string
	// Namespace is the agents' own, Service their NodePort Service there.
	Namespace, Service string
	// PodsDir is the kubelet's pods folder as the agent sees it.
	PodsDir string
	// DevicesSocket is where the container listens that opens raw block volumes, if
	// there is one.
	DevicesSocket string
	// StateDir outlives the agent.
	StateDir string
	// Listen and Health are addresses to listen at.
	Listen, Health string
	// Kubeconfig for running outside a cluster; empty inside.
	Kubeconfig string
	Log        *slog.Logger
}

func (o *Options) validate() error {
	if o.Node == "" || o.NodeIP == "" || o.Namespace == "" {
		return errors.New("--node, --node-ip and --namespace are required")
	}
	if _, err := netip.ParseAddr(o.NodeIP); err != nil {
		return fmt.Errorf("--node-ip: %w", err)
	}
	return nil
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	klog.SetSlogLogger(o.Log)
	o.Log.Info("agent started", "version", version.Get().String(), "node", o.Node)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	count := metrics.New()
	health := &health{metrics: count.Handler()}
	var servers sync.WaitGroup
	defer servers.Wait()
	defer cancel(nil)
	serve := func(what string, f func(context.Context) error) {
		servers.Go(func() {
			if err := f(ctx); err != nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	serve("health", func(ctx context.Context) error { return health.serve(ctx, o.Health) })

	env, policies, err := newEnv(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = env.Opener.Close() }()
	env.Metrics = count
	env.Listener.Count(count)
	directory := peers.New(env.Authorizer.Cluster.Kube, o.Namespace, o.Node)
	env.Listener.Forward(directory, protocol.Agent)
	env.Listener.Know(func(from netip.Addr) bool {
		if policies.Known(from) || directory.Known(from) {
			return true
		}
		policies.RefreshSoon(ctx)
		return false
	})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listener: %w", err)
	}
	serve("listener", func(ctx context.Context) error { return env.Listener.Serve(ctx, l) })

	a := agent.New(agent.Config{
		Cluster: env.Authorizer.Cluster, Node: o.Node, NodeIP: o.NodeIP,
		Namespace: o.Namespace, Service: o.Service, Peers: directory, Log: o.Log,
	}, env)
	health.readyWhen(a.Ready)
	err = a.Run(ctx)
	o.Log.Info("agent stopped")
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func newEnv(ctx context.Context, o Options) (*session.Env, *authz.Accepted, error) {
	opener, err := mount.NewOpener(o.PodsDir)
	if err != nil {
		return nil, nil, err
	}
	state, err := statedir.Open(o.StateDir)
	if err != nil {
		return nil, nil, err
	}
	c, err := connect(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	nodeIP, err := netip.ParseAddr(o.NodeIP)
	if err != nil {
		return nil, nil, fmt.Errorf("--node-ip: %w", err)
	}
	v := &authz.Authorizer{Cluster: c, Node: o.Node, NodeIP: nodeIP, AgentNamespace: o.Namespace}
	policies := authz.NewAccepted(v)
	return &session.Env{
		WithoutPreserve: !canPreserve(),
		Authorizer:      v, Opener: opener, Devices: &device.Client{Socket: o.DevicesSocket}, State: state, Slots: session.NewSlots(), Log: o.Log,
		Listener: listen.New(listen.DefaultLimits(), func(from netip.Addr) string { return answer(ctx, policies, from) }, o.Log),
	}, policies, nil
}

// connectPeriod is how often an API server that does not answer is tried again.
const connectPeriod = 2 * time.Second

// connect waits for the API server: a node may be up before it.
func connect(ctx context.Context, o Options) (*cluster.Cluster, error) {
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("credentials for the API server: %w", err)
	}
	config.UserAgent = "motion-agent/" + version.Get().Version
	for {
		c, err := cluster.New(ctx, "this cluster", o.Namespace, config)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, cluster.ErrUnreachable) {
			return nil, err
		}
		o.Log.Warn("cannot reach the API server; will retry", "error", err)
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(connectPeriod):
		}
	}
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

// answer is the response to a probe.
func answer(ctx context.Context, policies *authz.Accepted, from netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	accepted, err := policies.Accepts(ctx, from)
	return listen.FormatAnswer(listen.Answer{SeenAs: from, Accepted: err == nil && accepted})
}
