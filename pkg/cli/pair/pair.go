// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pair holds the verbs about pairs: pair with check, renew and list,
// pairs, and unpair.
package pair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const long = `Let the users of a namespace migrate to another cluster.

Pairing is for an administrator of both clusters. It installs what is missing on
both sides (the API, the agents, admission policies), writes a policy on each
that lets the two namespaces exchange volumes, and leaves a credential for the
target namespace in the source namespace. A token rotator keeps that credential fresh
until the pair ends (--expires).

What would change is shown first, and asked about. Running it again changes only
what differs. kubectl motion unpair undoes it.

` + exit.Status

const example = `  # Let namespace shop migrate to namespace shop of the cluster of context west
  kubectl motion pair west --to-context west -n shop

  # Show what would change on which cluster, and change nothing
  kubectl motion pair west --to-context west -n shop --dry-run

  # Two namespaces, one of them to another name, for a year
  kubectl motion pair west --to-context west --namespaces shop,billing --to-namespace billing=billing-eu --expires 365d

  # Every namespace of a team; volumes at no more than 50 MiB/s each
  kubectl motion pair west --to-context west --namespace-selector team=shop --max-bandwidth 50Mi

  # Manifests for both clusters, for GitOps
  kubectl motion pair west --to-context west -n shop --export pairs/

  # ... and let the agents of both clusters move raw block volumes, too
  kubectl motion pair west --to-context west -n shop --block-devices

  # Does it work, hop by hop?
  kubectl motion pair check west -n shop`

const (
	flagBlock    = "block-devices"
	flagAccounts = "service-account"
)

// TargetFlags are what was typed.
type Flags struct {
	ends       *flags.TargetFlags
	spaces     flags.NamespaceFlags
	life       life
	policy     policyFlags
	timeout    time.Duration
	image      string
	kubelet    string
	sourceCIDR []string
	targetCIDR []string
	block      bool
	blockSaid  bool
	targetHost []string
	endpoints  []string
	create     bool
	security   string
	accounts   []string
	dryRun     bool
	export     string
	ask        asker
	progress   string
	streams    genericiooptions.IOStreams
}

// NewCmdPair returns the verb.
func NewCmdPair(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := &Flags{ends: flags.NewTargetFlags(config), streams: streams, ask: asker{streams: streams}}
	cmd := &cobra.Command{
		Use:     "pair NAME --to-context CONTEXT",
		Short:   "Let the users of a namespace migrate to another cluster",
		Long:    long,
		Example: example,
		Args:    oneName,
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
	fs.Lookup("to-namespace").Usage = "Namespace on the target; for several, as in shop=shop-eu,billing=billing-eu; default: the same name"
	f.spaces.Add(fs)
	f.life.add(fs)
	f.policy.add(fs)
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "How long to wait for the agents to be ready")
	fs.StringVar(&f.image, "agent-image", "", "Image of the agent, if it is mirrored elsewhere")
	fs.StringVar(&f.kubelet, "kubelet-root", "", "Root directory of the kubelets, if it is not /var/lib/kubelet")
	fs.StringSliceVar(&f.sourceCIDR, "source-cidr", nil, "Networks that the source's connections come from; default: its nodes' addresses")
	fs.StringSliceVar(&f.targetCIDR, "target-cidr", nil, "Networks in which the target's agents are reached; default: its nodes' addresses")
	fs.BoolVar(&f.block, flagBlock, false,
		"Let the agents open raw block volumes, through a privileged container beside each; default: as it is on each cluster")
	fs.StringSliceVar(&f.targetHost, "target-host", nil, "Names at which the target's agents may be dialled, too")
	fs.StringSliceVar(&f.endpoints, "endpoint", nil, "HOST:PORT at which the target's agents are reached, before all that they find out themselves")
	fs.BoolVar(&f.create, "create-namespace", true, "Make the namespace on the target if it is missing")
	fs.StringVar(&f.security, "pod-security", "", "Pod Security level of the target namespace: restricted, baseline, privileged or keep; default: its own, for a new one the source's, else restricted")
	fs.StringSliceVar(&f.accounts, flagAccounts, nil, "ServiceAccounts of the target namespace that have rights of their own and that migrated pods may run as; '*' for all")
	fs.BoolVar(&f.dryRun, "dry-run", false, "Only show what would change")
	fs.StringVar(&f.export, "export", "", "Write manifests instead, into a folder or (-) to stdout; no Secret is among them")
	f.ask.add(fs)
	fs.StringVar(&f.progress, "progress", string(progress.ModeAuto), "How to show progress: auto, tty, plain, json or quiet")
	cmd.AddCommand(newCmdCheck(config, streams), newCmdRenew(config, streams), newCmdList(config, streams, "list"))
	return cmd
}

func oneName(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &exit.UsageError{Err: fmt.Errorf("a pair has one NAME, got %d arguments", len(args))}
	}
	return nil
}

// Options are what runs.
type Options struct {
	flags   *Flags
	request pair.Request
	mapping map[string]string
	sink    progress.Sink
}

