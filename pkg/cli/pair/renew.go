// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const renewLong = `Create a new credential for a pair now, also if the present one is still valid.

With --to-context, an administrator of both clusters makes it, and the pair lives
for --expires from now. Without, an administrator of the source lets the pair's
token rotator work at once; when the pair ends stays as it is.

The previous credential lives on until its own end, at most --credential-ttl.
To end it at once, unpair.

` + exit.Status

const renewExample = `  # A new credential, for another 90 days
  kubectl motion pair renew west -n shop --to-context west

  # Let the token rotator work now
  kubectl motion pair renew west -n shop`

type renewFlags struct {
	ends     *flags.TargetFlags
	life     life
	timeout  time.Duration
	progress string
	streams  genericiooptions.IOStreams
}

func newCmdRenew(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &renewFlags{ends: flags.NewTargetFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use: "renew NAME", Short: "Give a pair a new credential", Long: renewLong, Example: renewExample, Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args[0]) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.ends.ToContext, "to-context", "", "Context of the target cluster in the kubeconfig, as its administrator")
	fs.StringVar(&f.ends.ToKubeconfig, "to-kubeconfig", "", "Kubeconfig file that has --to-context, if it is another one")
	f.life.add(fs)
	fs.DurationVar(&f.timeout, "timeout", 2*time.Minute, "How long to wait for the token rotator")
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	return cmd
}

func (f *renewFlags) run(ctx context.Context, name string) error {
	expires, ttl, err := f.life.values()
	if err != nil {
		return err
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
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if f.ends.ToContext == "" {
		err = pair.RotateNow(ctx, source, source.Namespace, name)
	} else {
		err = f.renew(ctx, sink, source, pair.Request{Name: name, Expires: expires, CredentialTTL: ttl})
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.streams.Out, "clusterpair.kubectl-motion.dev/%s renewed\n", name)
	return err
}

func (f *renewFlags) renew(ctx context.Context, sink progress.Sink, source *cluster.Cluster, r pair.Request) error {
	p, err := cluster.Get[v1alpha1.ClusterPair](ctx, source, v1alpha1.ClusterPairs, source.Namespace, r.Name)
	if err != nil {
		return fmt.Errorf("clusterpair %s/%s on %s: %w", source.Namespace, r.Name, source, err)
	}
	target, err := f.ends.ConnectTargetContext(ctx, p.Spec.TargetNamespace)
	if err != nil {
		return err
	}
	r.Namespaces = []pair.Mapping{{Source: source.Namespace, Target: p.Spec.TargetNamespace}}
	return (&pair.Pairing{Source: source, Target: target, Request: r, Sink: sink}).Renew(ctx)
}

// NewCmdRotateToken returns what a pair's token rotator runs in the cluster.
func NewCmdRotateToken(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	r, folder := &pair.Rotation{}, pair.RotatorFolder
	cmd := &cobra.Command{
		Use: pair.RotateVerb, Short: "Rotate the token of a pair, in the cluster", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := flags.NewTargetFlags(config)
			var err error
			if r.Source, err = f.ConnectSource(cmd.Context()); err != nil {
				return err
			}
			r.Namespace = r.Source.Namespace
			if r.Data, err = readFolder(folder); err != nil {
				return err
			}
			if err := r.Run(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "clusterpair.kubectl-motion.dev/%s renewed\n", r.Pair)
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&r.Pair, "pair", "", "Name of the pair")
	fs.StringVar(&r.Account, "account", "", "ServiceAccount on the target")
	fs.DurationVar(&r.TTL, "ttl", 24*time.Hour, "How long the credential lives")
	fs.StringVar(&folder, "folder", folder, "Folder with the token rotator's Secret")
	return cmd
}

// readFolder reads a Secret as the kubelet mounts it.
func readFolder(folder string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, key := range []string{"server", "ca.crt", "token"} {
		data, err := os.ReadFile(filepath.Join(folder, key))
		if err != nil && !(key == "ca.crt" && errors.Is(err, os.ErrNotExist)) {
			return nil, fmt.Errorf("the token rotator's Secret: %w", err)
		}
		out[key] = data
	}
	return out, nil
}
