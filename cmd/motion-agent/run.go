// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/daemon"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/device"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
)

func newRunCommand() *cobra.Command {
	o := daemon.Options{
		Node: os.Getenv("NODE_NAME"), NodeIP: os.Getenv("NODE_IP"), Namespace: os.Getenv("POD_NAMESPACE"),
		Service: "motion-agent", PodsDir: "/host/pods", StateDir: "/var/lib/kubectl-motion",
		DevicesSocket: device.DefaultSocket, Listen: ":4747", Health: ":8081",
	}
	level := "info"
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve the volume shipments of this node",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level: %w", err)
			}
			if err := fsread.CheckIDs(); err != nil {
				return err
			}
			// A blocking system call holds a processor until the scheduler notices.
			runtime.GOMAXPROCS(4 * runtime.NumCPU())
			o.Log = slog.New(slog.NewJSONHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: l}))
			return daemon.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Node, "node", o.Node, "Name of this node (default $NODE_NAME)")
	f.StringVar(&o.NodeIP, "node-ip", o.NodeIP, "Address of this node's NodePorts (default $NODE_IP)")
	f.StringVar(&o.Namespace, "namespace", o.Namespace, "Namespace of the agents (default $POD_NAMESPACE)")
	f.StringVar(&o.Service, "service", o.Service, "Name of the agents' NodePort Service")
	f.StringVar(&o.PodsDir, "pods-dir", o.PodsDir, "Directory of the kubelet's pods, as mounted here")
	f.StringVar(&o.DevicesSocket, "devices-socket", o.DevicesSocket, "Socket of the container that opens raw block volumes")
	f.StringVar(&o.StateDir, "state-dir", o.StateDir, "Directory for state that survives restarts of the agent")
	f.StringVar(&o.Listen, "listen", o.Listen, "Address to listen on for agents of other clusters")
	f.StringVar(&o.Health, "health", o.Health, "Address to listen on for the kubelet's probes")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "Kubeconfig file, outside a cluster")
	f.StringVar(&level, "log-level", level, "One of debug, info, warn, error")
	return c
}
