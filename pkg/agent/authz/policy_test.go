// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const (
	west = "11111111-1111-4111-8111-111111111111"
	east = "22222222-2222-4222-8222-222222222222"
)

type change func(*v1alpha1.MotionPolicy)

// allow makes a policy for namespaces labelled team=blue with the peer west.
func allow(name string, changes ...change) v1alpha1.MotionPolicy {
	p := v1alpha1.MotionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.NamespaceSelector.MatchLabels = map[string]string{"team": "blue"}
	p.Spec.Peers = []v1alpha1.PolicyPeer{{ClusterID: west, CIDRs: []string{"10.1.0.0/16", "fd00:1::/64"}, Hosts: []string{"west.example.com"}}}
	p.Spec.MaxConcurrentShipments = 4
	for _, c := range changes {
		c(&p)
	}
	return p
}

func bandwidth(q string) change {
	return func(p *v1alpha1.MotionPolicy) {
		v := resource.MustParse(q)
		p.Spec.MaxBandwidth = &v
	}
}

func special(s v1alpha1.SpecialFiles) change {
	return func(p *v1alpha1.MotionPolicy) { p.Spec.SpecialFiles = s }
}

func blue() Request {
	return Request{Namespace: "blue", Labels: map[string]string{"team": "blue"}, Peer: west, AgentNamespace: "kubectl-motion"}
}

func mustDecide(t *testing.T, req Request, policies ...v1alpha1.MotionPolicy) *Grant {
	t.Helper()
	g, err := Evaluate(policies, req)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestANamespaceShipsOnlyWhatAPolicyAllows(t *testing.T) {
	cases := map[string]struct {
		policies []v1alpha1.MotionPolicy
		req      func(*Request)
		denied   bool
	}{
		"selected, peer named":       {policies: []v1alpha1.MotionPolicy{allow("a")}},
		"no policy at all":           {denied: true},
		"selected by none":           {policies: []v1alpha1.MotionPolicy{allow("a")}, req: func(r *Request) { r.Labels = map[string]string{"team": "red"} }, denied: true},
		"peer not named":             {policies: []v1alpha1.MotionPolicy{allow("a")}, req: func(r *Request) { r.Peer = east }, denied: true},
		"peer without an id":         {policies: []v1alpha1.MotionPolicy{allow("a", func(p *v1alpha1.MotionPolicy) { p.Spec.Peers[0].ClusterID = "" })}, req: func(r *Request) { r.Peer = "" }, denied: true},
		"system namespace":           {policies: []v1alpha1.MotionPolicy{allow("a")}, req: func(r *Request) { r.Namespace = "kube-system" }, denied: true},
		"the agent's namespace":      {policies: []v1alpha1.MotionPolicy{allow("a")}, req: func(r *Request) { r.Namespace = "kubectl-motion" }, denied: true},
		"empty selector selects all": {policies: []v1alpha1.MotionPolicy{allow("a", func(p *v1alpha1.MotionPolicy) { p.Spec.NamespaceSelector.MatchLabels = nil })}, req: func(r *Request) { r.Labels = nil }},
		"malformed selector selects none": {policies: []v1alpha1.MotionPolicy{allow("a", func(p *v1alpha1.MotionPolicy) {
			p.Spec.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Near"}}
		})}, denied: true},
		"one policy selects, another names the peer": {policies: []v1alpha1.MotionPolicy{
			allow("a", func(p *v1alpha1.MotionPolicy) { p.Spec.Peers[0].ClusterID = east }),
			allow("b", func(p *v1alpha1.MotionPolicy) { p.Spec.NamespaceSelector.MatchLabels["team"] = "red" }),
		}, denied: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := blue()
			if c.req != nil {
				c.req(&req)
			}
			_, err := Evaluate(c.policies, req)
			if c.denied != (err != nil) {
				t.Fatalf("Decide: %v, want denied=%t", err, c.denied)
			}
			if err != nil && fault.Reason(err) != v1alpha1.ReasonPolicyDenied {
				t.Errorf("reason %s", fault.Reason(err))
			}
		})
	}
}

