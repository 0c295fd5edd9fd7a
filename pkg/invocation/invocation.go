// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package invocation composes the command lines that are printed as next steps and
// hints. Such a command must be about the same clusters, namespaces and Migration as
// the one that printed it, so there is one place that knows the flags for that.
package invocation

import "strings"

// Invocation is how the user named the two ends and the Migration of a command. Flags
// that are empty were not used. Credentials given as flags are not part of it.
type Invocation struct {
	// Kubeconfig, Context, Cluster, User, Server and As are kubectl's flags for the
	// source.
	Kubeconfig, Context, Cluster, User, Server, As string
	// AsGroups are the groups of --as-group.
	AsGroups []string
	// Namespace of the source; always set.
	Namespace string
	// To is the pair; ToContext, ToKubeconfig name the target without a pair.
	To, ToContext, ToKubeconfig string
	// ToNamespace is set when it was given and is not the default.
	ToNamespace string
	// Name of the Migration, when it is not the one that To or ToContext implies.
	Name string
}

// Command returns the command line of a verb about the same migration. flags are
// appended as they are.
func (i Invocation) Command(verb string, flags ...string) string {
	words := []string{"kubectl", "motion", verb}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, quote(value))
		}
	}
	add("--kubeconfig", i.Kubeconfig)
	add("--context", i.Context)
	add("--cluster", i.Cluster)
	add("--user", i.User)
	add("--server", i.Server)
	add("--as", i.As)
	for _, g := range i.AsGroups {
		add("--as-group", g)
	}
	add("--to", i.To)
	add("--to-context", i.ToContext)
	add("--to-kubeconfig", i.ToKubeconfig)
	add("-n", i.Namespace)
	add("--to-namespace", i.ToNamespace)
	add("--name", i.Name)
	return strings.Join(append(words, flags...), " ")
}

// quote returns s as one word of a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
