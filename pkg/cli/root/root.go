// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package root puts the verbs together.
package root

import (
	"errors"
	"fmt"
	"regexp"
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
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
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
		return &exit.UsageError{Err: hint.New(err, "see %s --help", c.CommandPath())}
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
		next := "see " + c.CommandPath() + " --help"
		for _, arg := range args {
			if like := c.SuggestionsFor(arg); len(like) > 0 {
				next = "did you mean " + strings.Join(like, " or ") + "?"
			}
		}
		return &exit.UsageError{Err: hint.New(err, "%s", next)}
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
// lines of their own. Errors carry text of clusters, so it is escaped, and no line of
// it can look like the error or a hint.
func Message(err error) string {
	var b strings.Builder
	b.WriteString("error: ")
	for i, line := range strings.Split(progress.Escape(err.Error()), "\n") {
		if i > 0 {
			b.WriteString("\n  ")
			line = strings.TrimPrefix(line, "  ")
		}
		b.WriteString(line)
	}
	hints := hint.Of(err)
	if len(hints) == 0 && deniedByRBAC(err) {
		hints = []string{"run kubectl auth can-i --list -n NAMESPACE to list your rights"}
	}
	for _, h := range hints {
		b.WriteString("\nkubectl-motion: hint: " + strings.Join(strings.Fields(progress.Escape(h)), " "))
	}
	return b.String()
}

// rbacDenial is how the API server words the refusal of an authorizer. Admission
// refuses with the same status, and no other rights would help.
var rbacDenial = regexp.MustCompile(`User ".*" cannot [a-z]+ resource `)

func deniedByRBAC(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsForbidden(err) && rbacDenial.MatchString(status.Status().Message)
}
