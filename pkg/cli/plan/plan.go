// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package plan implements `kubectl motion plan`.
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

const long = `Show what a migration would do, and whether it is blocked.

Every object of the namespace is listed with its action and the reason. Each is
sent to the target's API server as a server-side dry-run with your own rights and
strict field validation. A pod of every workload is sent as well: Pod Security,
quotas and limits reject pods and not the workloads that create them.

Nothing is changed on either cluster.

` + exit.Status

const example = `  # Show what a migration to the cluster of the pair west would do
  kubectl motion plan --to west -n shop

  # Show what would block a cutover
  kubectl motion plan --to west -n shop --cutover

  # Plan for the objects with a label and their dependencies
  kubectl motion plan --to west -n shop -l app.kubernetes.io/part-of=cart

  # Print the whole plan as JSON
  kubectl motion plan --to west -n shop -o json

  # Check the route through the target's API server
  kubectl motion plan --to west -n shop --route relay

  # Write the objects as they would be on the target to a kustomize directory
  kubectl motion plan --to west -n shop --export ./shop

  # Write what an administrator of the target has to create, and apply it as one
  kubectl motion plan --to west -n shop --export-admin admin.yaml
  kubectl --context west-admin apply --server-side -f admin.yaml`

// Flags are the flags of the command.
type Flags struct {
	ends       *flags.TargetFlags
	what       flags.SelectionFlags
	namespaces flags.NamespaceFlags
	start      bool
	cutover    bool
	skipped    bool
	verbose    bool
	export     exportFlags
	output     output.Flags
	streams    genericiooptions.IOStreams
}

// NewCmdPlan returns the command.
func NewCmdPlan(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, volumes ...snapshot.Plugin) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), what: flags.NewSelectionFlags(volumes), streams: streams}
	cmd := &cobra.Command{
		Use:     "plan (--to PAIR | --to-context CONTEXT)",
		Short:   "Show what a migration would do and what blocks it",
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
	fs.BoolVar(&f.skipped, "show-skipped", false, "List every skipped object")
	fs.BoolVar(&f.verbose, "verbose", false, "List every object and every finding instead of one line for each cause; includes --show-skipped")
	fs.StringVar(&f.export.dir, "export", "", "Write the objects as they would be on the target to this directory, as a kustomization")
	fs.BoolVar(&f.export.secrets, "export-secrets", false, "Export Secrets, too; the files contain their values")
	fs.StringVar(&f.export.admin, "export-admin", "", "Write the objects that an administrator of the target has to create to this file")
	f.output.Add(fs)
	return cmd
}

// Options are the validated flags.
type Options struct {
	flags   *Flags
	request plan.Request
}

// ToOptions validates the flags.
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
		return nil, &exit.UsageError{Err: errors.New("--start and --cutover are mutually exclusive")}
	case f.namespaces.Several() && f.ends.ToNamespace != "":
		return nil, &exit.UsageError{Err: errors.New("--to-namespace cannot be used with several namespaces")}
	case f.export.secrets && f.export.dir == "":
		return nil, &exit.UsageError{Err: errors.New("--export-secrets requires --export")}
	case f.start:
		r.Mode = v1alpha1.ModeStart
	case f.cutover:
		r.Mode = v1alpha1.ModeCutover
	default:
		r.Mode = v1alpha1.ModeStandby
	}
	return &Options{flags: f, request: r}, nil
}

// NewDryRun returns the options for `kubectl motion migrate --dry-run`: the plan of
// the same request.
func NewDryRun(e *flags.TargetFlags, request plan.Request, ns flags.NamespaceFlags, out output.Flags, streams genericiooptions.IOStreams) *Options {
	return &Options{request: request, flags: &Flags{ends: e, namespaces: ns, output: out, streams: streams}}
}

// Run makes the plans and prints them. The returned error has an exit code: blocked,
// or incomplete.
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
	if err := o.flags.export.writeAdmin(plans, o.flags.streams.ErrOut); err != nil {
		return err
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
	r.Invocation = o.flags.ends.Invocation(namespace, r.Invocation.Name)
	return plan.Make(ctx, source, target, r)
}

// print writes one plan, or several as a list.
func (o *Options) print(plans []*plan.Plan) error {
	var b strings.Builder
	for i, p := range plans {
		if o.flags.output.Machine() {
			break
		}
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(Text(p, TextOptions{Skipped: o.flags.skipped || o.flags.verbose, Verbose: o.flags.verbose}))
	}
	if o.flags.namespaces.Several() {
		return o.flags.output.Print(o.flags.streams.Out, map[string]any{"plans": plans}, b.String())
	}
	return o.flags.output.Print(o.flags.streams.Out, plans[0], b.String())
}

// outcome is an error with the exit code of a plan that was made.
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
		return &outcome{exit.Blocked, fmt.Sprintf("the migration is blocked by %s", counted(blocked, "finding", "findings"))}
	case partial > 0:
		return &outcome{exit.Partial, fmt.Sprintf("the migration would be incomplete: %s not examined or in need of an administrator", counted(partial, "item", "items"))}
	}
	return nil
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
