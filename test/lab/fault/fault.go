// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fault breaks a running lab on purpose, and mends it: links, firewalls, API servers and disks. What is broken
// stays so until it is mended, or until the router or node in question restarts.
//
// Packets are dropped in silence: an application that waits for an answer which never comes is the hard case, an
// error at once is the easy one.
package fault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/test/lab/fabric"
	"github.com/kubectl-motion/kubectl-motion/test/lab/lifecycle"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Host is the name by which the commands know the machine itself, where kubectl runs.
const Host = "host"

// end is one end of a link: a device in the network namespace of a process.
type end struct {
	pid    int
	device string
}

// ends returns the ends of the link between two places: two clusters, or the host and a cluster. The first is always a
// router's.
func ends(lab *topology.Lab, a, b string) ([]end, error) {
	if a == Host {
		a, b = b, a
	}
	first := lab.Cluster(a)
	if first == nil {
		return nil, fmt.Errorf("no cluster %q", a)
	}
	router, err := lifecycle.RouterPID(lab, first)
	if err != nil {
		return nil, err
	}
	if b == Host {
		return []end{{router, topology.Uplink}, {0, first.HostDevice()}}, nil
	}
	second := lab.Cluster(b)
	if second == nil || second == first {
		return nil, fmt.Errorf("no link between %s and %q", a, b)
	}
	other, err := lifecycle.RouterPID(lab, second)
	if err != nil {
		return nil, err
	}
	return []end{{router, topology.DeviceToward(second)}, {other, topology.DeviceToward(first)}}, nil
}

// Cut drops everything on the link between two places.
func Cut(lab *topology.Lab, a, b string) error {
	found, err := ends(lab, a, b)
	if err != nil {
		return err
	}
	router := found[0]
	return errors.Join(
		drop(router.pid, fabric.CutChain, "-i", router.device),
		drop(router.pid, fabric.CutChain, "-o", router.device))
}

// Restore mends a link that was cut or slowed.
func Restore(lab *topology.Lab, a, b string) error {
	found, err := ends(lab, a, b)
	if err != nil {
		return err
	}
	router := found[0]
	errs := []error{
		undrop(router.pid, fabric.CutChain, "-i", router.device),
		undrop(router.pid, fabric.CutChain, "-o", router.device),
	}
	for _, e := range found {
		errs = append(errs, unslow(e))
	}
	return errors.Join(errs...)
}

// Slow limits the link between two places, in both directions, to a rate such as 10mbit (tc(8), "RATES").
func Slow(lab *topology.Lab, rate, a, b string) error {
	found, err := ends(lab, a, b)
	if err != nil {
		return err
	}
	for _, e := range found {
		if _, err := fabric.Exec(e.pid, "tc", "qdisc", "replace", "dev", e.device, "root", "tbf",
			"rate", rate, "burst", "64kb", "latency", "100ms"); err != nil {
			return err
		}
	}
	return nil
}

func unslow(e end) error {
	shown, err := fabric.Exec(e.pid, "tc", "qdisc", "show", "dev", e.device)
	if err != nil || !strings.Contains(shown, "tbf") {
		return err
	}
	_, err = fabric.Exec(e.pid, "tc", "qdisc", "del", "dev", e.device, "root")
	return err
}

// Block keeps one place from opening connections to a cluster, optionally only to some TCP ports. Connections that are
// open already, and those in the other direction, go on.
func Block(lab *topology.Lab, from, to string, ports []int) error {
	if lab.Cluster(to) == nil {
		return fmt.Errorf("no cluster %q", to)
	}
	found, err := ends(lab, to, from)
	if err != nil {
		return err
	}
	if len(ports) == 0 {
		return drop(found[0].pid, fabric.FirewallChain, "-i", found[0].device)
	}
	for _, port := range ports {
		if err := drop(found[0].pid, fabric.FirewallChain,
			"-i", found[0].device, "-p", "tcp", "--dport", strconv.Itoa(port)); err != nil {
			return err
		}
	}
	return nil
}

// ClearFirewalls removes everything that Block made.
func ClearFirewalls(lab *topology.Lab) error {
	return everyRouter(lab, func(pid int) error { return flush(pid, fabric.FirewallChain) })
}

