// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package migrate is the verb `kubectl motion migrate`.
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
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/ends"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const long = `Bring a namespace's objects and volumes to another cluster.

Without further flags the command ends with everything on the target, verified
and at rest: nothing runs there yet, and the source goes on as before. Run it
again as often as you like; it sends only what changed.

  --start     starts the copy beside the running source (blue-green, tests).
              Refused while a volume could only be copied under a running
              application: such a copy is no state it was ever in.
  --cutover   moves for good: increments while the application runs, stop, last
              increment, start on the target. Whatever fails before the target
              starts puts the source back as it was.

The command may be killed at any time: the same command goes on, and
kubectl motion rollback puts the source back.

` + exit.Status

const example = `  # Copy namespace shop to the cluster of pair west, at rest
  kubectl motion migrate --to west -n shop

  # Move it for good
  kubectl motion migrate --to west -n shop --cutover

  # With your own identity on the target, without a pair
  kubectl motion migrate --to-context west -n shop

  # At most 50 MiB/s for each volume, result as JSON
  kubectl motion migrate --to west -n shop --bandwidth 50Mi -o json`

// Flags are what was typed.
type Flags struct {
	ends      *ends.Flags
	name      string
	start     bool
	cutover   bool
	force     bool
	bandwidth string
	classes   map[string]string
	timeout   time.Duration
	progress  string
	output    output.Flags
	streams   genericiooptions.IOStreams
}

// NewCmdMigrate returns the verb.
func NewCmdMigrate(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &Flags{ends: ends.NewFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use:     "migrate (--to PAIR | --to-context CONTEXT)",
		Short:   "Bring a namespace's objects and volumes to another cluster",
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
	fs.BoolVar(&f.cutover, "cutover", false, "Move for good: stop the source, ship the last increment, start the target")
	fs.BoolVar(&f.force, "force-conflicts", false, "Take over fields of target objects that others own")
	fs.StringVar(&f.bandwidth, "bandwidth", "", "Bytes per second on the wire for each volume, as in 50Mi")
	fs.StringToStringVar(&f.classes, "storage-class", nil, "Storage class on the target for one on the source, as in fast=premium")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for any one thing that makes no progress")
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	f.output.Add(fs)
	return cmd
}

// Options are what runs.
type Options struct {
	flags   *Flags
	request migrate.Request
	sink    progress.Sink
}

// ToOptions checks what was typed.
func (f *Flags) ToOptions() (*Options, error) {
	if err := f.ends.Check(); err != nil {
		return nil, err
	}
	if err := f.output.Check(); err != nil {
		return nil, err
	}
	if err := ends.CheckTimeout(f.timeout); err != nil {
		return nil, err
	}
	name, err := Name(f.ends, f.name)
	if err != nil {
		return nil, err
	}
	o := &Options{flags: f, request: migrate.Request{
		Name: name, Pair: f.ends.To, Mode: v1alpha1.ModeAtRest, Patience: f.timeout,
		Plan: plan.Request{StorageClasses: f.classes, ForceConflicts: f.force},
	}}
	switch {
	case f.start && f.cutover:
		return nil, &exit.UsageError{Err: errors.New("--start and --cutover exclude each other")}
	case f.start:
		o.request.Mode = v1alpha1.ModeStart
	case f.cutover:
		o.request.Mode = v1alpha1.ModeCutover
	}
	if f.bandwidth != "" {
		q, err := resource.ParseQuantity(f.bandwidth)
		if err != nil || q.Value() <= 0 {
			return nil, &exit.UsageError{Err: fmt.Errorf("--bandwidth %q must be a positive quantity of bytes per second, as in 50Mi", f.bandwidth)}
		}
		o.request.Limits = &v1alpha1.ShipmentLimits{Bandwidth: &q}
	}
	if o.sink, err = progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut); err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	return o, nil
}

// Run migrates.
func (o *Options) Run(ctx context.Context) error {
	source, target, err := o.flags.ends.Connect(ctx)
	if err != nil {
		o.sink.Close()
		return err
	}
	run := &migrate.Run{Source: source, Target: target, Request: o.request, Sink: o.sink}
	result, err := run.Do(ctx)
	o.sink.Close()
	var partial *migrate.PartialError
	if result.Migration == "" || (err != nil && !errors.As(err, &partial)) {
		return err
	}
	return errors.Join(err, o.flags.output.Print(o.flags.streams.Out, result, summary(result)))
}
