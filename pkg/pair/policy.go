// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// setPolicies lets the two namespaces exchange volumes: one policy per peer on
// each cluster. An administrator who wants to say more edits them, or writes
// policies of their own.
func (p *Pairing) setPolicies(ctx context.Context) error {
	targets, sources := p.Request.TargetCIDRs, p.Request.SourceCIDRs
	var err error
	if len(targets) == 0 {
		if targets, err = nodeNetworks(ctx, p.Target); err != nil {
			return err
		}
	}
	if len(sources) == 0 {
		if sources, err = nodeNetworks(ctx, p.Source); err != nil {
			return err
		}
	}
	if err := p.setPolicy(ctx, p.Source, "to-"+p.Request.Name, p.Request.SourceNamespace, peer(p.Target, targets)); err != nil {
		return err
	}
	return p.setPolicy(ctx, p.Target, "from-"+short(p.Source.ID), p.Request.TargetNamespace, peer(p.Source, sources))
}

func short(id string) string { return id[:min(len(id), 8)] }

func peer(c *cluster.Cluster, networks []netip.Prefix) v1alpha1.PolicyPeer {
	p := v1alpha1.PolicyPeer{ClusterID: c.ID, Name: c.Name}
	for _, n := range networks {
		p.CIDRs = append(p.CIDRs, n.String())
	}
	return p
}

func (p *Pairing) setPolicy(ctx context.Context, c *cluster.Cluster, name, namespace string, peer v1alpha1.PolicyPeer) error {
	old, err := cluster.Get[v1alpha1.MotionPolicy](ctx, c, v1alpha1.MotionPolicies, "", name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = cluster.Create(ctx, c, v1alpha1.MotionPolicies, "", &v1alpha1.MotionPolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MotionPolicy"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.MotionPolicySpec{
				NamespaceSelector: selectNamespaces(namespace),
				Peers:             []v1alpha1.PolicyPeer{peer},
				SpecialFiles:      v1alpha1.SpecialFilesRefuse,
			},
		})
		progress.Objectf(p.Sink, "motionpolicies.%s/%s created", v1alpha1.GroupName, name)
	case err != nil:
	default:
		verb := "unchanged"
		if extend(&old.Spec, namespace, peer) {
			verb = "configured"
			_, err = cluster.Update(ctx, c, v1alpha1.MotionPolicies, "", old)
		}
		progress.Objectf(p.Sink, "motionpolicies.%s/%s %s", v1alpha1.GroupName, name, verb)
	}
	if err != nil {
		return fmt.Errorf("motionpolicy %s on %s: %w", name, c, err)
	}
	return nil
}

func selectNamespaces(names ...string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: names},
	}}
}

// extend adds a namespace and a peer to a policy and says whether that changed
// it. Whatever else an administrator wrote there stays: a selector of another
// shape already says which namespaces are meant, and networks are only added.
func extend(spec *v1alpha1.MotionPolicySpec, namespace string, peer v1alpha1.PolicyPeer) bool {
	changed := false
	expressions := spec.NamespaceSelector.MatchExpressions
	if len(expressions) == 1 && expressions[0].Key == corev1.LabelMetadataName && expressions[0].Operator == metav1.LabelSelectorOpIn &&
		!slices.Contains(expressions[0].Values, namespace) {
		expressions[0].Values = append(expressions[0].Values, namespace)
		changed = true
	}
	i := slices.IndexFunc(spec.Peers, func(o v1alpha1.PolicyPeer) bool { return o.ClusterID == peer.ClusterID })
	if i < 0 {
		spec.Peers = append(spec.Peers, peer)
		return true
	}
	for _, cidr := range peer.CIDRs {
		if !slices.Contains(spec.Peers[i].CIDRs, cidr) {
			spec.Peers[i].CIDRs = append(spec.Peers[i].CIDRs, cidr)
			changed = true
		}
	}
	return changed
}

// nodeNetworks are the addresses of a cluster's nodes, at which NodePorts answer
// and from which the connections of their pods come.
func nodeNetworks(ctx context.Context, c *cluster.Cluster) ([]netip.Prefix, error) {
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("nodes of %s: %w", c, err)
	}
	var out []netip.Prefix
	for i := range nodes.Items {
		for _, a := range nodes.Items[i].Status.Addresses {
			if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
				continue
			}
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				out = append(out, netip.PrefixFrom(ip, ip.BitLen()))
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return slices.Compact(out), nil
}
