// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// Authorization are what the two clusters offer, as far as the user may see it. What
// may not be seen is unknown, never empty: each list says whether it is known.
type Facts struct {
	ClusterID string
	Namespace string
	// NamespaceMissing is true when the namespace is known not to be there.
	NamespaceMissing bool

	// Classes of the target and of the source.
	Classes       Known[Class]
	SourceClasses Known[Class]
	// Names of what the target has of kinds that objects refer to.
	PriorityClasses Known[string]
	RuntimeClasses  Known[string]
	IngressClasses  Known[string]
	Accounts        Known[Account]
	// SourceAccounts tell what the source's accounts had.
	SourceAccounts Known[Account]
	Nodes          Known[Node]
	Quotas         Known[corev1.ResourceQuota]
	// SourceQuotas count the mount pods there.
	SourceQuotas Known[corev1.ResourceQuota]
	// Agents and SourceAgents are what the agents of the two clusters are made of:
	// one, or none where no agent is installed.
	Agents, SourceAgents Known[Agents]
	// Shipped is what earlier passes from this namespace to the target did.
	Shipped []Shipped

	// Ways of the volumes' data to the target.
	Routes route.Options

	// IPFamilies of the target's Services, the first one first; empty when
	// unknown.
	IPFamilies []string
	// Definitions are the source's CustomResourceDefinitions of kinds that the
	// target does not serve, by <resource>.<group>; nil where they may not be
	// read.
	Definitions map[string]*unstructured.Unstructured
}

// Known is a list that may be unknown.
type Known[T any] struct {
	List  []T
	Known bool
}

// Class is a StorageClass.
type Class struct {
	Name        string
	Provisioner string
	Default     bool
	// Waits is true when the volume is made for the first pod that uses it.
	Waits     bool
	Expansion bool
}

// Account is a ServiceAccount.
type Account struct {
	Name        string
	PullSecrets []string
	// Bound annotations tie it to an identity of a cloud.
	Bound []string
}

// Agents are the agents of one cluster.
type Agents struct {
	// Devices: an administrator lets them open raw block volumes.
	Devices bool
}

// Node is what pods can ask of a node.
type Node struct {
	Labels map[string]string
	Taints []corev1.Taint
}

func (f Facts) class(name string) (Class, bool) {
	return find(f.Classes.List, func(c Class) bool { return c.Name == name })
}

func find[T any](list []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}

// resolveClass finds the target's class for a class of the source: what the
// user said, the same name, the only class of the same driver, the default.
// guessed is true for the last two; ok is false when there is none.
func (f Facts) resolveClass(name string, said map[string]string) (class string, guessed, ok bool) {
	if to, found := said[name]; found {
		_, there := f.class(to)
		return to, false, there || !f.Classes.Known
	}
	if !f.Classes.Known {
		return name, false, true
	}
	if _, found := f.class(name); found && name != "" {
		return name, false, true
	}
	if c, found := f.byAbility(name); found {
		return c.Name, true, true
	}
	return "", false, false
}

// byAbility prefers a class of the same driver, then the default class; among
// several, one that binds and grows like the source's.
func (f Facts) byAbility(name string) (Class, bool) {
	was, known := find(f.SourceClasses.List, func(c Class) bool { return c.Name == name })
	score := func(c Class) int {
		n := 0
		if known && c.Provisioner == was.Provisioner {
			n += 8
		}
		if c.Default {
			n += 4
		}
		if known && n > 0 && c.Waits == was.Waits {
			n += 2
		}
		if known && n > 0 && c.Expansion == was.Expansion {
			n++
		}
		return n
	}
	best, top := Class{}, 0
	for _, c := range f.Classes.List {
		if s := score(c); s > top {
			best, top = c, s
		}
	}
	return best, top > 0
}
