// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/device"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
)

func newDevicesCommand() *cobra.Command {
	socket, plugins := device.DefaultSocket, "/host/plugins"
	c := &cobra.Command{
		Use:   "devices",
		Short: "Open raw block volumes for the agent of this node",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := device.Confine(); err != nil {
				return err
			}
			devices, err := mount.NewDevices(plugins)
			if err != nil {
				return err
			}
			defer func() { _ = devices.Close() }()
			return device.Serve(c.Context(), socket, devices, slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil)))
		},
	}
	f := c.Flags()
	f.StringVar(&socket, "socket", socket, "Socket to listen on")
	f.StringVar(&plugins, "plugins-dir", plugins, "Directory of the kubelet's plugins, as mounted here")
	return c
}
