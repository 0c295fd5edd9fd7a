// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command motion-agent is the daemon on each node that ships volumes, and the
// shipping engine by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

func main() {
	os.Exit(run())
}

// run ends on the first signal in an orderly way, with every volume closed. A
// second signal ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if e, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err); ok {
			return e.ExitCode()
		}
		return 1
	}
	return 0
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

// ExitCode is the process's exit status.
func (*usageError) ExitCode() int { return 2 }

func (e *usageError) Unwrap() error { return e.error }

// usage makes what check finds wrong with the arguments an error of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

func newRootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:           "motion-agent",
		Short:         "Ship volumes between clusters",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c.AddCommand(newRunCommand(), newDevicesCommand(), newProbeCommand(), newRelayCommand(), newCopyCommand(), newVersionCommand())
	return c
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), version.Get())
			return err
		},
	}
}