func everyRouter(lab *topology.Lab, do func(pid int) error) error {
	var errs []error
	for _, c := range lab.Clusters {
		pid, err := lifecycle.RouterPID(lab, c)
		if err == nil {
			err = do(pid)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// CutAPI cuts a cluster's API server off from its clients: "nodes" for the cluster's own nodes and pods, a place, or
// "all". The control plane's own connections, by loopback, go on.
func CutAPI(lab *topology.Lab, cluster, from string) error {
	c := lab.Cluster(cluster)
	if c == nil {
		return fmt.Errorf("no cluster %q", cluster)
	}
	sources, err := clients(lab, c, from)
	if err != nil {
		return err
	}
	pid, err := lifecycle.NodePID(lab, c.Nodes[0])
	if err != nil {
		return err
	}
	for _, source := range sources {
		if err := drop(pid, fabric.CutChain,
			"-s", source, "-d", c.Nodes[0].IP(), "-p", "tcp", "--dport", strconv.Itoa(topology.APIPort)); err != nil {
			return err
		}
	}
	return nil
}

func clients(lab *topology.Lab, c *topology.Cluster, from string) ([]string, error) {
	switch from {
	case "all":
		return []string{"0.0.0.0/0"}, nil
	case "nodes":
		return []string{c.NodeNetwork(), c.PodNetwork()}, nil
	case Host:
		host, _ := c.Uplink()
		return []string{host}, nil
	}
	other := lab.Cluster(from)
	if other == nil || other == c {
		return nil, fmt.Errorf("cut the API server off from what? all, nodes, host or another cluster, not %q", from)
	}
	return []string{other.NodeNetwork()}, nil
}

// RestoreAPI undoes CutAPI.
func RestoreAPI(lab *topology.Lab, cluster string) error {
	c := lab.Cluster(cluster)
	if c == nil {
		return fmt.Errorf("no cluster %q", cluster)
	}
	pid, err := lifecycle.NodePID(lab, c.Nodes[0])
	if err != nil {
		return err
	}
	return flush(pid, fabric.CutChain)
}

// filler is the file that fills a node's volumes.
const filler = ".filled-on-purpose"

// FillDisk takes all space on the filesystem of a node's volumes but that many bytes.
func FillDisk(lab *topology.Lab, node string, leave int64) error {
	dir, err := volumes(lab, node)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, filler), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// The filesystem needs some of what is free for itself, so it is approached in ever smaller steps.
	for chunk := int64(1) << 40; chunk >= 4096; {
		free, size, err := space(dir, f)
		if err != nil {
			return err
		}
		if free <= leave {
			return nil
		}
		chunk = min(chunk, free-leave)
		if err := unix.Fallocate(int(f.Fd()), 0, size, chunk); errors.Is(err, unix.ENOSPC) {
			chunk /= 2
		} else if err != nil {
			return fmt.Errorf("fill %s: %w", dir, err)
		}
	}
	return nil
}

func space(dir string, f *os.File) (free, size int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, info.Size(), nil
}

// FreeDisk undoes FillDisk.
func FreeDisk(lab *topology.Lab, node string) error {
	dir, err := volumes(lab, node)
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(dir, filler))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// volumes is the folder of a node's volumes as the host can reach it.
func volumes(lab *topology.Lab, node string) (string, error) {
	n := lab.Node(node)
	if n == nil {
		return "", fmt.Errorf("no node %q; a node is called cluster/node-N", node)
	}
	pid, err := lifecycle.NodePID(lab, n)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/root%s", pid, topology.Volumes), nil
}

// Heal mends everything that is broken, and starts everything that was stopped.
func Heal(lab *topology.Lab) error {
	errs := []error{lifecycle.StartAll(lab), ClearFirewalls(lab)}
	for _, c := range lab.Clusters {
		errs = append(errs, Restore(lab, c.Name, Host), RestoreAPI(lab, c.Name))
	}
	for _, l := range lab.Links() {
		errs = append(errs, Restore(lab, l.A.Name, l.B.Name))
	}
	for _, n := range lab.Nodes() {
		errs = append(errs, FreeDisk(lab, n.Name()))
	}
	return errors.Join(errs...)
}

func drop(pid int, chain string, match ...string) error {
	rule := append(append([]string{chain}, match...), "-j", "DROP")
	if _, err := iptables(pid, append([]string{"-C"}, rule...)...); err == nil {
		return nil
	}
	_, err := iptables(pid, append([]string{"-A"}, rule...)...)
	return err
}

func undrop(pid int, chain string, match ...string) error {
	rule := append(append([]string{chain}, match...), "-j", "DROP")
	if _, err := iptables(pid, append([]string{"-C"}, rule...)...); err != nil {
		return nil //nolint:nilerr // not cut
	}
	_, err := iptables(pid, append([]string{"-D"}, rule...)...)
	return err
}

func flush(pid int, chain string) error {
	_, err := iptables(pid, "-F", chain)
	return err
}

func iptables(pid int, args ...string) (string, error) {
	return fabric.Exec(pid, append([]string{"iptables", "-w"}, args...)...)
}
