// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"net/netip"
	"testing"
)

// large is as many clusters and nodes as have addresses.
func large(slot int) *Lab {
	var shapes []Shape
	for i := range MaxClusters {
		shapes = append(shapes, Shape{Name: fmt.Sprintf("c%d", i), Nodes: maxNodes, Minor: "1.36"})
	}
	return New("/d", slot, shapes)
}

func TestNoTwoNetworksOfALabOverlap(t *testing.T) {
	lab := large(3)
	networks := map[string]netip.Prefix{}
	for _, c := range lab.Clusters {
		host, router := c.Uplink()
		networks[c.Name+" uplink"] = netip.MustParsePrefix(host + "/30").Masked()
		if !networks[c.Name+" uplink"].Contains(netip.MustParseAddr(router)) {
			t.Errorf("%s: router %s is not on the uplink of host %s", c.Name, router, host)
		}
		networks[c.Name+" nodes"] = netip.MustParsePrefix(c.NodeNetwork())
		networks[c.Name+" pods"] = netip.MustParsePrefix(c.PodNetwork())
		networks[c.Name+" services"] = netip.MustParsePrefix(c.ServiceNetwork())
	}
	for _, l := range lab.Links() {
		name := l.A.Name + "-" + l.B.Name
		networks[name] = netip.MustParsePrefix(l.AIP + "/30").Masked()
		if !networks[name].Contains(netip.MustParseAddr(l.BIP)) {
			t.Errorf("%s: %s and %s are not on one link", name, l.AIP, l.BIP)
		}
	}
	whole := netip.MustParsePrefix(lab.Network())
	for a, x := range networks {
		if !whole.Overlaps(x) || x.Bits() < whole.Bits() {
			t.Errorf("%s %s is outside of %s", a, x, whole)
		}
		for b, y := range networks {
			if a != b && x.Overlaps(y) {
				t.Errorf("%s %s overlaps %s %s", a, x, b, y)
			}
		}
	}
}

func TestEveryNodeAndServiceAddressIsInItsClustersNetwork(t *testing.T) {
	seen := map[string]string{}
	for _, c := range large(0).Clusters {
		services := netip.MustParsePrefix(c.ServiceNetwork())
		for _, ip := range []string{c.DNS(), c.ServiceIP()} {
			if !services.Contains(netip.MustParseAddr(ip)) {
				t.Errorf("%s: %s is not in %s", c.Name, ip, services)
			}
		}
		for _, n := range c.Nodes {
			if !netip.MustParsePrefix(c.NodeNetwork()).Contains(netip.MustParseAddr(n.IP())) {
				t.Errorf("%s: %s is not in %s", n.Ref(), n.IP(), c.NodeNetwork())
			}
			pods := netip.MustParsePrefix(n.PodNetwork())
			if whole := netip.MustParsePrefix(c.PodNetwork()); !whole.Overlaps(pods) || pods.Bits() < whole.Bits() {
				t.Errorf("%s: pods %s are not in %s", n.Ref(), pods, whole)
			}
			for _, value := range []string{n.IP(), n.PodNetwork(), n.Name(), n.Socket()} {
				if other := seen[value]; other != "" {
					t.Errorf("%s and %s share %s", n.Ref(), other, value)
				}
				seen[value] = n.Ref()
			}
		}
	}
}

func TestLabsInDifferentSlotsShareNothing(t *testing.T) {
	for slot := range MaxSlots {
		a, b := large(slot), large(slot+1)
		if netip.MustParsePrefix(a.Network()).Overlaps(netip.MustParsePrefix(b.Network())) {
			t.Errorf("slots %d and %d share addresses", slot, slot+1)
		}
		if a.Cgroup() == b.Cgroup() || a.Clusters[0].HostDevice() == b.Clusters[0].HostDevice() {
			t.Errorf("slots %d and %d share a cgroup or a device", slot, slot+1)
		}
		for _, c := range a.Clusters {
			if len(c.HostDevice()) > 15 {
				t.Errorf("device name %s is longer than the kernel allows", c.HostDevice())
			}
		}
	}
}

func TestShapesAreReadOrRefused(t *testing.T) {
	for text, want := range map[string]Shape{
		"lab-c=2":      {"lab-c", 2, "1.36"},
		"old=1@1.35":   {"old", 1, "1.35"},
		"wide=16@1.36": {"wide", 16, "1.36"},
	} {
		got, err := ParseShape(text)
		if err != nil || got != want {
			t.Errorf("%s = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "x", "lab", "lab=", "lab=0", "lab=17", "lab=two", "Lab=1", "-lab=1", "lab=1@",
		"a-name-that-is-too-long=1", "../x=1",
	} {
		if got, err := ParseShape(text); err == nil {
			t.Errorf("%q was taken as %+v", text, got)
		}
	}
}

func TestNodesAreFoundByBothOfTheirNames(t *testing.T) {
	lab := New("/d", 0, Default())
	for _, name := range []string{"lab-b/node-2", "lab-b-node-2"} {
		if n := lab.Node(name); n == nil || n.Ref() != "lab-b/node-2" {
			t.Errorf("%s was not found", name)
		}
	}
	if n := lab.Node("lab-a/node-2"); n != nil {
		t.Errorf("lab-a has no second node, but %s was found", n.Ref())
	}
}
