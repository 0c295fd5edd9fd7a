// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const listLong = `Show where the users of a namespace may migrate to.

READY is what the last check or pairing found, and False when the credential or
the pair has ended. CREDENTIAL is how long the present credential still lives,
ENDS how long the pair does: until then the credential is renewed.

` + exit.Status

const listExample = `  # The pairs of namespace shop
  kubectl motion pairs -n shop

  # All pairs of the cluster, with their cluster ids and what is wrong
  kubectl motion pairs -A -o wide

  # For a program
  kubectl motion pairs -A -o json`

type listFlags struct {
	ends    *flags.TargetFlags
	all     bool
	output  output.Flags
	streams genericiooptions.IOStreams
}

// NewCmdPairs returns the verb pairs.
func NewCmdPairs(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return newCmdList(config, streams, "pairs")
}

func newCmdList(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, use string) *cobra.Command {
	f := &listFlags{ends: flags.NewTargetFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use: use, Short: "List pairs", Long: listLong, Example: listExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	cmd.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "Pairs of all namespaces")
	f.output.AddTable(cmd.Flags())
	return cmd
}

func (f *listFlags) run(ctx context.Context) error {
	if err := f.output.Check(); err != nil {
		return err
	}
	source, err := f.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	namespaces := []string{source.Namespace}
	if f.all {
		namespaces = nil
	}
	now := time.Now()
	pairs, err := check.List(ctx, source, namespaces, now)
	if err != nil {
		return err
	}
	if len(pairs) == 0 && !f.output.Machine() {
		_, err := fmt.Fprintln(f.streams.ErrOut, "No pairs found.")
		return err
	}
	if pairs == nil {
		pairs = []check.Pair{}
	}
	return f.output.Print(f.streams.Out, map[string]any{"pairs": pairs}, f.text(pairs, now))
}

func (f *listFlags) text(pairs []check.Pair, now time.Time) string {
	var b strings.Builder
	if f.output.Names() {
		for _, p := range pairs {
			fmt.Fprintf(&b, "clusterpair.kubectl-motion.dev/%s\n", p.Name)
		}
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	f.row(w, "NAMESPACE", "CLUSTER\tSECRET\tMESSAGE", "NAME", "TARGET NAMESPACE", "SERVER", "READY", "CREDENTIAL", "ENDS", "AGE")
	for _, p := range pairs {
		f.row(w, p.Namespace, p.ClusterID+"\t"+p.SecretName+"\t"+cell(p.Message),
			p.Name, p.TargetNamespace, cell(p.Server), string(p.Ready), until(p.CredentialExpiryTime, now), until(p.ExpiryTime, now),
			duration.HumanDuration(now.Sub(p.CreatedAt.Time)))
	}
	// A strings.Builder takes everything.
	_ = w.Flush()
	return b.String()
}

func (f *listFlags) row(w io.Writer, namespace, wide string, columns ...string) {
	if f.all {
		columns = append([]string{namespace}, columns...)
	}
	if f.output.Wide() {
		columns = append(columns, wide)
	}
	fmt.Fprintln(w, strings.Join(columns, "\t"))
}

// cell keeps a string from the cluster within its cell.
func cell(s string) string {
	return progress.Escape(strings.Join(strings.Fields(s), " "))
}

func until(t *metav1.Time, now time.Time) string {
	switch {
	case t == nil:
		return "<unknown>"
	case !now.Before(t.Time):
		return "ended"
	}
	return duration.HumanDuration(t.Sub(now))
}
