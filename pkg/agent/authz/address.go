// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Destination is an address that a Grant allows to dial.
type Destination struct {
	// Address is host:port as net.Dialer takes it.
	Address string
	// ByName is set when the host is a name that the policy allows; what it
	// resolves to is then the administrator's choice, within CheckResolved.
	ByName bool
	grant  *Grant
}

// Dial says whether address, a host:port pair, may be dialled. The error has
// the reason AddressNotAllowed.
func (g *Grant) Dial(address string) (Destination, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Destination{}, fault.New(v1alpha1.ReasonAddressNotAllowed, "invalid peer address %q: must be host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Destination{}, fault.New(v1alpha1.ReasonAddressNotAllowed, "invalid peer address %q: the port must be a number from 1 to 65535", address)
	}
	d := Destination{Address: address, grant: g}
	if ip, err := netip.ParseAddr(host); err == nil {
		return d, d.CheckResolved(ip)
	}
	d.ByName = true
	if !slices.Contains(g.Hosts, strings.ToLower(strings.TrimSuffix(host, "."))) {
		return Destination{}, fault.New(v1alpha1.ReasonAddressNotAllowed,
			"peer address %q is not in hosts of the MotionPolicies (%s)", address, strings.Join(g.Policies, ", "))
	}
	return d, nil
}

// CheckResolved says whether ip, which the destination resolved to or is, may be
// connected to. The caller checks at the moment of the connection, so that a
// name cannot resolve to one thing here and another there.
func (d Destination) CheckResolved(ip netip.Addr) error {
	if local(ip) || d.grant.isNode(ip) {
		return fault.New(v1alpha1.ReasonAddressNotAllowed,
			"peer address %q is %s, a local address of the node, which is never allowed", d.Address, ip)
	}
	if !d.ByName && !d.grant.contains(ip) {
		return fault.New(v1alpha1.ReasonAddressNotAllowed,
			"peer address %q is not in cidrs of the MotionPolicies (%s)", d.Address, strings.Join(d.grant.Policies, ", "))
	}
	return nil
}

// Accept says whether a connection from ip may be of the peer. The error has
// the reason AddressNotAllowed.
func (g *Grant) Accept(ip netip.Addr) error {
	if local(ip) || !g.contains(ip) {
		return fault.New(v1alpha1.ReasonAddressNotAllowed,
			"connection from %s, which is not in cidrs of the MotionPolicies (%s)", ip, strings.Join(g.Policies, ", "))
	}
	return nil
}

// ThroughRelay says whether the peer may be reached by the relay, where there are no
// addresses to judge: who reaches the relay is RBAC's matter. The error has the
// reason AddressNotAllowed.
func (g *Grant) ThroughRelay() error {
	if !g.Relay {
		return fault.New(v1alpha1.ReasonAddressNotAllowed,
			"connection through the relay, which the MotionPolicies (%s) do not allow for this peer", strings.Join(g.Policies, ", "))
	}
	return nil
}

func (g *Grant) contains(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.Zone() == "" && slices.ContainsFunc(g.CIDRs, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// metadataServices are addresses of clouds' services for the node itself that are not
// link-local: of AWS by IPv6, Alibaba Cloud and Azure.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
}

// isNode reports whether ip is the address of the agent's own node.
func (g *Grant) isNode(ip netip.Addr) bool {
	return g.NodeIP.IsValid() && ip.Unmap() == g.NodeIP.Unmap()
}

// local reports whether ip is never another cluster's: the agent itself, what answers
// on the node's link (metadata services of clouds do), and groups.
func local(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsValid() || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() ||
		ip.IsLinkLocalUnicast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || slices.Contains(metadataServices, ip.WithZone(""))
}

// AnyAccepts says whether any peer of any policy may connect from ip.
func AnyAccepts(policies []v1alpha1.MotionPolicy, ip netip.Addr) bool {
	for i := range policies {
		for j := range policies[i].Spec.Peers {
			g := &Grant{}
			g.add(&policies[i], &policies[i].Spec.Peers[j])
			if g.Accept(ip) == nil {
				return true
			}
		}
	}
	return false
}
