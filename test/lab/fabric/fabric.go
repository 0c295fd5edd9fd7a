// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fabric is the lab's network. Each cluster has a network namespace with a bridge for its nodes and a router;
// the routers are connected by links of their own, and each has an uplink to the host. So a link between clusters can
// be cut, slowed or made one-way without touching anything else, and nothing of it is configured in the host's
// namespace but one device and one route per cluster.
//
// A namespace lives as long as the process that holds it: a killed lab leaves no network behind.
package fabric

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// In runs ip(8) commands, one per line, in the network namespace of a process; 0 means the caller's own namespace.
func In(pid int, commands string) error {
	_, err := run(pid, strings.NewReader(commands), "ip", "-batch", "-")
	return err
}

// Exec runs a program in the network namespace of a process and returns what it printed.
func Exec(pid int, argv ...string) (string, error) { return run(pid, nil, argv...) }

func run(pid int, stdin *strings.Reader, argv ...string) (string, error) {
	full := argv
	if pid != 0 {
		// nsenter and not "ip netns exec": the latter mounts a fresh /sys, which hides the cgroups.
		full = append([]string{"nsenter", "--net=/proc/" + strconv.Itoa(pid) + "/ns/net"}, argv...)
	}
	cmd := exec.Command(full[0], full[1:]...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Router sets up a cluster's router in the namespace of the process pid, and the uplink to the host. Forwarding is
// switched on by that process itself.
func Router(c *topology.Cluster, pid int) error {
	host, router := c.Uplink()
	device := c.HostDevice()
	_ = In(0, "link del "+device+"\n") // of a router that died a moment ago
	if err := In(0, lines(
		"link add %s type veth peer name %s netns %d", device, topology.Uplink, pid,
		"addr add %s/30 dev %s", host, device,
		"link set %s up", device,
		"route replace %s via %s", c.NodeNetwork(), router,
	)); err != nil {
		return err
	}
	if err := In(pid, lines(
		"link set lo up",
		"addr add %s/30 dev %s", router, topology.Uplink,
		"link set %s up", topology.Uplink,
		"link add nodes type bridge",
		"addr add %s/24 dev nodes", c.Router(),
		"link set nodes up",
	)); err != nil {
		return err
	}
	return chains(pid, "FORWARD")
}

// Chains of iptables rules that faults fill. Cut stops what it names at once; Firewall stops new connections only.
const (
	CutChain      = "MOTION-CUT"
	FirewallChain = "MOTION-FIREWALL"
)

// chains hooks the empty fault chains into a built-in one. Connections are tracked from the start, or a firewall that
// comes up later would take those that exist for new ones.
func chains(pid int, hook string) error {
	rules := strings.Join([]string{
		"*filter", ":" + CutChain + " - [0:0]", ":" + FirewallChain + " - [0:0]",
		"-A " + hook + " -j " + CutChain,
		"-A " + hook + " -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
		"-A " + hook + " -j " + FirewallChain, "COMMIT", "",
	}, "\n")
	_, err := run(pid, strings.NewReader(rules), "iptables-restore", "-w", "--noflush")
	return err
}

// Connect links two routers, given the processes that hold them.
func Connect(l topology.Link, a, b int) error {
	toB, toA := topology.DeviceToward(l.B), topology.DeviceToward(l.A)
	if err := In(a, lines(
		"link add %s type veth peer name %s netns %d", toB, toA, b,
		"addr add %s/30 dev %s", l.AIP, toB,
		"link set %s up", toB,
	)); err != nil {
		return err
	}
	if err := In(b, lines(
		"addr add %s/30 dev %s", l.BIP, toA,
		"link set %s up", toA,
		"route replace %s via %s", l.A.NodeNetwork(), l.AIP,
	)); err != nil {
		return err
	}
	return In(a, lines("route replace %s via %s", l.B.NodeNetwork(), l.BIP))
}

// Plug connects a node to its cluster's bridge, given the processes that hold the node and the router.
func Plug(n *topology.Node, node, router int) error {
	_ = In(router, "link del "+n.Port()+"\n") // of a node that died a moment ago
	if err := In(router, lines(
		"link add %s type veth peer name eth0 netns %d", n.Port(), node,
		"link set %s master nodes up", n.Port(),
	)); err != nil {
		return err
	}
	if err := In(node, lines(
		"link set lo up",
		"addr add %s/24 dev eth0", n.IP(),
		"link set eth0 up",
	)); err != nil {
		return err
	}
	for _, other := range n.Cluster.Nodes {
		if other != n {
			if err := In(node, lines("route replace %s via %s", other.PodNetwork(), other.IP())); err != nil {
				return err
			}
		}
	}
	if n.ControlPlane() {
		if err := chains(node, "INPUT"); err != nil {
			return err
		}
	}
	// Last, because it is what the node waits for.
	return In(node, lines("route replace default via %s", n.Cluster.Router()))
}

// lines renders formats and their arguments, one command per line: lines("a %s", x, "b", "c %d", 1).
func lines(parts ...any) string {
	var b strings.Builder
	for len(parts) > 0 {
		format := parts[0].(string)
		n := strings.Count(format, "%")
		fmt.Fprintf(&b, format+"\n", parts[1:1+n]...)
		parts = parts[1+n:]
	}
	return b.String()
}
