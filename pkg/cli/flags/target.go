// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package flags holds the flags that say which two clusters a command is about,
// and connects to them.
//
// The source takes all of kubectl's own flags, with kubectl's meaning. The
// target is either a pair (--to), reached with the credential an administrator
// put there, or a context of the user's own kubeconfig (--to-context), reached
// with the user's own identity.
package flags

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/invocation"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// TargetFlags are what was typed.
type TargetFlags struct {
	Source *genericclioptions.ConfigFlags

	To           string
	ToContext    string
	ToKubeconfig string
	ToNamespace  string
}

// NewTargetFlags returns flags with kubectl's defaults.
func NewTargetFlags(source *genericclioptions.ConfigFlags) *TargetFlags {
	return &TargetFlags{Source: source}
}

// AddTarget registers the flags about the target.
func (f *TargetFlags) AddTarget(fs *pflag.FlagSet) {
	fs.StringVar(&f.To, "to", "", "Name of the pair to migrate to, as in: kubectl get clusterpairs")
	f.AddTargetContext(fs)
}

// AddTargetContext registers the flags that name the target by a context.
func (f *TargetFlags) AddTargetContext(fs *pflag.FlagSet) {
	fs.StringVar(&f.ToContext, "to-context", "", "Context of the target cluster in the kubeconfig, used with your own identity there")
	fs.StringVar(&f.ToKubeconfig, "to-kubeconfig", "", "Kubeconfig file that has --to-context, if it is another one")
	fs.StringVar(&f.ToNamespace, "to-namespace", "", "Namespace on the target; default: that of the pair, or the source's")
}

// SourceNamespace is the namespace that -n or the context gives.
func (f *TargetFlags) SourceNamespace() (string, error) {
	ns, _, err := f.Source.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", &exit.UsageError{Err: err}
	}
	return ns, nil
}

// ConnectSource connects to the source.
func (f *TargetFlags) ConnectSource(ctx context.Context) (*cluster.Cluster, error) {
	config, err := f.Source.ToRESTConfig()
	if err != nil {
		return nil, &exit.UsageError{Err: fmt.Errorf("source: %w", err)}
	}
	ns, err := f.SourceNamespace()
	if err != nil {
		return nil, err
	}
	raw, err := f.Source.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, &exit.UsageError{Err: err}
	}
	name := raw.CurrentContext
	if f.Source.Context != nil && *f.Source.Context != "" {
		name = *f.Source.Context
	}
	if name == "" {
		name = config.Host
	}
	source, err := cluster.New(ctx, name, ns, config)
	if errors.Is(err, cluster.ErrUnreachable) && len(raw.Clusters) == 0 {
		err = hint.New(err, "no kubeconfig names a cluster: set KUBECONFIG, or use --kubeconfig FILE")
	}
	return source, err
}

// Invocation returns the flags that name both ends, for printed commands. name is the
// value of --name, "" if it was not used.
func (f *TargetFlags) Invocation(namespace, name string) invocation.Invocation {
	value := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	i := invocation.Invocation{
		Kubeconfig: value(f.Source.KubeConfig), Context: value(f.Source.Context), Cluster: value(f.Source.ClusterName),
		User: value(f.Source.AuthInfoName), Server: value(f.Source.APIServer), As: value(f.Source.Impersonate),
		Namespace: namespace, To: f.To, ToContext: f.ToContext, ToKubeconfig: f.ToKubeconfig, ToNamespace: f.ToNamespace, Name: name,
	}
	if f.Source.ImpersonateGroup != nil {
		i.AsGroups = *f.Source.ImpersonateGroup
	}
	return i
}

var errNoTarget = errors.New("name the target with --to PAIR or --to-context CONTEXT")

// Check finds contradictions in what was typed, before anything is contacted.
func (f *TargetFlags) Check() error {
	switch {
	case f.To == "" && f.ToContext == "":
		return &exit.UsageError{Err: errNoTarget}
	case f.To != "" && f.ToContext != "":
		return &exit.UsageError{Err: errors.New("--to and --to-context exclude each other")}
	case f.To != "" && f.ToKubeconfig != "":
		return &exit.UsageError{Err: errors.New("--to-kubeconfig goes with --to-context")}
	}
	return nil
}

// CheckTimeout refuses a --timeout in which nothing can happen.
func CheckTimeout(d time.Duration) error {
	if d <= 0 {
		return &exit.UsageError{Err: fmt.Errorf("--timeout %s must be positive, as in 5m", d)}
	}
	return nil
}

// Connect connects to both ends. The target's Namespace is the one to write to.
func (f *TargetFlags) Connect(ctx context.Context) (source, target *cluster.Cluster, err error) {
	if err := f.Check(); err != nil {
		return nil, nil, err
	}
	if source, err = f.ConnectSource(ctx); err != nil {
		return nil, nil, err
	}
	target, err = f.ConnectTarget(ctx, source, source.Namespace)
	return source, target, err
}

// ConnectTarget connects to where a namespace of the source goes.
func (f *TargetFlags) ConnectTarget(ctx context.Context, source *cluster.Cluster, namespace string) (*cluster.Cluster, error) {
	if f.To == "" {
		return f.ConnectTargetContext(ctx, namespace)
	}
	target, err := pair.Open(ctx, source, namespace, f.To)
	if err != nil {
		return nil, err
	}
	if f.ToNamespace != "" && f.ToNamespace != target.Namespace {
		return nil, &exit.UsageError{Err: fmt.Errorf("pair %s reaches namespace %s on the target, not %s", f.To, target.Namespace, f.ToNamespace)}
	}
	return target, nil
}

// ConnectTargetContext connects to the context of --to-context. Without
// --to-namespace the target's namespace is defaultNamespace.
func (f *TargetFlags) ConnectTargetContext(ctx context.Context, defaultNamespace string) (*cluster.Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	switch {
	case f.ToKubeconfig != "":
		rules.ExplicitPath = f.ToKubeconfig
	case f.Source.KubeConfig != nil && *f.Source.KubeConfig != "":
		rules.ExplicitPath = *f.Source.KubeConfig
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.ToContext}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, &exit.UsageError{Err: fmt.Errorf("--to-context %s: %w", f.ToContext, err)}
	}
	f.impersonate(config)
	namespace := f.ToNamespace
	if namespace == "" {
		namespace = defaultNamespace
	}
	return cluster.New(ctx, f.ToContext, namespace, config)
}

// impersonate makes --as mean the same on both clusters: who looks at a migration
// through another's eyes must not write on the target with their own rights.
func (f *TargetFlags) impersonate(config *rest.Config) {
	s := f.Source
	if s.Impersonate != nil && *s.Impersonate != "" {
		config.Impersonate.UserName = *s.Impersonate
	}
	if s.ImpersonateUID != nil && *s.ImpersonateUID != "" {
		config.Impersonate.UID = *s.ImpersonateUID
	}
	if s.ImpersonateGroup != nil && len(*s.ImpersonateGroup) > 0 {
		config.Impersonate.Groups = *s.ImpersonateGroup
	}
}
