// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"k8s.io/klog/v2"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/server"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

// RelayOptions are a relay's settings.
type RelayOptions struct {
	// Namespace is the agents' own.
	Namespace string
	// Listen is where port-forwards arrive: loopback, so that nothing else does.
	Listen string
	// Health is where the kubelet's probes arrive.
	Health string
	// Kubeconfig for running outside a cluster; empty inside.
	Kubeconfig string
	Log        *slog.Logger
}

func (o *RelayOptions) validate() error {
	if o.Namespace == "" {
		return errors.New("--namespace is required: the namespace of the agents")
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("invalid --listen %q: must be a loopback address, because the relay accepts port-forwards only", o.Listen)
	}
	return nil
}

// RunRelay serves until ctx ends.
func RunRelay(ctx context.Context, o RelayOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	klog.SetSlogLogger(o.Log)
	o.Log.Info("relay started", "version", version.Get().String())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	health := &health{}
	var servers sync.WaitGroup
	defer servers.Wait()
	defer cancel(nil)
	servers.Go(func() {
		if err := health.serve(ctx, o.Health); err != nil {
			cancel(fmt.Errorf("health: %w", err))
		}
	})
	c, err := connect(ctx, Options{Namespace: o.Namespace, Kubeconfig: o.Kubeconfig, Log: o.Log})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listener: %w", err)
	}
	r := server.New(c, o.Namespace, o.Log)
	health.readyWhen(r.Ready)
	return r.Serve(ctx, l)
}
