// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package plan is the verb `kubectl motion plan`.
package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

const long = `Show what a migration would do, and whether it can.

Every object of the namespace is listed with what becomes of it and why. The
target's API server tries each of them without writing it, as you, with strict
validation; a pod of every workload is tried as well, because Pod Security,
quotas and limits refuse pods and not the workloads that make them.

Nothing is changed on either cluster.

` + exit.Status

const example = `  # What would a migration to the cluster of pair west do?
  kubectl motion plan --to west -n shop

  # Would a cutover go through?
  kubectl motion plan --to west -n shop --cutover

  # Only what carries a label, and what that needs
  kubectl motion plan --to west -n shop -l app.kubernetes.io/part-of=cart

  # Everything, for a program
  kubectl motion plan --to west -n shop -o json

  # Would the data arrive without a connection between the nodes?
  kubectl motion plan --to west -n shop --route relay

  # The objects as they would be on the target, as a kustomize directory
  kubectl motion plan --to west -n shop --export ./shop`

// TargetFlags are what was typed.
type Flags struct {
	ends       *flags.TargetFlags
	what       flags.SelectionFlags
	namespaces flags.NamespaceFlags
	start      bool
	cutover    bool
	all        bool
	export     exportFlags
	output     output.Flags
	streams    genericiooptions.IOStreams
}

// NewCmdPlan returns the verb.
func NewCmdPlan(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, volumes ...snapshot.Plugin) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), what: flags.NewSelectionFlags(volumes), streams: streams}
	cmd := &cobra.Command{
		Use:     "plan (--to PAIR | --to-context CONTEXT)",
		Short:   "Show what a migration would do, and whether it can",
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
	f.what.Add(fs)
	f.namespaces.Add(fs)
	fs.BoolVar(&f.start, "start", false, "Plan a migration with --start")
	fs.BoolVar(&f.cutover, "cutover", false, "Plan a migration with --cutover")
	fs.BoolVar(&f.all, "show-skipped", false, "List the objects that stay behind one by one")
	fs.StringVar(&f.export.dir, "export", "", "Write the objects as they would be on the target to this directory, as a kustomization")
	fs.BoolVar(&f.export.secrets, "export-secrets", false, "Export Secrets, too; their values are in the files")
	f.output.Add(fs)
	return cmd
}

// Options are what runs.
type Options struct {
	flags   *Flags
	request plan.Request
}

// ToOptions checks what was typed.
func (f *Flags) ToOptions() (*Options, error) {
	for _, check := range []func() error{f.ends.Check, f.output.Check, f.namespaces.Check} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	r, err := f.what.Request()
	if err != nil {
		return nil, err
	}
	switch {
	case f.start && f.cutover:
		return nil, &exit.UsageError{Err: errors.New("--start and --cutover exclude each other")}
	case f.namespaces.Several() && f.ends.ToNamespace != "":
		return nil, &exit.UsageError{Err: errors.New("--to-namespace is for one namespace only")}
	case f.export.secrets && f.export.dir == "":
		return nil, &exit.UsageError{Err: errors.New("--export-secrets goes with --export")}
	case f.start:
		r.Mode = v1alpha1.ModeStart
	case f.cutover:
		r.Mode = v1alpha1.ModeCutover
	default:
		r.Mode = v1alpha1.ModeStandby
	}
	return &Options{flags: f, request: r}, nil
}

// NewDryRun returns what `kubectl motion migrate --dry-run` runs: the plan of
// that very migration.
func NewDryRun(e *flags.TargetFlags, request plan.Request, ns flags.NamespaceFlags, out output.Flags, streams genericiooptions.IOStreams) *Options {
	return &Options{request: request, flags: &Flags{ends: e, namespaces: ns, output: out, streams: streams}}
}

// Run makes the plans and prints them. The error says whether the migration
// would be blocked, or incomplete.
func (o *Options) Run(ctx context.Context) error {
	source, err := o.flags.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	names, err := o.flags.namespaces.Resolve(ctx, source, source.Namespace)
	if err != nil {
		return err
	}
	var plans []*plan.Plan
	for _, ns := range names {
		p, err := o.plan(ctx, source, ns)
		if err != nil {
			return err
		}
		plans = append(plans, p)
		if err := o.flags.export.write(p, len(names) > 1, o.flags.streams.ErrOut); err != nil {
			return err
		}
		p.Discard()
	}
	if err := o.print(plans); err != nil {
		return err
	}
	return verdict(plans)
}

func (o *Options) plan(ctx context.Context, source *cluster.Cluster, namespace string) (*plan.Plan, error) {
	target, err := o.flags.ends.ConnectTarget(ctx, source, namespace)
	if err != nil {
		return nil, err
	}
	r := o.request
	r.SourceNamespace, r.TargetNamespace = namespace, target.Namespace
	return plan.Make(ctx, source, target, r)
}

// print writes one plan as itself and several as a list.
func (o *Options) print(plans []*plan.Plan) error {
	var b strings.Builder
	for i, p := range plans {
		if o.flags.output.Machine() {
			break
		}
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(Text(p, o.flags.all))
	}
	if o.flags.namespaces.Several() {
		return o.flags.output.Print(o.flags.streams.Out, map[string]any{"plans": plans}, b.String())
	}
	return o.flags.output.Print(o.flags.streams.Out, plans[0], b.String())
}

// outcome is what the exit code says about a plan that was made.
type outcome struct {
	code    int
	message string
}

func (e *outcome) Error() string { return e.message }

// ExitCode is for package exit.
func (e *outcome) ExitCode() int { return e.code }

func verdict(plans []*plan.Plan) error {
	blocked, partial := 0, 0
	for _, p := range plans {
		blocked += len(p.Blockers)
		partial += len(p.NotExamined) + len(p.NeedsAdmin())
	}
	switch {
	case blocked > 0:
		return &outcome{exit.Blocked, fmt.Sprintf("the migration is blocked: %s", counted(blocked, "reason", "reasons"))}
	case partial > 0:
		return &outcome{exit.Partial, fmt.Sprintf("the migration would be incomplete: %s not examined or for an administrator", counted(partial, "item", "items"))}
	}
	return nil
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
