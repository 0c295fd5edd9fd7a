// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package root puts the verbs together.
package root

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/activate"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/agent"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/report"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

const long = `Move an application and its data to another cluster.

An administrator pairs two clusters once. After that an application team moves
its own namespace with nothing but its own rights: objects, configuration and
the data in its volumes.

` + exit.Status

const example = `  # An administrator lets namespace shop migrate to the cluster of context west
  kubectl motion pair west --to-context west -n shop

  # The team copies everything over, on standby, while the application runs
  kubectl motion migrate --to west -n shop

  # The team moves for good
  kubectl motion migrate --to west -n shop --cutover

  # ... and back, if it must be
  kubectl motion rollback --to west -n shop`

// New is the command `kubectl motion`, with what the storage of volumes needs.
func New(streams genericiooptions.IOStreams, volumes ...snapshot.Plugin) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kubectl-motion",
		Short:         "Move an application and its data to another cluster",
		Long:          long,
		Example:       example,
		Version:       version.Get().String(),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl motion"},
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,

		SuggestionsMinimumDistance: 2,
		// Runnable, because cobra takes what it does not know for a wish for help.
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	config := genericclioptions.NewConfigFlags(true)
	config.AddFlags(cmd.PersistentFlags())
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		// The flags of a mistyped verb are unknown too, but not what is wrong.
		if unknown := c.ValidateArgs(c.Flags().Args()); unknown != nil && !c.HasParent() {
			return unknown
		}
		return &exit.UsageError{Err: fmt.Errorf("%w\nhint: see %s --help", err, c.CommandPath())}
	})
	cmd.AddCommand(
		pair.NewCmdPair(config, streams),
		pair.NewCmdPairs(config, streams),
		pair.NewCmdUnpair(config, streams),
		pair.NewCmdRotateToken(config, streams),
		pair.NewCmdDeleteExpired(config, streams),
		plan.NewCmdPlan(config, streams, volumes...),
		migrate.NewCmdMigrate(config, streams, volumes...),
		activate.NewCmdActivate(config, streams),
		activate.NewCmdDeactivate(config, streams),
		activate.NewCmdRollback(config, streams),
		report.NewCmdReport(config, streams),
		agent.NewCmdAgent(config, streams),
		newCmdVersion(streams),
	)
	argumentsAreUsage(cmd)
	return cmd
}

// argumentsAreUsage gives what a command says about its arguments the exit code
// of wrong usage.
func argumentsAreUsage(c *cobra.Command) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		hint := "see " + c.CommandPath() + " --help"
		for _, arg := range args {
			if like := c.SuggestionsFor(arg); len(like) > 0 {
				hint = "did you mean " + strings.Join(like, " or ") + "?"
			}
		}
		return &exit.UsageError{Err: fmt.Errorf("%w\nhint: %s", err, hint)}
	}
	for _, sub := range c.Commands() {
		argumentsAreUsage(sub)
	}
}

func newCmdVersion(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of the plugin",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(streams.Out, version.Get().String())
			return err
		},
	}
}

// Message is what the user reads of an error: as kubectl words it, with hints on
// lines of their own. Errors carry text of clusters, so it is escaped.
func Message(err error) string {
	text := progress.Escape(err.Error())
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Reason != "" && !strings.Contains(text, "hint:") {
		if apierrors.IsForbidden(err) {
			text += "\nhint: your rights do not reach that far; kubectl auth can-i --list -n NAMESPACE shows them"
		}
	}
	return "error: " + strings.ReplaceAll(text, "\nhint: ", "\nkubectl-motion: hint: ")
}