// ToOptions checks what was typed.
func (f *Flags) ToOptions(name string) (*Options, error) {
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 || len(name) > 40 {
		return nil, &exit.UsageError{Err: fmt.Errorf("pair name %q must be a DNS label of at most 40 characters", name)}
	}
	if f.ends.ToContext == "" {
		return nil, &exit.UsageError{Err: errors.New("name the target with --to-context CONTEXT")}
	}
	o := &Options{flags: f, request: pair.Request{
		Name: name, AgentTimeout: f.timeout, AgentImage: f.image, KubeletRoot: f.kubelet, TargetEndpoints: f.endpoints,
		TargetHosts: f.targetHost, KeepNamespaces: !f.create, PodSecurity: f.security, ServiceAccounts: f.accounts,
	}}
	switch f.security {
	case "", "restricted", "baseline", "privileged", pair.PodSecurityKeep:
	default:
		return nil, &exit.UsageError{Err: fmt.Errorf("--pod-security must be restricted, baseline, privileged or keep, not %q", f.security)}
	}
	var err error
	if o.request.Expires, o.request.CredentialTTL, err = f.life.values(); err != nil {
		return nil, err
	}
	for _, check := range []func() error{func() error { return flags.CheckTimeout(f.timeout) }, f.spaces.Check} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if o.request.SourceCIDRs, err = prefixes("--source-cidr", f.sourceCIDR); err != nil {
		return nil, err
	}
	if o.request.TargetCIDRs, err = prefixes("--target-cidr", f.targetCIDR); err != nil {
		return nil, err
	}
	if o.request.Policy, err = f.policy.options(); err != nil {
		return nil, err
	}
	if err := o.parseMapping(); err != nil {
		return nil, err
	}
	if o.sink, err = progress.NewSink(progress.Mode(f.progress), f.streams.ErrOut); err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	return o, nil
}

// parseMapping reads --to-namespace: one name, or source=target for some.
func (o *Options) parseMapping() error {
	text := o.flags.ends.ToNamespace
	switch {
	case text == "":
		return nil
	case !strings.Contains(text, "=") && o.flags.spaces.Several():
		return &exit.UsageError{Err: errors.New("--to-namespace for several namespaces must be SOURCE=TARGET, such as shop=shop-eu")}
	case !strings.Contains(text, "="):
		return nil
	}
	o.mapping = map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(part, "=")
		if !ok || from == "" || to == "" {
			return &exit.UsageError{Err: fmt.Errorf("--to-namespace %q: %q is not SOURCE=TARGET", text, part)}
		}
		if flags.IsSystemNamespace(to) {
			return &exit.UsageError{Err: fmt.Errorf("%s is a system namespace; nothing moves there", to)}
		}
		o.mapping[from] = to
	}
	return nil
}

func (o *Options) mappings(names []string) ([]pair.Mapping, error) {
	out := make([]pair.Mapping, 0, len(names))
	used := map[string]bool{}
	for _, n := range names {
		m := pair.Mapping{Source: n, Target: n}
		if to, ok := o.mapping[n]; ok {
			m.Target = to
			used[n] = true
		} else if o.mapping == nil && o.flags.ends.ToNamespace != "" {
			m.Target = o.flags.ends.ToNamespace
		}
		if flags.IsSystemNamespace(m.Target) {
			return nil, &exit.UsageError{Err: fmt.Errorf("%s is a system namespace; nothing moves there", m.Target)}
		}
		out = append(out, m)
	}
	for from := range o.mapping {
		if !used[from] {
			return nil, &exit.UsageError{Err: fmt.Errorf("--to-namespace names %s, which is not among the namespaces to pair: %s", from, strings.Join(names, ", "))}
		}
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
	names, err := o.flags.spaces.Resolve(ctx, source, source.Namespace)
	if err != nil {
		return err
	}
	if o.request.Namespaces, err = o.mappings(names); err != nil {
		return err
	}
	p := &pair.Pairing{Source: source, Target: target, Sink: o.sink, Confirm: o.flags.ask.confirm, Request: o.request}
	if o.flags.blockSaid {
		p.Request.BlockDevices = &o.flags.block
	}
	// Who may come by the relay needs one, and the right to it.
	p.Request.Relay = o.request.Policy.Relay
	if o.flags.dryRun || o.flags.export != "" {
		return o.show(ctx, p)
	}
	if err := p.Run(ctx); err != nil {
		return err
	}
	for _, m := range o.request.Namespaces {
		progress.Notef(o.sink, "next: kubectl motion migrate --to %s -n %s", o.request.Name, m.Source)
	}
	return o.paired()
}

func (o *Options) paired() error {
	for _, m := range o.request.Namespaces {
		in := ""
		if len(o.request.Namespaces) > 1 {
			in = " in namespace " + m.Source
		}
		if _, err := fmt.Fprintf(o.flags.streams.Out, "clusterpair.kubectl-motion.dev/%s paired%s\n", o.request.Name, in); err != nil {
			return err
		}
	}
	return nil
}
