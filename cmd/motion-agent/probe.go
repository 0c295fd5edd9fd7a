// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
)

// errNoRoute is returned when no address leads to an agent that accepts this cluster.
var errNoRoute = errors.New("no reachable agent accepts connections from this cluster")

func newProbeCommand() *cobra.Command {
	timeout := 10 * time.Second
	c := &cobra.Command{
		Use:   "probe HOST:PORT...",
		Short: "Check whether the agents of another cluster are reachable",
		Long: `Check whether the agents of another cluster are reachable from here, and as which
address they see this cluster: MotionPolicies apply to that address.

Prints one line per address with the measured rate. Fails if no address leads to an agent
whose policies accept the connection.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return probeAll(c.Context(), c.OutOrStdout(), args, timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", timeout, "Maximum time to wait for each address")
	return c
}

func probeAll(ctx context.Context, out io.Writer, addresses []string, timeout time.Duration) error {
	lines := make([]string, len(addresses))
	good := make([]bool, len(addresses))
	var work sync.WaitGroup
	for i, address := range addresses {
		work.Go(func() {
			answer, err := listen.Probe(ctx, address, timeout)
			lines[i], good[i] = describe(address, answer, err)
		})
	}
	work.Wait()
	// One after the other: they share the network.
	for i, address := range addresses {
		if !good[i] {
			continue
		}
		if rate, err := listen.MeasureRate(ctx, address, timeout); err == nil && rate > 0 {
			lines[i] += fmt.Sprintf(", at %d MiB/s", max(rate>>20, 1))
		}
	}
	reached := false
	for i, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
		reached = reached || good[i]
	}
	if !reached {
		return errNoRoute
	}
	return nil
}

func describe(address string, a listen.Answer, err error) (line string, good bool) {
	switch {
	case err != nil:
		return fmt.Sprintf("%s: no agent reachable: %s", fault.Printable(address), fault.Message(err)), false
	case !a.Accepted:
		return fmt.Sprintf("%s: the agent sees this cluster as %s, and no MotionPolicy accepts it", address, a.SeenAs), false
	}
	return fmt.Sprintf("%s: the agent sees this cluster as %s and accepts it", address, a.SeenAs), true
}
