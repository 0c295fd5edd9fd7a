// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

// NamespaceFlags are the flags that say which namespaces of the source are meant.
type NamespaceFlags struct {
	names    []string
	selector string
	all      bool
}

// Add registers the flags; -n is kubectl's own.
func (n *NamespaceFlags) Add(fs *pflag.FlagSet) {
	fs.StringSliceVar(&n.names, "namespaces", nil, "Several namespaces of the source, by name")
	fs.StringVar(&n.selector, "namespace-selector", "", "Namespaces of the source by label")
	fs.BoolVarP(&n.all, "all-namespaces", "A", false, "All namespaces of the source but the system's")
}

// Several says whether more than the one namespace of -n may be meant.
func (n *NamespaceFlags) Several() bool { return n.all || n.selector != "" || len(n.names) > 0 }

// Check finds contradictions in what was typed.
func (n *NamespaceFlags) Check() error {
	set := 0
	for _, is := range []bool{n.all, n.selector != "", len(n.names) > 0} {
		if is {
			set++
		}
	}
	if set > 1 {
		return &exit.UsageError{Err: errors.New("--namespaces, --namespace-selector and -A exclude each other")}
	}
	if _, err := labels.Parse(n.selector); err != nil {
		return usagef("--namespace-selector %q: %w", n.selector, err)
	}
	for _, name := range n.names {
		if IsSystemNamespace(name) {
			return usagef("%s is a system namespace; those never move", name)
		}
	}
	return nil
}

// Resolve returns the namespaces that are meant; def is that of -n. System
// namespaces and our own are never among them.
func (n *NamespaceFlags) Resolve(ctx context.Context, src *cluster.Cluster, def string) ([]string, error) {
	switch {
	case len(n.names) > 0:
		return n.names, nil
	case !n.Several():
		if IsSystemNamespace(def) {
			return nil, usagef("%s is a system namespace; those never move", def)
		}
		return []string{def}, nil
	}
	list, err := src.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: n.selector})
	if apierrors.IsForbidden(err) {
		return nil, hint.New(err, "use --namespaces to name them")
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ns := range list.Items {
		if !IsSystemNamespace(ns.Name) && ns.Status.Phase != corev1.NamespaceTerminating {
			out = append(out, ns.Name)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil, errors.New("no namespace is selected")
	}
	return out, nil
}

// IsSystemNamespace says whether a namespace belongs to the cluster, or to us, and not to
// an application.
func IsSystemNamespace(name string) bool {
	switch name {
	case v1alpha1.ManagedByValue, "openshift", "gmp-system", "gmp-public", "local-path-storage":
		return true
	}
	return strings.HasPrefix(name, "kube-") || strings.HasPrefix(name, "openshift-") || strings.HasPrefix(name, "gke-")
}
