// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pair is the verb `kubectl motion pair`.
package pair

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/ends"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const long = `Let the users of a namespace migrate to another cluster.

Pairing is for an administrator of both clusters. It installs what is missing on
both sides (the API, the agents, admission policies), writes a policy that lets
the two namespaces exchange volumes, and leaves a credential for the target
namespace in the source namespace. Running it again changes only what differs,
and renews the credential when half of its life is over.

` + exit.Status

const example = `  # Let namespace shop migrate to namespace shop of the cluster of context west
  kubectl motion pair west --to-context west -n shop

  # ... to another namespace there, with a credential that ends after a day
  kubectl motion pair west --to-context west -n shop --to-namespace shop-new --credential-ttl 24h

  # ... and let the agents of both clusters move raw block volumes, too
  kubectl motion pair west --to-context west -n shop --block-devices`

const flagBlock = "block-devices"

// Flags are what was typed.
type Flags struct {
	ends       *ends.Flags
	ttl        time.Duration
	timeout    time.Duration
	image      string
	kubelet    string
	sourceCIDR []string
	targetCIDR []string
	block      bool
	blockSaid  bool
	yes        bool
	progress   string
	streams    genericiooptions.IOStreams
}

// NewCmdPair returns the verb.
func NewCmdPair(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &Flags{ends: ends.NewFlags(config), streams: streams}
	cmd := &cobra.Command{
		Use:     "pair NAME --to-context CONTEXT",
		Short:   "Let the users of a namespace migrate to another cluster",
		Long:    long,
		Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &exit.UsageError{Err: fmt.Errorf("a pair has one NAME, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.blockSaid = cmd.Flags().Changed(flagBlock)
			o, err := f.ToOptions(args[0])
			if err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	f.ends.AddTargetContext(fs)
	fs.DurationVar(&f.ttl, "credential-ttl", 30*24*time.Hour, "How long the credential of the pair lives, at least 10m")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for the agents to be ready")
	fs.StringVar(&f.image, "agent-image", "", "Image of the agent, if it is mirrored elsewhere")
	fs.StringVar(&f.kubelet, "kubelet-root", "", "Root directory of the kubelets, if it is not /var/lib/kubelet")
	fs.StringSliceVar(&f.sourceCIDR, "source-cidr", nil, "Networks that the source's connections come from; default: its nodes' addresses")
	fs.StringSliceVar(&f.targetCIDR, "target-cidr", nil, "Networks in which the target's agents are reached; default: its nodes' addresses")
	fs.BoolVar(&f.block, flagBlock, false,
		"Let the agents open raw block volumes, through a privileged container beside each; default: as it is on each cluster")
	fs.BoolVarP(&f.yes, "yes", "y", false, "Do not ask")
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	return cmd
}

// Options are what runs.
type Options struct {
	flags *Flags
	name  string
	from  []netip.Prefix
	to    []netip.Prefix
	sink  progress.Sink
}

const minTTL = 10 * time.Minute // the API server's own minimum for a bound token

// ToOptions checks what was typed.
func (f *Flags) ToOptions(name string) (*Options, error) {
	o := &Options{flags: f, name: name}
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 || len(name) > 40 {
		return nil, &exit.UsageError{Err: fmt.Errorf("pair name %q must be a DNS label of at most 40 characters", name)}
	}
	if f.ends.ToContext == "" {
		return nil, &exit.UsageError{Err: errors.New("name the target with --to-context CONTEXT")}
	}
	if f.ttl < minTTL {
		return nil, &exit.UsageError{Err: fmt.Errorf("--credential-ttl %s is shorter than %s", f.ttl, minTTL)}
	}
	if err := ends.CheckTimeout(f.timeout); err != nil {
		return nil, err
	}
	var err error
	if o.from, err = prefixes("--source-cidr", f.sourceCIDR); err != nil {
		return nil, err
	}
	if o.to, err = prefixes("--target-cidr", f.targetCIDR); err != nil {
		return nil, err
	}
	if o.sink, err = progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut); err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	return o, nil
}

func prefixes(flag string, in []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(in))
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, &exit.UsageError{Err: fmt.Errorf("%s: %w", flag, err)}
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Run pairs.
func (o *Options) Run(ctx context.Context) error {
	defer o.sink.Close()
	source, err := o.flags.ends.ConnectSource(ctx)
	if err != nil {
		return err
	}
	target, err := o.flags.ends.ConnectTargetContext(ctx, source.Namespace)
	if err != nil {
		return err
	}
	p := &pair.Pairing{
		Source: source, Target: target, Sink: o.sink, Confirm: o.confirm,
		Request: pair.Request{
			Name: o.name, SourceNamespace: source.Namespace, TargetNamespace: target.Namespace,
			CredentialTTL: o.flags.ttl, AgentTimeout: o.flags.timeout,
			AgentImage: o.flags.image, KubeletRoot: o.flags.kubelet,
			SourceCIDRs: o.from, TargetCIDRs: o.to,
		},
	}
	if o.flags.blockSaid {
		p.Request.BlockDevices = &o.flags.block
	}
	if err := p.Run(ctx); err != nil {
		return err
	}
	progress.Notef(o.sink, "next: kubectl motion migrate --to %s -n %s", o.name, source.Namespace)
	_, err = fmt.Fprintf(o.flags.streams.Out, "clusterpair.kubectl-motion.dev/%s paired\n", o.name)
	return err
}

// confirm asks at the terminal; without one it refuses rather than guess.
func (o *Options) confirm(question string) error {
	if o.flags.yes {
		return nil
	}
	if in, ok := o.flags.streams.In.(interface{ Fd() uintptr }); !ok || !term.IsTerminal(int(in.Fd())) {
		return &exit.UsageError{Err: fmt.Errorf("%s\nthere is no terminal to answer at: say --yes", question)}
	}
	if _, err := fmt.Fprintf(o.flags.streams.ErrOut, "%s (y/N): ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(o.flags.streams.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return nil
	}
	return pair.ErrDeclined
}
