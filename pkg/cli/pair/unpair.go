// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const unpairLong = `Take a pair away, as an administrator of both clusters: the ClusterPair and its
Secret, the account of the credential (which ends with it at once), the token rotator
and the pair's policies.

The API and the agents stay, and so does everything that was migrated. --purge
removes these, too, from each cluster that no other pair uses, with the records of
migrations; and the target namespace, if pairing made it and nothing is in it.
Other namespaces and what is in them are never removed.

Only this pair's things go. When the target is gone for good, --target-gone
removes what is on the source.

` + exit.Status

const unpairExample = `  # Take the pair west of namespace shop away
  kubectl motion unpair west -n shop --to-context west

  # Show what would be removed from which cluster
  kubectl motion unpair west -n shop --to-context west --purge --dry-run

  # ... and leave nothing of kubectl motion on either cluster
  kubectl motion unpair west -n shop --to-context west --purge`

type unpairFlags struct {
	ends       *flags.TargetFlags
	targetGone bool
	purge      bool
	dryRun     bool
	timeout    time.Duration
	ask        asker
	progress   string
	streams    genericiooptions.IOStreams
}

// NewCmdUnpair returns the verb unpair.
func NewCmdUnpair(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &unpairFlags{ends: flags.NewTargetFlags(config), streams: streams, ask: asker{streams: streams}}
	cmd := &cobra.Command{
		Use: "unpair NAME (--to-context CONTEXT | --target-gone)", Short: "Take a pair away", Long: unpairLong, Example: unpairExample,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args[0]) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.ends.ToContext, "to-context", "", "Context of the target cluster in the kubeconfig, as its administrator")
	fs.StringVar(&f.ends.ToKubeconfig, "to-kubeconfig", "", "Kubeconfig file that has --to-context, if it is another one")
	fs.StringVar(&f.ends.ToNamespace, "to-namespace", "", "Namespace of the target, if pairing failed before it wrote the pair; default: the same name")
	fs.BoolVar(&f.targetGone, "target-gone", false, "Remove only what is on the source: the target does not exist any more")
	fs.BoolVar(&f.purge, "purge", false, "Remove the API and the agents, too, where no other pair uses them")
	fs.BoolVar(&f.dryRun, "dry-run", false, "Only show what would be removed")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait until everything is gone")
	f.ask.add(fs)
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	return cmd
}

func (f *unpairFlags) run(ctx context.Context, name string) error {
	if (f.ends.ToContext == "") != f.targetGone {
		return &exit.UsageError{Err: errors.New("name the target with --to-context CONTEXT, or use --target-gone if it does not exist any more")}
	}
	if err := flags.CheckTimeout(f.timeout); err != nil {
		return err
	}
	sink, err := progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut)
	if err != nil {
		return &exit.UsageError{Err: err}
	}
	defer sink.Close()
	source, err := f.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	r := &pair.Removal{Source: source, Namespace: source.Namespace, Name: name, Purge: f.purge, Sink: sink, Confirm: f.ask.confirm}
	if !f.targetGone {
		if r.Target, err = f.ends.ConnectTargetContext(ctx, source.Namespace); err != nil {
			return err
		}
	}
	if f.dryRun {
		text, err := r.Plan(ctx)
		if err == nil {
			_, err = fmt.Fprint(f.streams.Out, progress.Escape(text))
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.streams.Out, "clusterpair.kubectl-motion.dev/%s unpaired\n", name)
	return err
}
