// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command motion-agent is the daemon that ships the volumes of a node, and the command line of its engine.
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

// run closes every volume on the first signal. A second signal ends the process immediately.
// Errors choose the exit status by a method of this project: that of a child process (exec.ExitError) is not ours.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if e, ok := errors.AsType[interface {
			error
			ExitStatus() int
		}](err); ok {
			return e.ExitStatus()
		}
		return 1
	}
	return 0
}

// usageError is an invalid command line.
type usageError struct{ error }

// ExitStatus is the exit status of the process.
func (*usageError) ExitStatus() int { return 2 }

func (e *usageError) Unwrap() error { return e.error }

// usage turns the errors of check into usage errors.
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
