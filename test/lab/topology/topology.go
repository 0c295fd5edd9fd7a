// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package topology says what one lab consists of: which clusters and nodes there are, what they are called and which
// addresses they have. It is pure: everything follows from a slot, the small number that keeps labs on one machine
// apart.
//
// Addresses, with S = 213 + slot:
//
//	10.S.0.0/25      host side of each cluster's uplink, four addresses per cluster
//	10.S.0.128/25    links between the clusters' routers, four addresses per pair
//	10.S.C.0/24      nodes of cluster C (1, 2, ...): router .1, nodes from .11
//	10.S.32C.0/20    pods of cluster C, a /24 per node
//	10.S.(32C+16).0/20  services of cluster C, cluster DNS at .10
//
// Pods of different clusters have no route to each other, as in real life: they meet at node ports and API servers.
package topology

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// APIPort is the port at which each cluster's API server listens on its first node.
const APIPort = 6443

// MaxSlots is how many labs fit beside each other on one machine.
const MaxSlots = 16

// Lab is one lab: a directory, a slot and the clusters.
type Lab struct {
	Dir      string
	Slot     int
	Clusters []*Cluster
}

// Cluster is one Kubernetes cluster of the lab. Index counts from 1.
type Cluster struct {
	Name  string
	Index int
	Minor string
	Nodes []*Node

	lab *Lab
}

// Node is one node of a cluster. Index counts from 1; the first node also runs the control plane.
type Node struct {
	Cluster *Cluster
	Index   int
}

// Shape is what decides how large a lab is.
type Shape struct {
	Name  string
	Nodes int
	Minor string
}

// Default is the shape of the lab when nothing else is asked for: a single-node cluster, and one with two nodes so
// that a volume can be on another node than the one at which a connection arrives.
func Default() []Shape {
	return []Shape{{Name: "lab-a", Nodes: 1, Minor: "1.36"}, {Name: "lab-b", Nodes: 2, Minor: "1.36"}}
}

// ParseShape reads NAME=NODES[@MINOR], such as lab-c=2@1.36. The minor is by default that of the default shape.
func ParseShape(text string) (Shape, error) {
	name, rest, ok := strings.Cut(text, "=")
	count, minor, hasMinor := strings.Cut(rest, "@")
	if !hasMinor {
		minor = Default()[0].Minor
	}
	nodes, err := strconv.Atoi(count)
	if !ok || err != nil || nodes < 1 || nodes > maxNodes || !names().MatchString(name) || minor == "" {
		return Shape{}, fmt.Errorf("cluster %q: want NAME=NODES[@MINOR], with 1 to %d nodes, such as lab-c=2@1.36", text, maxNodes)
	}
	return Shape{Name: name, Nodes: nodes, Minor: minor}, nil
}

// maxNodes is how many /24 networks for pods the /20 of a cluster holds; MaxClusters how many clusters' networks the
// /16 of a lab.
const (
	maxNodes    = 16
	MaxClusters = 7
)

