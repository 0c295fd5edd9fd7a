// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package policy finds the MotionPolicies that apply to a namespace and a peer
// cluster. What they allow is decided by the agents alone (pkg/agent/authz).
package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Selects reports whether a policy selects a namespace that has these labels. The
// error is about a selector that does not parse, which selects nothing.
func Selects(p *v1alpha1.MotionPolicy, namespace map[string]string) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.NamespaceSelector)
	return err == nil && selector.Matches(labels.Set(namespace)), err
}

// Peer is what a policy has about a cluster; nil when it does not name it.
func Peer(p *v1alpha1.MotionPolicy, clusterID string) *v1alpha1.PolicyPeer {
	i := slices.IndexFunc(p.Spec.Peers, func(o v1alpha1.PolicyPeer) bool { return clusterID != "" && o.ClusterID == clusterID })
	if i < 0 {
		return nil
	}
	return &p.Spec.Peers[i]
}

// Applying are the policies about a namespace and a peer, sorted by name.
type Applying struct {
	Policies []v1alpha1.MotionPolicy
	// Unknown are names of policies that may select the namespace by labels which
	// the caller may not read.
	Unknown []string
}

// List reads the policies that select a namespace and name a peer cluster. A user
// who may not read the namespace still knows the label that carries its name.
func List(ctx context.Context, n cluster.Namespace, peerID string) (Applying, error) {
	var out Applying
	policies, err := cluster.List[v1alpha1.MotionPolicy](ctx, n.Cluster, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil {
		return out, fmt.Errorf("motionpolicies on %s: %w", n.Cluster, err)
	}
	set, all := map[string]string{corev1.LabelMetadataName: n.Name}, false
	if ns, err := n.Cluster.Kube.CoreV1().Namespaces().Get(ctx, n.Name, metav1.GetOptions{}); err == nil {
		set, all = ns.Labels, true
	}
	slices.SortFunc(policies, func(a, b v1alpha1.MotionPolicy) int { return strings.Compare(a.Name, b.Name) })
	for i := range policies {
		p := &policies[i]
		if Peer(p, peerID) == nil {
			continue
		}
		selected, err := Selects(p, set)
		switch {
		case selected:
			out.Policies = append(out.Policies, *p)
		case err == nil && !all:
			out.Unknown = append(out.Unknown, p.Name)
		}
	}
	return out, nil
}

// MountPodTemplate returns the template for mount pods: that of the first policy with an
// image, else of the first with any template, else nil. The agents accept the image of
// every policy.
func MountPodTemplate(policies []v1alpha1.MotionPolicy) *v1alpha1.MountPodTemplate {
	for i := range policies {
		if t := policies[i].Spec.MountPodTemplate; t != nil && t.Image != "" {
			return t
		}
	}
	for i := range policies {
		if t := policies[i].Spec.MountPodTemplate; t != nil {
			return t
		}
	}
	return nil
}
