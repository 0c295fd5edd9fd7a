// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/daemon"
)

func newRelayCommand() *cobra.Command {
	o := daemon.RelayOptions{Namespace: os.Getenv("POD_NAMESPACE"), Listen: "127.0.0.1:4748", Health: ":8081"}
	level := "info"
	c := &cobra.Command{
		Use:   "relay",
		Short: "Forward port-forward connections to the agents",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level: %w", err)
			}
			o.Log = slog.New(slog.NewJSONHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: l}))
			return daemon.RunRelay(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Namespace, "namespace", o.Namespace, "Namespace of the agents (default $POD_NAMESPACE)")
	f.StringVar(&o.Listen, "listen", o.Listen, "Loopback address to listen on for port-forwards")
	f.StringVar(&o.Health, "health", o.Health, "Address to listen on for the kubelet's probes")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "Kubeconfig file, outside a cluster")
	f.StringVar(&level, "log-level", level, "One of debug, info, warn, error")
	return c
}
