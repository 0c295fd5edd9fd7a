// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package migrate implements `kubectl motion migrate`.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

const long = `Migrate a namespace's objects and volumes to another cluster.

Without further flags, all objects and volumes are on the target when the command
ends, verified and on standby: nothing runs there yet, and the source keeps running.
The command can be repeated; it sends only what changed.

  --start     starts the copy beside the running source (blue-green, tests).
              Rejected while a volume is a live copy: the application never was
              in that state. With storage that supports snapshots, the volumes
              are copied from snapshots.
  --cutover   moves the application: increments while the application runs, stop, last
              increment, start on the target. A failure before the target
              starts restores the source.

Several namespaces (--namespaces, --namespace-selector, -A) are migrated one after
the other, also when one fails. The report lists all of them with the exit status of
each, and the command then ends with status 3.

The command may be killed at any time: run the same command again to continue, or
kubectl motion rollback to start the source again.

` + exit.Status

const example = `  # Copy namespace shop to the cluster of pair west, on standby
  kubectl motion migrate --to west -n shop

  # Move it: stop the source, start the target
  kubectl motion migrate --to west -n shop --cutover

  # With your own identity on the target, without a pair
  kubectl motion migrate --to-context west -n shop

  # Every namespace of a team, as an administrator, with one report
  kubectl motion migrate --to-context west --namespace-selector team=shop -o json

  # A copy that runs beside the source, from snapshots while the source runs
  kubectl motion migrate --to west -n shop --start --copy-method snapshot

  # At most 50 MiB/s for each volume, result as JSON
  kubectl motion migrate --to west -n shop --bandwidth 50Mi -o json`

// Flags are the command's flags.
type Flags struct {
	ends      *flags.TargetFlags
	name      string
	start     bool
	cutover   bool
	dryRun    bool
	recreate  bool
	bandwidth string
	timeout   time.Duration
	what      flags.SelectionFlags
	spaces    flags.NamespaceFlags
	progress  string
	output    output.Flags
	streams   genericiooptions.IOStreams
}

// NewCmdMigrate returns the command.
func NewCmdMigrate(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, volumes ...snapshot.Plugin) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), what: flags.NewSelectionFlags(volumes), streams: streams}
	cmd := &cobra.Command{
		Use:     "migrate (--to PAIR | --to-context CONTEXT)",
		Short:   "Migrate a namespace's objects and volumes to another cluster",
		Long:    long,
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.ToOptions()
			if err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	f.ends.AddTarget(fs)
	fs.StringVar(&f.name, "name", "", "Name of the Migration; default: that of the pair or context")
	fs.BoolVar(&f.start, "start", false, "Start the copy on the target beside the source")
	fs.BoolVar(&f.cutover, "cutover", false, "Stop the source, ship the last increment, start the target")
	fs.BoolVar(&f.recreate, "recreate", false, "Delete and recreate immutable ConfigMaps and Secrets, and Jobs on standby, that differ on the target")
	fs.BoolVar(&f.dryRun, "dry-run", false, "Only print the plan, as kubectl motion plan does")
	fs.StringVar(&f.bandwidth, "bandwidth", "", "Limit for each volume, in bytes per second on the wire, such as 50Mi")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for a step that makes no progress")
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	f.what.Add(fs)
	f.spaces.Add(fs)
	f.output.Add(fs)
	return cmd
}

// Options are what Run needs.
type Options struct {
	flags   *Flags
	request migrate.Request
	sink    progress.Sink
}

