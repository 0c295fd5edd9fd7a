// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package agent is the verb `kubectl motion agent`: the agents of one cluster, for
// its administrator.
package agent

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

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/output"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/install"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

const long = `Install, upgrade, look at and remove the agents of one cluster.

kubectl motion pair installs agents where there are none, and keeps what is set
here. These commands are for the administrator of one cluster who wants to do that
separately, or to set how other clusters reach it.

` + exit.Status

const example = `  # How the agents of this cluster are
  kubectl motion agent status

  # Bring them to this plugin's version; everything that was set stays
  kubectl motion agent upgrade

  # Other clusters reach only a load balancer, or only the API server
  kubectl motion agent install --endpoint motion.example.com:4747
  kubectl motion agent install --relay`

// TargetFlags are what was typed.
type Flags struct {
	ends     *flags.TargetFlags
	options  deploy.Options
	timeout  time.Duration
	progress string
	purge    bool
	force    bool
	output   output.Flags
	streams  genericiooptions.IOStreams
}

// NewCmdAgent returns the verb.
func NewCmdAgent(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "agent (install | upgrade | status | uninstall)",
		Short:   "The agents of one cluster, for its administrator",
		Long:    long,
		Example: example,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, sub := range []struct {
		use, short string
		flags      func(*Flags, *cobra.Command)
		run        func(*Flags, context.Context, *cluster.Cluster) error
	}{
		{"install", "Install the agents, or change how they are installed", (*Flags).addInstall, (*Flags).install},
		{"upgrade", "Bring the agents to this plugin's version", (*Flags).addInstall, (*Flags).upgrade},
		{"status", "Show version, readiness and shipments of each node's agent", (*Flags).addStatus, (*Flags).status},
		{"uninstall", "Remove the agents", (*Flags).addUninstall, (*Flags).uninstall},
	} {
		f := &Flags{ends: flags.NewTargetFlags(config), streams: streams}
		child := &cobra.Command{
			Use: sub.use, Short: sub.short, Long: sub.short + ".\n\n" + exit.Status,
			Args: func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return &exit.UsageError{Err: fmt.Errorf("agent %s takes no arguments, got %q", sub.use, args)}
				}
				return nil
			},
			RunE: func(c *cobra.Command, _ []string) error {
				at, err := f.ends.ConnectSource(c.Context())
				if err != nil {
					return err
				}
				return sub.run(f, c.Context(), at)
			},
		}
		sub.flags(f, child)
		cmd.AddCommand(child)
	}
	return cmd
}

func (f *Flags) addProgress(c *cobra.Command) {
	c.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for the agents to be ready, or gone")
	c.Flags().StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
}

func (f *Flags) addInstall(c *cobra.Command) {
	f.addProgress(c)
	fs := c.Flags()
	fs.StringVar(&f.options.AgentImage, "agent-image", "", "Image of the agent, if it is mirrored elsewhere")
	fs.StringVar(&f.options.KubeletRoot, "kubelet-root", "", "Root directory of the kubelets, if it is not /var/lib/kubelet")
	fs.BoolVar(&f.options.LoadBalancer, "load-balancer", false, "Ask for a load balancer in front of the agents")
	fs.StringSliceVar(&f.options.Endpoints, "endpoint", nil, "HOST:PORT at which other clusters reach the agents, before all that they find out themselves")
	fs.BoolVar(&f.options.Relay, "relay", false, "Add the relay, for other clusters that reach nothing but the API server")
	fs.StringSliceVar(&f.options.RelayGroups, "relay-group", nil, "Groups that may forward ports to the relay; default: "+deploy.DefaultRelayGroup)
}

func (f *Flags) addStatus(c *cobra.Command) { f.output.Add(c.Flags()) }

func (f *Flags) addUninstall(c *cobra.Command) {
	f.addProgress(c)
	c.Flags().BoolVar(&f.purge, "purge", false, "Also delete the API's definitions, and with them every Migration, shipment, pair and policy")
	c.Flags().BoolVar(&f.force, "force", false, "Even though shipments are in work")
}

// agents opens what was asked for at work.
func (f *Flags) agents(c *cluster.Cluster) (*install.Agents, error) {
	if err := flags.CheckTimeout(f.timeout); err != nil {
		return nil, err
	}
	sink, err := progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut)
	if err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	return &install.Agents{Cluster: c, Options: f.options, Timeout: f.timeout, Sink: sink}, nil
}

func (f *Flags) install(ctx context.Context, c *cluster.Cluster) error {
	if len(f.options.RelayGroups) > 0 && !f.options.Relay {
		return &exit.UsageError{Err: errors.New("--relay-group goes with --relay")}
	}
	a, err := f.agents(c)
	if err != nil {
		return err
	}
	defer a.Sink.Close()
	if err := install.Keep(ctx, c, &a.Options); err != nil {
		return err
	}
	if err := a.Install(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.streams.Out, "daemonset.apps/%s installed\n", deploy.AgentName)
	return err
}

var errNotInstalled = hint.New(errors.New("no agents are installed on this cluster"), "run: kubectl motion agent install")

func (f *Flags) upgrade(ctx context.Context, c *cluster.Cluster) error {
	before, err := install.Observe(ctx, c)
	switch {
	case err != nil:
		return err
	case !before.Installed:
		return errNotInstalled
	}
	if skew := before.Skew(version.Get().Version); skew == "" {
		if _, err := fmt.Fprintln(f.streams.ErrOut, "every agent is of this plugin's version already"); err != nil {
			return err
		}
	}
	return f.install(ctx, c)
}

func (f *Flags) status(ctx context.Context, c *cluster.Cluster) error {
	if err := f.output.Check(); err != nil {
		return err
	}
	s, err := install.Observe(ctx, c)
	if err != nil {
		return err
	}
	if !s.Installed {
		return errNotInstalled
	}
	if err := f.output.Print(f.streams.Out, s, table(s)); err != nil {
		return err
	}
	for _, line := range append(hints(s), s.Skew(version.Get().Version)) {
		if line == "" {
			continue
		}
		if _, err := fmt.Fprintln(f.streams.ErrOut, progress.Escape(line)); err != nil {
			return err
		}
	}
	return nil
}

// table is the status for people.
func table(s install.Status) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "NODE\tVERSION\tREADY\tSHIPMENTS\tIN WORK\tTROUBLE")
	for _, n := range s.Nodes {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%t\t%d\t%d\t%s\n", clean(n.Node), clean(n.Version), n.Ready, n.Served, n.Working, clean(n.Trouble))
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(&text, "relay: %s\n", clean(s.Relay))
	return text.String()
}

// clean makes one line of what a cluster says, fit for a terminal.
func clean(s string) string {
	return progress.Escape(strings.Join(strings.Fields(s), " "))
}

func hints(s install.Status) []string {
	var out []string
	for _, l := range s.Lost {
		out = append(out, "shipment "+l+" is served by a node without an agent: if that node is gone for good, delete the shipment; the next migrate makes it again")
	}
	return out
}

func (f *Flags) uninstall(ctx context.Context, c *cluster.Cluster) error {
	a, err := f.agents(c)
	if err != nil {
		return err
	}
	defer a.Sink.Close()
	s, err := install.Observe(ctx, c)
	if err == nil && s.Working() > 0 && !f.force {
		return fmt.Errorf("%d shipments are in progress on %s: wait for them to finish, or use --force; data that has arrived is kept", s.Working(), c)
	}
	if err := a.Uninstall(ctx, f.purge); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.streams.Out, "daemonset.apps/%s uninstalled\n", deploy.AgentName)
	return err
}