// names are what can be a DNS label, and short enough for device names and socket paths made from it.
func names() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}[a-z0-9]$`) }

// New lays out a lab of the given shapes.
func New(dir string, slot int, shapes []Shape) *Lab {
	lab := &Lab{Dir: dir, Slot: slot}
	for i, s := range shapes {
		c := &Cluster{Name: s.Name, Index: i + 1, Minor: s.Minor, lab: lab}
		for j := range s.Nodes {
			c.Nodes = append(c.Nodes, &Node{Cluster: c, Index: j + 1})
		}
		lab.Clusters = append(lab.Clusters, c)
	}
	return lab
}

// Nodes returns the nodes of all clusters.
func (l *Lab) Nodes() []*Node {
	var all []*Node
	for _, c := range l.Clusters {
		all = append(all, c.Nodes...)
	}
	return all
}

// Cluster returns the cluster of that name, or nil.
func (l *Lab) Cluster(name string) *Cluster {
	for _, c := range l.Clusters {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Node returns the node whose Kubernetes name, or cluster/node-N name, that is, or nil.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes() {
		if n.Name() == name || n.Ref() == name {
			return n
		}
	}
	return nil
}

// Cgroup is the path below each cgroup hierarchy that holds every process and every pod of this lab.
func (l *Lab) Cgroup() string { return fmt.Sprintf("/motion-lab-%d", l.Slot) }

// DaemonCgroup is where the lab's own processes run.
func (l *Lab) DaemonCgroup() string { return l.Cgroup() + "/daemons" }

// Network is the lab's whole address range.
func (l *Lab) Network() string { return l.address("0.0") + "/16" }

// Kubeconfig is the file with all contexts of the lab.
func (l *Lab) Kubeconfig() string { return filepath.Join(l.Dir, "kubeconfig") }

// Bin is the folder with the programs that run inside the lab.
func (l *Lab) Bin() string { return filepath.Join(l.Dir, "bin") }

// Run is the folder for sockets and pid files.
func (l *Lab) Run() string { return filepath.Join(l.Dir, "run") }

// Devices is where the files behind a node's raw block volumes are, as seen on the node. The lab's number is in its
// name, so that the loop devices of this lab can be distinguished from all others of the machine.
func (l *Lab) Devices() string { return fmt.Sprintf("/var/local/motion-lab-%d-devices", l.Slot) }

// Cache is the folder that outlives the clusters: images and downloaded packages.
func (l *Lab) Cache() string { return filepath.Join(l.Dir, "cache") }

func (l *Lab) address(rest string) string { return fmt.Sprintf("10.%d.%s", 213+l.Slot, rest) }

// Lab is the lab that the cluster belongs to.
func (c *Cluster) Lab() *Lab { return c.lab }

// Dir is the cluster's folder: certificates, etcd's data, control-plane logs.
func (c *Cluster) Dir() string { return filepath.Join(c.lab.Dir, "clusters", c.Name) }

// PKI is the folder with the cluster's certificates and component kubeconfigs.
func (c *Cluster) PKI() string { return filepath.Join(c.Dir(), "pki") }

// Router is the address of the cluster's router on its node network.
func (c *Cluster) Router() string { return c.lab.address(fmt.Sprintf("%d.1", c.Index)) }

// NodeNetwork is the range of the cluster's nodes.
func (c *Cluster) NodeNetwork() string { return c.lab.address(fmt.Sprintf("%d.0/24", c.Index)) }

// PodNetwork is the range of the cluster's pods.
func (c *Cluster) PodNetwork() string { return c.lab.address(fmt.Sprintf("%d.0/20", 32*c.Index)) }

// ServiceNetwork is the range of the cluster's Services.
func (c *Cluster) ServiceNetwork() string {
	return c.lab.address(fmt.Sprintf("%d.0/20", 32*c.Index+16))
}

// ServiceIP is the address of the Service "kubernetes".
func (c *Cluster) ServiceIP() string { return c.lab.address(fmt.Sprintf("%d.1", 32*c.Index+16)) }

// DNS is the address of the cluster's DNS Service.
func (c *Cluster) DNS() string { return c.lab.address(fmt.Sprintf("%d.10", 32*c.Index+16)) }

// Uplink returns the two ends of the link between the host and the cluster's router, without prefix length (30).
func (c *Cluster) Uplink() (host, router string) {
	base := 4 * (c.Index - 1)
	return c.lab.address(fmt.Sprintf("0.%d", base+1)), c.lab.address(fmt.Sprintf("0.%d", base+2))
}

// Uplink is the name, on every router, of its device toward the host.
const Uplink = "uplink"

// HostDevice is the network device of the uplink on the host.
func (c *Cluster) HostDevice() string { return fmt.Sprintf("mlab%d-%d", c.lab.Slot, c.Index) }

// RouterName is the name of the process that holds the cluster's router.
func (c *Cluster) RouterName() string { return c.Name + "-router" }

// API is the URL of the cluster's API server, the same from the host, from every node and from every pod of the lab.
func (c *Cluster) API() string { return fmt.Sprintf("https://%s:%d", c.Nodes[0].IP(), APIPort) }

// Link is the connection between the routers of two clusters.
type Link struct {
	A, B     *Cluster
	AIP, BIP string // without prefix length (30)
}

// DeviceToward is the name, on a cluster's router, of the device of its link toward the other cluster.
func DeviceToward(other *Cluster) string { return fmt.Sprintf("wan%d", other.Index) }

// Links returns one link for each pair of clusters.
func (l *Lab) Links() []Link {
	var links []Link
	for i, a := range l.Clusters {
		for _, b := range l.Clusters[i+1:] {
			base := 128 + 4*len(links)
			links = append(links, Link{
				A: a, B: b,
				AIP: l.address(fmt.Sprintf("0.%d", base+1)), BIP: l.address(fmt.Sprintf("0.%d", base+2)),
			})
		}
	}
	return links
}

// Name is the node's name in Kubernetes, and its hostname.
func (n *Node) Name() string { return fmt.Sprintf("%s-node-%d", n.Cluster.Name, n.Index) }

// Ref is how the commands name the node: lab-b/node-1.
func (n *Node) Ref() string { return fmt.Sprintf("%s/node-%d", n.Cluster.Name, n.Index) }

// ControlPlane reports whether the cluster's control plane runs on this node.
func (n *Node) ControlPlane() bool { return n.Index == 1 }

// IP is the node's address.
func (n *Node) IP() string {
	return n.Cluster.lab.address(fmt.Sprintf("%d.%d", n.Cluster.Index, 10+n.Index))
}

// PodNetwork is the range of the pods on this node.
func (n *Node) PodNetwork() string {
	return n.Cluster.lab.address(fmt.Sprintf("%d.0/24", 32*n.Cluster.Index+n.Index-1))
}

// Dir is the node's folder on the host.
func (n *Node) Dir() string { return filepath.Join(n.Cluster.lab.Dir, "nodes", n.Name()) }

// Var is the folder on the host that the node sees as /var.
func (n *Node) Var() string { return filepath.Join(n.Dir(), "var") }

// Logs is the folder with the logs of the components that run on this node.
func (n *Node) Logs() string { return filepath.Join(n.Dir(), "log") }

// VolumeImage is the file behind the filesystem of the node's volumes.
func (n *Node) VolumeImage() string { return filepath.Join(n.Dir(), "volumes.xfs") }

// Volumes is where the filesystem of the node's volumes is mounted, as seen on the node.
const Volumes = "/var/local/motion-volumes"

// Socket is the control socket of the node's first process.
func (n *Node) Socket() string { return filepath.Join(n.Cluster.lab.Run(), n.Name()+".sock") }

// Cgroup is the parent of all cgroups of the node's pods.
func (n *Node) Cgroup() string { return n.Cluster.lab.Cgroup() + "/" + n.Name() }

// Port returns the name of the node's port on its cluster's bridge.
func (n *Node) Port() string { return fmt.Sprintf("port%d", n.Index) }