func TestSeveralPoliciesAddPeersAndKeepEveryLimit(t *testing.T) {
	wide := allow("wide", bandwidth("100Mi"), special(v1alpha1.SpecialFilesPreserve))
	narrow := allow("narrow", bandwidth("1Mi"), special(v1alpha1.SpecialFilesRefuse), func(p *v1alpha1.MotionPolicy) {
		p.Spec.MaxConcurrentShipments = 2
		p.Spec.Peers[0].CIDRs = []string{"192.0.2.0/24"}
	})
	for _, order := range [][]v1alpha1.MotionPolicy{{wide, narrow}, {narrow, wide}} {
		g := mustDecide(t, blue(), order...)
		if g.Bandwidth != 1<<20 || g.MaxConcurrent != 2 || g.PreserveSpecial {
			t.Errorf("limits were lifted: %+v", g)
		}
		for _, a := range []string{"192.0.2.7:4747", "10.1.2.3:4747"} {
			if _, err := g.Dial(a); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

func TestPreserveNeedsEveryPolicyToSayIt(t *testing.T) {
	preserve := allow("a", special(v1alpha1.SpecialFilesPreserve))
	if g := mustDecide(t, blue(), preserve, preserve); !g.PreserveSpecial {
		t.Error("two policies that preserve do not")
	}
	if g := mustDecide(t, blue(), allow("a")); g.PreserveSpecial {
		t.Error("a policy without the field preserves")
	}
}

func TestTheUsersLimitOnlyLowersTheBandwidth(t *testing.T) {
	wish := func(q string) *v1alpha1.ShipmentLimits {
		v := resource.MustParse(q)
		return &v1alpha1.ShipmentLimits{Bandwidth: &v}
	}
	bound := mustDecide(t, blue(), allow("a", bandwidth("10Mi")))
	free := mustDecide(t, blue(), allow("a"))
	for _, c := range []struct {
		grant  *Grant
		limits *v1alpha1.ShipmentLimits
		want   int64
	}{
		{bound, nil, 10 << 20},
		{bound, wish("1Mi"), 1 << 20},
		{bound, wish("1Gi"), 10 << 20},
		{bound, &v1alpha1.ShipmentLimits{}, 10 << 20},
		{bound, wish("-1"), 1},
		{free, nil, 0},
		{free, wish("1Mi"), 1 << 20},
	} {
		if got := c.grant.WithLimits(c.limits); got != c.want {
			t.Errorf("WithLimits(%v) with policy %d = %d, want %d", c.limits, c.grant.Bandwidth, got, c.want)
		}
	}
}

func TestOnlyAllowedAddressesAreDialled(t *testing.T) {
	g := mustDecide(t, blue(), allow("a", func(p *v1alpha1.MotionPolicy) {
		p.Spec.Peers[0].CIDRs = append(p.Spec.Peers[0].CIDRs, "127.0.0.0/8", "169.254.0.0/16", "100.100.0.0/16", "not a cidr")
	}))
	g.NodeIP = netip.MustParseAddr("10.1.9.9")
	if len(g.Malformed) != 1 {
		t.Errorf("malformed entries: %q", g.Malformed)
	}
	cases := map[string]bool{
		"10.1.2.3:4747":             true,
		"[fd00:1::7]:4747":          true,
		"[::ffff:10.1.2.3]:4747":    true,
		"West.Example.Com:443":      true,
		"west.example.com.:443":     true,
		"10.2.0.1:4747":             false,
		"[fd00:2::7]:4747":          false,
		"[fd00:1::7%eth0]:4747":     false,
		"east.example.com:443":      false,
		"evil.west.example.com:443": false,
		"10.1.2.3":                  false,
		"10.1.2.3:0":                false,
		"10.1.2.3:http":             false,
		"10.1.2.3:99999":            false,
		":4747":                     false,
		"127.0.0.1:4747":            false,
		"169.254.169.254:80":        false,
		"100.100.100.200:80":        false,
		"10.1.9.9:4747":             false,
		"[::ffff:10.1.9.9]:4747":    false,
		"0.0.0.0:4747":              false,
		"[::1]:4747":                false,
		"[::ffff:127.0.0.1]:4747":   false,
		"0x0a010203:4747":           false,
	}
	for address, want := range cases {
		_, err := g.Dial(address)
		if (err == nil) != want {
			t.Errorf("Dial(%q): %v, want allowed=%t", address, err, want)
		}
		if err != nil && fault.Reason(err) != v1alpha1.ReasonAddressNotAllowed {
			t.Errorf("Dial(%q): reason %s", address, fault.Reason(err))
		}
	}
}

func TestAnAllowedNameThatResolvesToTheNodeItselfIsRefused(t *testing.T) {
	g := mustDecide(t, blue(), allow("a"))
	d, err := g.Dial("west.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CheckResolved(netip.MustParseAddr("198.51.100.1")); err != nil {
		t.Errorf("an address outside the CIDRs, by an allowed name: %v", err)
	}
	for _, ip := range []string{"127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::", "224.0.0.1", "::ffff:169.254.169.254"} {
		if d.CheckResolved(netip.MustParseAddr(ip)) == nil {
			t.Errorf("%s is allowed", ip)
		}
	}
}

func TestConnectionsAreAcceptedFromThePeersCIDRsOnly(t *testing.T) {
	g := mustDecide(t, blue(), allow("a"))
	for ip, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd00:1::1": true, "10.2.2.3": false, "127.0.0.1": false} {
		if err := g.Accept(netip.MustParseAddr(ip)); (err == nil) != want {
			t.Errorf("Accept(%s): %v, want allowed=%t", ip, err, want)
		}
	}
	hostsOnly := mustDecide(t, blue(), allow("a", func(p *v1alpha1.MotionPolicy) { p.Spec.Peers[0].CIDRs = nil }))
	if hostsOnly.Accept(netip.MustParseAddr("10.1.2.3")) == nil {
		t.Error("a policy without CIDRs accepts a connection")
	}
}

func TestAProbeIsToldWhetherAnyPolicyAcceptsIt(t *testing.T) {
	policies := []v1alpha1.MotionPolicy{allow("a"), allow("b", func(p *v1alpha1.MotionPolicy) {
		p.Spec.Peers[0].CIDRs = []string{"bad", "192.0.2.0/24"}
	})}
	for ip, want := range map[string]bool{"10.1.2.3": true, "192.0.2.1": true, "192.0.3.1": false, "127.0.0.1": false} {
		if got := AnyAccepts(policies, netip.MustParseAddr(ip)); got != want {
			t.Errorf("AnyAccepts(%s) = %t", ip, got)
		}
	}
}

func TestShippingWithoutAPairIsAllowedOnlyWhenNoPolicyWantsOne(t *testing.T) {
	unpaired := func(p *v1alpha1.MotionPolicy) { p.Spec.AllowUnpaired = true }
	for name, c := range map[string]struct {
		policies []v1alpha1.MotionPolicy
		want     bool
	}{
		"the one there is":      {[]v1alpha1.MotionPolicy{allow("a", unpaired)}, true},
		"one of two":            {[]v1alpha1.MotionPolicy{allow("a", unpaired), allow("b")}, false},
		"one of two, turned":    {[]v1alpha1.MotionPolicy{allow("a"), allow("b", unpaired)}, false},
		"none, which is normal": {[]v1alpha1.MotionPolicy{allow("a")}, false},
	} {
		if g := mustDecide(t, blue(), c.policies...); g.AllowUnpaired != c.want {
			t.Errorf("%s: %v", name, g.AllowUnpaired)
		}
	}
}
