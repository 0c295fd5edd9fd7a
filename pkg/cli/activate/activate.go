// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package activate implements the commands that start and stop a migrated application:
// `kubectl motion activate`, `deactivate` and `rollback`.
package activate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	climigrate "github.com/kubectl-motion/kubectl-motion/pkg/cli/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// verb is one of the three commands.
type verb struct {
	use, short, long, example, done string
	do                              func(*migrate.Switch, context.Context) error
}

// NewCmdActivate returns the command activate.
func NewCmdActivate(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCmd(config, streams, verb{
		use: "activate", short: "Start a migrated application on the target", done: "activated",
		long: `Start the copy that is on standby on the target, with the replicas, schedules and
node selectors of the source.

Rejected while a volume is a live copy, or its last sync was not verified.`,
		example: `  # Start the copy of namespace shop on the cluster of pair west
  kubectl motion activate --to west -n shop`,
		do: (*migrate.Switch).Activate,
	})
}

// NewCmdDeactivate returns the command deactivate.
func NewCmdDeactivate(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCmd(config, streams, verb{
		use: "deactivate", short: "Stop a migrated application on the target", done: "deactivated",
		long: `Put the copy on the target on standby again. What it wrote stays in its volumes
until the next migrate copies the source's state.`,
		example: `  # Stop the copy of namespace shop on the cluster of pair west
  kubectl motion deactivate --to west -n shop`,
		do: (*migrate.Switch).Deactivate,
	})
}

// NewCmdRollback returns the command rollback.
func NewCmdRollback(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCmd(config, streams, verb{
		use: "rollback", short: "Stop the target and start the source again", done: "rolled back",
		long: `Undo a cutover: put the copy on the target on standby and start the source as it
was. What was written on the target since the cutover stays there and is not copied
back.`,
		example: `  # Undo the cutover of namespace shop to the cluster of pair west
  kubectl motion rollback --to west -n shop`,
		do: (*migrate.Switch).Rollback,
	})
}

// Flags are the flags of all three commands.
type Flags struct {
	ends     *flags.TargetFlags
	name     string
	timeout  time.Duration
	progress string
	streams  genericiooptions.IOStreams
}

func newCmd(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, v verb) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use: v.use + " (--to PAIR | --to-context CONTEXT)", Short: v.short,
		Long: v.long + "\n\n" + exit.Status, Example: v.example,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), v) },
	}
	fs := cmd.Flags()
	f.ends.AddTarget(fs)
	fs.StringVar(&f.name, "name", "", "Name of the Migration (default: the name of the pair or context)")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for pods to end or to be ready")
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	return cmd
}

func (f *Flags) run(ctx context.Context, v verb) error {
	if err := f.ends.Check(); err != nil {
		return err
	}
	if err := flags.CheckTimeout(f.timeout); err != nil {
		return err
	}
	name, err := climigrate.Name(f.ends, f.name)
	if err != nil {
		return err
	}
	sink, err := progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut)
	if err != nil {
		return &exit.UsageError{Err: err}
	}
	defer sink.Close()
	source, target, err := f.connect(ctx, sink)
	if err != nil {
		return err
	}
	namespace, err := f.ends.SourceNamespace()
	if err != nil {
		return err
	}
	invocation := f.ends.Invocation(namespace, f.name)
	if err := v.do(&migrate.Switch{
		Source: source, Target: target, Name: name, Timeout: f.timeout, Sink: sink, Invocation: invocation,
	}, ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.streams.Out, "migration.kubectl-motion.dev/%s %s\n", name, v.done)
	return err
}

// connect returns a nil source when it cannot be reached and the target can be reached
// without it.
func (f *Flags) connect(ctx context.Context, sink progress.Sink) (source, target *cluster.Cluster, err error) {
	source, target, err = f.ends.Connect(ctx)
	if err == nil || !errors.Is(err, cluster.ErrUnreachable) || f.ends.ToContext == "" {
		return source, target, err
	}
	namespace, nerr := f.ends.SourceNamespace()
	if nerr != nil {
		return nil, nil, nerr
	}
	target, terr := f.ends.ConnectTargetContext(ctx, namespace)
	if terr != nil {
		return nil, nil, err
	}
	progress.Warnf(sink, "%v; continuing with the Migration on the target", err)
	return nil, target, nil
}
