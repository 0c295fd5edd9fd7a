// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
)

// Grant is what the policies allow one namespace with one peer.
type Grant struct {
	// Policies are the names of the policies that make up the grant, sorted.
	Policies []string
	// CIDRs may be dialled and accepted from.
	CIDRs []netip.Prefix
	// Hosts may be dialled by these exact names, in lower case.
	Hosts []string
	// Relay: connections by way of the relay are the peer's, too.
	Relay bool
	// Bandwidth is the bound of one shipment in bytes per second; 0: none.
	Bandwidth int64
	// MaxConcurrent is how many shipments of the namespace an agent works on.
	MaxConcurrent int
	// PreserveSpecial carries setuid-root files, devices, file capabilities and
	// trusted.* attributes over instead of refusing them.
	PreserveSpecial bool
	// AllowUnpaired lets volumes leave the namespace without a ClusterPair there.
	AllowUnpaired bool
	// MountPodImages are what mount pods may run; none: anything.
	MountPodImages []string
	// NodeIP is the address of the agent's node, which is not dialled even if a CIDR contains it.
	NodeIP netip.Addr
	// Malformed lists what was left out because it does not parse.
	Malformed []string
}

// defaultConcurrent applies when a policy has no value, as the CRD's default does.
const defaultConcurrent = 4

// Request is the input of Evaluate.
type Request struct {
	// Namespace of the shipment, and its labels.
	Namespace string
	Labels    map[string]string
	// Peer is the cluster at the other end.
	Peer string
	// AgentNamespace is never shipped from or to.
	AgentNamespace string
}

// Evaluate returns what policies allow, or an error with the reason PolicyDenied.
func Evaluate(policies []v1alpha1.MotionPolicy, req Request) (*Grant, error) {
	if req.Namespace == req.AgentNamespace || isSystem(req.Namespace) {
		return nil, fault.New(v1alpha1.ReasonPolicyDenied,
			"namespace %s is a system namespace, whose volumes are never shipped", req.Namespace)
	}
	grant := &Grant{}
	selected := false
	for i := range policies {
		p := &policies[i]
		if !selects(p, req.Labels, grant) {
			continue
		}
		selected = true
		if peer := policy.Peer(p, req.Peer); peer != nil {
			grant.add(p, peer)
		}
	}
	switch {
	case !selected:
		return nil, fault.New(v1alpha1.ReasonPolicyDenied,
			"no MotionPolicy selects namespace %s: ask an administrator to run: kubectl motion pair", req.Namespace)
	case len(grant.Policies) == 0:
		return nil, fault.New(v1alpha1.ReasonPolicyDenied,
			"no MotionPolicy of namespace %s has the peer cluster %s: ask an administrator to run: kubectl motion pair", req.Namespace, req.Peer)
	}
	slices.Sort(grant.Policies)
	return grant, nil
}

// isSystem follows the rule that the prefix kube- is reserved for the cluster
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/).
func isSystem(namespace string) bool { return strings.HasPrefix(namespace, "kube-") }

func selects(p *v1alpha1.MotionPolicy, set map[string]string, g *Grant) bool {
	selected, err := policy.Selects(p, set)
	if err != nil {
		g.Malformed = append(g.Malformed, p.Name+": namespaceSelector: "+err.Error())
	}
	return selected
}

func (g *Grant) add(p *v1alpha1.MotionPolicy, peer *v1alpha1.PolicyPeer) {
	first := len(g.Policies) == 0
	g.Policies = append(g.Policies, p.Name)
	for _, c := range peer.CIDRs {
		prefix, err := netip.ParsePrefix(c)
		if err != nil {
			g.Malformed = append(g.Malformed, p.Name+": cidrs: "+err.Error())
			continue
		}
		g.CIDRs = append(g.CIDRs, prefix.Masked())
	}
	g.Relay = g.Relay || peer.Relay
	for _, h := range peer.Hosts {
		g.Hosts = append(g.Hosts, strings.ToLower(h))
	}
	g.Bandwidth = lower(g.Bandwidth, bytesPerSecond(p.Spec.MaxBandwidth))
	concurrent := int(p.Spec.MaxConcurrentShipments)
	if concurrent <= 0 {
		concurrent = defaultConcurrent
	}
	if first || concurrent < g.MaxConcurrent {
		g.MaxConcurrent = concurrent
	}
	if t := p.Spec.MountPodTemplate; t != nil && t.Image != "" {
		g.MountPodImages = append(g.MountPodImages, t.Image)
	}
	preserve := p.Spec.SpecialFiles == v1alpha1.SpecialFilesPreserve
	g.PreserveSpecial = preserve && (first || g.PreserveSpecial)
	g.AllowUnpaired = p.Spec.AllowUnpaired && (first || g.AllowUnpaired)
}

// Paired says whether a volume may leave the namespace for the cluster peer: a
// ClusterPair of the namespace leads there and has not ended, or the policies need
// none. ClusterPairs are an administrator's to write. The error has the reason
// PolicyDenied.
func (g *Grant) Paired(pairs []v1alpha1.ClusterPair, peer string, now time.Time) error {
	if g.AllowUnpaired {
		return nil
	}
	ended := ""
	for i := range pairs {
		p := &pairs[i]
		if p.Spec.ClusterID != peer || peer == "" {
			continue
		}
		if end := p.Spec.ExpiryTime; end != nil && !now.Before(end.Time) {
			ended = p.Name
			continue
		}
		return nil
	}
	if ended != "" {
		return fault.New(v1alpha1.ReasonPolicyDenied, "ClusterPair %s has expired: ask an administrator to run: kubectl motion pair", ended)
	}
	return fault.New(v1alpha1.ReasonPolicyDenied,
		"the namespace has no ClusterPair to cluster %s, and MotionPolicy %s does not set allowUnpaired: ask an administrator to run: kubectl motion pair",
		peer, strings.Join(g.Policies, ", "))
}

// WithLimits is the bandwidth of a shipment whose user asked for limits: the
// lower of both, 0 for none.
func (g *Grant) WithLimits(limits *v1alpha1.ShipmentLimits) int64 {
	if limits == nil {
		return g.Bandwidth
	}
	return lower(g.Bandwidth, bytesPerSecond(limits.Bandwidth))
}

// lower returns the lower of two bounds, of which 0 is none.
func lower(a, b int64) int64 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

// bytesPerSecond reads a bandwidth; a value that is not a positive number bounds
// to one byte per second, because an administrator who wrote one wanted a bound.
func bytesPerSecond(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return max(q.Value(), 1)
}
