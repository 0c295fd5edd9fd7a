// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/endpoint"
)

// PolicyOptions are what an administrator says about the pair's MotionPolicies
// besides namespaces and networks. What is not said stays as it is.
type PolicyOptions struct {
	MaxBandwidth           *resource.Quantity
	MaxConcurrentShipments *int32
	SpecialFiles           *v1alpha1.SpecialFiles
	AllowUnpaired          *bool
	// Relay lets the policy's peers come by the relay.
	Relay               *bool
	MountPodImage       *string
	MountPodPullSecrets []string
}

func (o PolicyOptions) apply(spec *v1alpha1.MotionPolicySpec) {
	if o.MaxBandwidth != nil {
		spec.MaxBandwidth = o.MaxBandwidth
	}
	if o.MaxConcurrentShipments != nil {
		spec.MaxConcurrentShipments = *o.MaxConcurrentShipments
	}
	if o.SpecialFiles != nil {
		spec.SpecialFiles = *o.SpecialFiles
	}
	if o.AllowUnpaired != nil {
		spec.AllowUnpaired = *o.AllowUnpaired
	}
	if o.Relay != nil {
		for i := range spec.Peers {
			spec.Peers[i].Relay = *o.Relay
		}
	}
	if o.MountPodImage == nil && o.MountPodPullSecrets == nil {
		return
	}
	if spec.MountPodTemplate == nil {
		spec.MountPodTemplate = &v1alpha1.MountPodTemplate{}
	}
	if o.MountPodImage != nil {
		spec.MountPodTemplate.Image = *o.MountPodImage
	}
	if o.MountPodPullSecrets != nil {
		spec.MountPodTemplate.ImagePullSecrets = nil
		for _, name := range o.MountPodPullSecrets {
			spec.MountPodTemplate.ImagePullSecrets = append(spec.MountPodTemplate.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
		}
	}
}

// PolicyNames are what the policies of a pair are called on the source and on the
// target. Each pair has its own two, so that limits of one are none of another's,
// and that ending one ends nothing else.
func PolicyNames(sourceID string, m Mapping, pair string) (onSource, onTarget string) {
	return m.Source + ".to." + pair, m.Target + ".from." + digest(sourceID, m.Source, pair)
}

// composePolicies lets the two namespaces exchange volumes. An administrator who
// wants to say more edits these policies, or writes some of their own.
func (p *Pairing) composePolicies(ctx context.Context, m Mapping) ([]item, error) {
	targets, sources := p.Request.TargetCIDRs, p.Request.SourceCIDRs
	var err error
	if len(targets) == 0 {
		if targets, err = nodeNetworks(ctx, p.Target); err != nil {
			return nil, err
		}
	}
	if len(sources) == 0 {
		if sources, err = nodeNetworks(ctx, p.Source); err != nil {
			return nil, err
		}
	}
	onSource, onTarget := PolicyNames(p.Source.ID, m, p.Request.Name)
	there := peer(p.Target, targets)
	there.Hosts, there.Relay = p.Request.TargetHosts, p.relay()
	if err := p.addPublished(ctx, &there); err != nil {
		return nil, err
	}
	a, err := p.composePolicy(ctx, p.Source, onSource, m.Source, there)
	if err != nil {
		return nil, err
	}
	here := peer(p.Source, sources)
	here.Relay = p.relay()
	b, err := p.composePolicy(ctx, p.Target, onTarget, m.Target, here)
	return []item{a, b}, err
}

// addPublished lets the source dial where the target's administrator says that its
// agents are.
func (p *Pairing) addPublished(ctx context.Context, to *v1alpha1.PolicyPeer) error {
	addresses := p.Request.TargetEndpoints
	svc, err := p.Target.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case err == nil:
		addresses = append(slices.Clone(addresses), endpoint.Of(svc).Shared()...)
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, p.Target, err)
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		list, entry := &to.Hosts, host
		if ip, err := netip.ParseAddr(host); err == nil {
			list, entry = &to.CIDRs, netip.PrefixFrom(ip, ip.BitLen()).String()
		}
		if !slices.Contains(*list, entry) {
			*list = append(slices.Clone(*list), entry)
		}
	}
	return nil
}

func peer(c *cluster.Cluster, networks []netip.Prefix) v1alpha1.PolicyPeer {
	p := v1alpha1.PolicyPeer{ClusterID: c.ID, Name: c.Name}
	for _, n := range networks {
		p.CIDRs = append(p.CIDRs, n.String())
	}
	return p
}

// composePolicy changes the policy that is there as little as it must.
func (p *Pairing) composePolicy(ctx context.Context, c *cluster.Cluster, name, namespace string, peer v1alpha1.PolicyPeer) (item, error) {
	policy, err := cluster.Get[v1alpha1.MotionPolicy](ctx, c, v1alpha1.MotionPolicies, "", name)
	switch {
	case apierrors.IsNotFound(err):
		policy = &v1alpha1.MotionPolicy{ObjectMeta: ours(name, ""), Spec: v1alpha1.MotionPolicySpec{
			NamespaceSelector: selectNamespaces(namespace), Peers: []v1alpha1.PolicyPeer{peer}, SpecialFiles: v1alpha1.SpecialFilesRefuse,
		}}
	case err != nil:
		return item{}, fmt.Errorf("motionpolicy %s on %s: %w", name, c, err)
	default:
		extend(&policy.Spec, namespace, peer)
	}
	policy.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MotionPolicy"}
	p.Request.Policy.apply(&policy.Spec)
	managed, found := policy.ManagedFields, policy.CreationTimestamp
	policy.ManagedFields = nil
	i, err := wanted(c, policy)
	if err == nil && !found.IsZero() {
		i.object.SetCreationTimestamp(found)
		i.object.SetManagedFields(managed)
	}
	i.replace, i.note = true, fmt.Sprintf("namespace %s may exchange volumes with %s", namespace, peer.Name)
	return i, err
}

func selectNamespaces(names ...string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: names},
	}}
}

// extend adds a namespace and a peer to a policy and says whether that changed
// it. All that an administrator wrote there stays: a selector of another
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
	add := func(into *[]string, values []string) {
		for _, v := range values {
			if !slices.Contains(*into, v) {
				*into = append(*into, v)
				changed = true
			}
		}
	}
	add(&spec.Peers[i].CIDRs, peer.CIDRs)
	add(&spec.Peers[i].Hosts, peer.Hosts)
	if peer.Relay && !spec.Peers[i].Relay {
		spec.Peers[i].Relay, changed = true, true
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
