// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// Facts are what the two clusters offer, as far as the user is allowed to read it.
// A list that cannot be read is unknown, never empty.
type Facts struct {
	ClusterID string
	Namespace string
	// NamespaceMissing is true when the namespace is known not to exist.
	NamespaceMissing bool

	// Classes of the target and of the source.
	Classes       Known[Class]
	SourceClasses Known[Class]
	// Names of the target's objects of cluster-scoped kinds that objects refer to.
	PriorityClasses Known[string]
	RuntimeClasses  Known[string]
	// SourceRuntimeClasses add fields to the source's pods.
	SourceRuntimeClasses Known[RuntimeClass]
	IngressClasses       Known[string]
	Accounts             Known[Account]
	// SourceAccounts are the ServiceAccounts of the source namespace.
	SourceAccounts Known[Account]
	Nodes          Known[Node]
	Quotas         Known[corev1.ResourceQuota]
	// SourceQuotas limit the mount pods on the source.
	SourceQuotas Known[corev1.ResourceQuota]
	// LimitRanges of the two namespaces.
	LimitRanges, SourceLimitRanges Known[corev1.LimitRange]
	// MountPod and SourceMountPod are the resources of mount pods that the policies of
	// the two clusters set; nil for the default.
	MountPod, SourceMountPod *corev1.ResourceRequirements
	// Agents and SourceAgents are the configuration of the agents of the two
	// clusters: one element, or none where no agent is installed.
	Agents, SourceAgents Known[Agents]
	// Shipped are the statistics of earlier syncs from this namespace to the target.
	Shipped []Shipped

	// Routes are the observations that the route is chosen by.
	Routes route.Options

	// IPFamilies of the target's Services, the first one first; empty when
	// unknown.
	IPFamilies []string
	// Definitions are the source's CustomResourceDefinitions of kinds that the
	// target does not serve, by <resource>.<group>; nil where the user is not allowed
	// to read them.
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
	// Waits is true for WaitForFirstConsumer.
	Waits     bool
	Expansion bool
}

// RuntimeClass is a RuntimeClass of the source.
type RuntimeClass struct {
	Name string
	transform.RuntimeClass
}

// Account is a ServiceAccount.
type Account struct {
	Name        string
	PullSecrets []string
	// Bound are the annotations that bind it to a cloud identity.
	Bound []string
}

// Agents is the configuration of the agents of one cluster.
type Agents struct {
	// Devices is true when raw block volumes are enabled.
	Devices bool
}

// Node is what pods can select a node by.
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

// resolveClass selects the target's class for a class of the source: the user's
// choice, the same name, a class of the same driver, the default. guessed is true
// for the last two; ok is false when there is none.
func (f Facts) resolveClass(name string, overrides map[string]string) (class string, guessed, ok bool) {
	if to, found := overrides[name]; found {
		_, there := f.class(to)
		return to, false, there || !f.Classes.Known
	}
	if !f.Classes.Known {
		return name, false, true
	}
	if _, found := f.class(name); found && name != "" {
		return name, false, true
	}
	if c, found := f.similarClass(name); found {
		return c.Name, true, true
	}
	return "", false, false
}

// similarClass prefers a class of the same driver, then the default class; among
// several, one with the same binding mode and expansion as the source's.
func (f Facts) similarClass(name string) (Class, bool) {
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
