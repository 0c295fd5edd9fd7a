// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package report implements `kubectl motion report`.
package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/report"
)

const long = `Show the report of a migration: counts, volumes, and every object that was
skipped, changed, failed or is waiting, with the reason.

The report is stored on both clusters. If the source is gone, read it from the
target with --context and -n of the target.

` + exit.Status

const example = `  # Show the report of the only migration of namespace shop
  kubectl motion report -n shop

  # Show the report of the migration west as JSON
  kubectl motion report west -n shop -o json`

// Flags are the flags of the command.
type Flags struct {
	ends    *flags.TargetFlags
	output  output.Flags
	streams genericiooptions.IOStreams
}

// NewCmdReport returns the command.
func NewCmdReport(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use:     "report [NAME]",
		Short:   "Show the report of a migration",
		Long:    long,
		Example: example,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.ToOptions(args)
			if err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	f.output.Add(cmd.Flags())
	return cmd
}

// Options are the validated flags and arguments.
type Options struct {
	flags *Flags
	name  string
}

// ToOptions validates flags and arguments.
func (f *Flags) ToOptions(args []string) (*Options, error) {
	o := &Options{flags: f}
	if len(args) > 0 {
		o.name = args[0]
	}
	return o, f.output.Check()
}

// Output is what the command prints with -o json and -o yaml.
type Output struct {
	Migration string                     `json:"migration"`
	Namespace string                     `json:"namespace"`
	Spec      v1alpha1.MigrationSpec     `json:"spec"`
	Succeeded metav1.ConditionStatus     `json:"succeeded"`
	Step      string                     `json:"step,omitempty"`
	Counts    v1alpha1.MigrationCounts   `json:"counts"`
	Volumes   []v1alpha1.MigrationVolume `json:"volumes,omitempty"`
	// DowntimeSeconds of a cutover: from the stop of the source until the target is ready.
	DowntimeSeconds float64 `json:"downtimeSeconds,omitempty"`
	// Rows are the objects that did not simply move.
	Rows []report.Row `json:"rows,omitempty"`
	// RowsDropped is the number of rows that were not stored on the cluster.
	RowsDropped int                     `json:"rowsDropped,omitempty"`
	NotExamined []inventory.NotExamined `json:"notExamined,omitempty"`
}

// Run prints the report.
func (o *Options) Run(ctx context.Context) error {
	c, err := o.flags.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	m, err := o.migration(ctx, c)
	if err != nil {
		return err
	}
	l, dropped, err := report.Load(ctx, c, m.Namespace, m.Name)
	if err != nil {
		return err
	}
	out := newOutput(m, l, dropped)
	return o.flags.output.Print(o.flags.streams.Out, out, text(out))
}

// migration returns the named migration, or the only one of the namespace.
func (o *Options) migration(ctx context.Context, c *cluster.Cluster) (*v1alpha1.Migration, error) {
	if o.name != "" {
		return cluster.Get[v1alpha1.Migration](ctx, c, v1alpha1.Migrations, c.Namespace, o.name)
	}
	list, err := cluster.List[v1alpha1.Migration](ctx, c, v1alpha1.Migrations, c.Namespace, metav1.ListOptions{})
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("no migrations found in namespace %s of %s", c.Namespace, c)
	case len(list) == 1:
		return &list[0], nil
	}
	names := make([]string, 0, len(list))
	for _, m := range list {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return nil, &exit.UsageError{Err: errors.New("several migrations found, specify one of: " + strings.Join(names, ", "))}
}

func newOutput(m *v1alpha1.Migration, l report.Summary, dropped int) Output {
	a := Output{
		Migration: m.Name, Namespace: m.Namespace, Spec: m.Spec, Succeeded: metav1.ConditionUnknown, Step: m.Status.Step,
		Counts: m.Status.Counts, Volumes: m.Status.Volumes, Rows: l.Rows, RowsDropped: dropped, NotExamined: l.NotExamined,
	}
	for _, c := range m.Status.Conditions {
		if c.Type == v1alpha1.MigrationSucceeded {
			a.Succeeded = c.Status
		}
	}
	if s := m.Status; s.StoppedTime != nil && s.ReadyTime != nil {
		a.DowntimeSeconds = s.ReadyTime.Sub(s.StoppedTime.Time).Seconds()
	}
	return a
}

func text(a Output) string {
	var b strings.Builder
	fmt.Fprintf(&b, "migration.kubectl-motion.dev/%s: %s\n", a.Migration, state(a))
	c := a.Counts
	fmt.Fprintf(&b, "objects: %d moved, %d unchanged, %d waiting for activation, %d skipped, %d need an administrator, %d failed; %d kinds not examined\n",
		c.Moved, c.Unchanged, c.Waiting, c.Skipped, c.NeedsAdmin, c.Failed, c.NotExamined)
	for _, v := range a.Volumes {
		fmt.Fprintf(&b, "volume %s: verified sync %d, %s%s, %s sent, %s on the wire\n",
			oneLine(v.Claim), v.VerifiedSync, oneLine(v.Consistency), oneLine(reason(v)), progress.Bytes(v.SentBytes), progress.Bytes(v.WireBytes))
	}
	if a.DowntimeSeconds > 0 {
		fmt.Fprintf(&b, "downtime: %.1fs\n", a.DowntimeSeconds)
	}
	rows(&b, a)
	return b.String()
}

func state(a Output) string {
	switch a.Succeeded {
	case metav1.ConditionTrue:
		return "succeeded"
	case metav1.ConditionFalse:
		return "incomplete"
	}
	return "running, step " + cmp.Or(oneLine(a.Step), "unknown")
}

func reason(v v1alpha1.MigrationVolume) string {
	if v.Reason == "" {
		return ""
	}
	return " (" + v.Reason + ")"
}

func rows(b *strings.Builder, a Output) {
	if len(a.Rows) > 0 {
		fmt.Fprintln(b)
		w := tabwriter.NewWriter(b, 0, 8, 3, ' ', 0)
		fmt.Fprintln(w, "OBJECT\tOUTCOME\tREASON\tMESSAGE")
		for _, r := range a.Rows {
			lines := append([]string{r.Message}, r.Changes...)
			if r.Message == "" && len(r.Changes) > 0 {
				lines = r.Changes
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", oneLine(r.Object), r.Outcome, oneLine(r.Reason), oneLine(lines[0]))
			for _, l := range lines[1:] {
				fmt.Fprintf(w, "\t\t\t%s\n", oneLine(l))
			}
		}
		// A strings.Builder takes everything.
		_ = w.Flush()
	}
	if a.RowsDropped > 0 {
		fmt.Fprintf(b, "and %d more objects that are not stored on the cluster\n", a.RowsDropped)
	}
	for _, n := range a.NotExamined {
		fmt.Fprintf(b, "not examined: %s %s: %s\n", oneLine(n.Resource), oneLine(n.Group), oneLine(n.Message))
	}
}

// oneLine keeps a string from a cluster within its line and its cell.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
