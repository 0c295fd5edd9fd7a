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

// errNoRoute is returned when not one address leads to an agent that accepts us.
var errNoRoute = errors.New("no agent can be reached that accepts connections from here")

func newProbeCommand() *cobra.Command {
	timeout := 10 * time.Second
	c := &cobra.Command{
		Use:   "probe HOST:PORT...",
		Short: "Ask the agents of another cluster whether they can be reached from here",
		Long: `Ask the agents of another cluster whether they can be reached from here, and
as which address they see it: policies are about that one.

Prints a line for each address, with the rate at which bytes arrived there. Fails when none leads to an agent whose policies
accept the connection.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return probeAll(c.Context(), c.OutOrStdout(), args, timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", timeout, "How long to wait for each address")
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
	// One after the other: they share the way.
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
		return fmt.Sprintf("%s: no agent: %s", fault.Printable(address), fault.Message(err)), false
	case !a.Accepted:
		return fmt.Sprintf("%s: the agent sees this cluster as %s, which no MotionPolicy there accepts", address, a.SeenAs), false
	}
	return fmt.Sprintf("%s: the agent sees this cluster as %s and accepts it", address, a.SeenAs), true
}