// ToOptions validates the flags.
func (f *Flags) ToOptions() (*Options, error) {
	timeout := func() error { return flags.CheckTimeout(f.timeout) }
	for _, check := range []func() error{f.ends.Check, f.output.Check, f.spaces.Check, timeout} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if f.spaces.Several() && f.ends.ToNamespace != "" {
		return nil, &exit.UsageError{Err: errors.New("--to-namespace requires exactly one namespace")}
	}
	what, err := f.what.Request()
	if err != nil {
		return nil, err
	}
	o := &Options{flags: f, request: migrate.Request{Pair: f.ends.To, Timeout: f.timeout, Plan: what, Recreate: f.recreate}}
	if o.request.Name, err = Name(f.ends, f.name); err != nil {
		return nil, err
	}
	if o.request.Mode, err = f.mode(); err != nil {
		return nil, err
	}
	o.request.Plan.Mode, o.request.Plan.Recreate, o.request.Plan.Invocation.Name = o.request.Mode, f.recreate, f.name
	if o.request.Limits, err = f.limits(); err != nil {
		return nil, err
	}
	if o.sink, err = progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut); err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	return o, nil
}

func (f *Flags) mode() (v1alpha1.Mode, error) {
	switch {
	case f.start && f.cutover:
		return "", &exit.UsageError{Err: errors.New("--start and --cutover cannot be used together")}
	case f.start:
		return v1alpha1.ModeStart, nil
	case f.cutover:
		return v1alpha1.ModeCutover, nil
	}
	return v1alpha1.ModeStandby, nil
}

func (f *Flags) limits() (*v1alpha1.ShipmentLimits, error) {
	if f.bandwidth == "" {
		return nil, nil
	}
	q, err := resource.ParseQuantity(f.bandwidth)
	if err != nil || q.Value() <= 0 {
		return nil, &exit.UsageError{Err: fmt.Errorf("invalid --bandwidth %q: must be a positive number of bytes per second, such as 50Mi", f.bandwidth)}
	}
	return &v1alpha1.ShipmentLimits{Bandwidth: &q}, nil
}

// Run migrates the selected namespaces one after the other, also when one fails.
func (o *Options) Run(ctx context.Context) error {
	f := o.flags
	if f.dryRun {
		o.sink.Close()
		return plan.NewDryRun(f.ends, o.request.Plan, f.spaces, f.output, f.streams).Run(ctx)
	}
	source, names, err := o.namespaces(ctx)
	if err != nil {
		o.sink.Close()
		return err
	}
	if f.spaces.Several() {
		return o.migrateAll(ctx, source, names)
	}
	result, err := o.migrateOne(ctx, source.In(names[0]))
	o.sink.Close()
	if result.Migration == "" || (err != nil && !partial(err)) {
		return err
	}
	return errors.Join(err, f.output.Print(f.streams.Out, result, summary(result)))
}

func (o *Options) namespaces(ctx context.Context) (*cluster.Cluster, []string, error) {
	source, err := o.flags.ends.ConnectSource(ctx)
	if err != nil {
		return nil, nil, err
	}
	names, err := o.flags.spaces.Resolve(ctx, source, source.Namespace)
	return source, names, err
}

// migrateAll makes one report about all namespaces, those included that failed.
func (o *Options) migrateAll(ctx context.Context, source *cluster.Cluster, names []string) error {
	all := &several{}
	for _, name := range names {
		if ctx.Err() != nil {
			all.add(name, migrate.Result{}, fmt.Errorf("not started: %w", ctx.Err()))
			continue
		}
		progress.Stepf(o.sink, "namespace %s", name)
		result, err := o.migrateOne(ctx, source.In(name))
		if err != nil {
			progress.Warnf(o.sink, "namespace %s: %v", name, err)
		}
		all.add(name, result, err)
	}
	o.sink.Close()
	err := o.flags.output.Print(o.flags.streams.Out, all, all.text())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(all.failed(), err)
}

func (o *Options) migrateOne(ctx context.Context, source *cluster.Cluster) (migrate.Result, error) {
	target, err := o.flags.ends.ConnectTarget(ctx, source, source.Namespace)
	if err != nil {
		return migrate.Result{}, err
	}
	request := o.request
	request.Invocation = o.flags.ends.Invocation(source.Namespace, o.flags.name)
	run := &migrate.Run{Source: source, Target: target, Request: request, Sink: o.sink}
	return run.Do(ctx)
}

func partial(err error) bool {
	_, ok := errors.AsType[*migrate.PartialError](err)
	return ok
}
