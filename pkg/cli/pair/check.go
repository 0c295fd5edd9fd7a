// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

const checkLong = `Try a pair hop by hop, and say what to do about each that does not work: API
servers, the credential and until when it lives, every right that a migration
needs, agents and kinds and whether they are of this plugin's version, policies,
and the routes between the agents with the rate at which bytes arrived.

For the route a pod of the agents' image runs for a moment on the source: in the
agents' namespace, or in the pair's when you may not make pods there. --no-route
leaves that out. Everything else only reads. Without NAME, all pairs of the
namespace are tried.

A hop that you may not look at is unknown, and counts as one that failed.

` + exit.Status

const checkExample = `  # Does the pair west of namespace shop work?
  kubectl motion pair check west -n shop

  # Every pair of the cluster, without a pod
  kubectl motion pair check -A --no-route

  # For a program
  kubectl motion pair check west -n shop -o json`

type checkFlags struct {
	ends    *flags.TargetFlags
	all     bool
	noRoute bool
	output  output.Flags
	streams genericiooptions.IOStreams
}

func newCmdCheck(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &checkFlags{ends: flags.NewTargetFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use: "check [NAME]", Short: "Try a pair hop by hop", Long: checkLong, Example: checkExample, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "Pairs of all namespaces")
	cmd.Flags().BoolVar(&f.noRoute, "no-route", false, "Do not try the route between the agents")
	f.output.Add(cmd.Flags())
	return cmd
}

// unwellError is returned when a hop of a pair does not work.
type unwellError struct{ pairs []string }

func (e *unwellError) Error() string {
	return "some checks failed or could not run: " + strings.Join(e.pairs, ", ")
}

// ExitCode is that of a command that finished with some items failed.
func (*unwellError) ExitCode() int { return exit.Partial }

func (f *checkFlags) run(ctx context.Context, args []string) error {
	if err := f.output.Check(); err != nil {
		return err
	}
	if f.all && len(args) > 0 {
		return &exit.UsageError{Err: errors.New("NAME and -A exclude each other")}
	}
	source, err := f.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	namespaces := []string{source.Namespace}
	if f.all {
		namespaces = nil
	}
	pairs, err := check.List(ctx, source, namespaces, time.Now())
	if err != nil {
		return err
	}
	var reports []check.Report
	bad := &unwellError{}
	for _, p := range pairs {
		if len(args) > 0 && p.Name != args[0] {
			continue
		}
		c := &check.Check{Source: source, Namespace: p.Namespace, Name: p.Name, Route: !f.noRoute, Version: version.Get().Version, Now: time.Now()}
		r := c.Run(ctx)
		reports = append(reports, r)
		if !r.Good() {
			bad.pairs = append(bad.pairs, p.Namespace+"/"+p.Name)
		}
	}
	if len(reports) == 0 {
		return f.none(source.Namespace, args, pairs)
	}
	if err := f.output.Print(f.streams.Out, map[string]any{"pairs": reports}, checkText(reports)); err != nil || len(bad.pairs) == 0 {
		return err
	}
	return bad
}

func (f *checkFlags) none(namespace string, args []string, pairs []check.Pair) error {
	if len(args) == 0 {
		return fmt.Errorf("no pairs in namespace %s; an administrator makes one with: kubectl motion pair NAME --to-context CONTEXT -n %s", namespace, namespace)
	}
	names := make([]string, 0, len(pairs))
	for _, p := range pairs {
		names = append(names, p.Name)
	}
	return fmt.Errorf("no pair %s in namespace %s; there are: %s", args[0], namespace, strings.Join(names, ", "))
}

func checkText(reports []check.Report) string {
	var b strings.Builder
	for _, r := range reports {
		if len(reports) > 1 {
			fmt.Fprintf(&b, "%s/%s\n", r.Namespace, r.Name)
		}
		w := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
		for _, h := range r.Hops {
			fmt.Fprintf(w, "%s\t%s\t%s\n", h.Verdict, cell(h.Name), cell(h.Message))
			if h.Next != "" && h.Verdict != check.OK {
				fmt.Fprintf(w, "\t\tnext: %s\n", cell(h.Next))
			}
		}
		// A strings.Builder takes everything.
		_ = w.Flush()
	}
	return b.String()
}
