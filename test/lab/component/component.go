// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package component knows how each program of a cluster is started: its flags, its configuration file, its
// credentials, and what it has to wait for.
package component

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/csi"
	"github.com/kubectl-motion/kubectl-motion/test/lab/pki"
	"github.com/kubectl-motion/kubectl-motion/test/lab/supervise"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// ContainerdSocket is where a node's containerd listens, as seen on the node.
const ContainerdSocket = "/run/containerd/containerd.sock"

// SandboxImage is the image of the container that holds a pod's namespaces.
const SandboxImage = "registry.k8s.io/pause:3.10.1"

// Provisioner is the hidden motion-lab command that serves a node's StorageClasses.
const Provisioner = "provisioner"

// CSI is the hidden motion-lab command that is a node's CSI driver.
const CSI = "csi"

// Processes returns what runs on a node, after writing the configuration files for it.
func Processes(lab *topology.Lab, n *topology.Node) ([]supervise.Process, error) {
	b := &builder{lab: lab, n: n, pki: n.Cluster.PKI()}
	if err := b.writeConfigs(); err != nil {
		return nil, fmt.Errorf("%s: write configuration: %w", n.Ref(), err)
	}
	var all []supervise.Process
	if n.ControlPlane() {
		all = append(all, b.etcd(), b.apiserver(), b.controllerManager(), b.scheduler(), b.snapshotController())
	}
	return append(all, b.containerd(), b.kubelet(), b.proxy(), b.provisioner(), b.csi(), b.snapshotter()), nil
}

// Issue makes every certificate and kubeconfig that the components of a cluster need.
func Issue(ca *pki.Authority, c *topology.Cluster) error {
	if err := ca.ServiceAccountKeys(); err != nil {
		return err
	}
	identities := map[string]pki.Identity{
		"apiserver": {User: "kube-apiserver", Hosts: []string{
			c.Nodes[0].IP(), "127.0.0.1", c.ServiceIP(), "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		"apiserver-kubelet-client": {User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		"controller-manager":       {User: "system:kube-controller-manager"},
		"scheduler":                {User: "system:kube-scheduler"},
		"proxy":                    {User: "system:kube-proxy"},
		"provisioner":              {User: "motion-lab:provisioner"},
		"csi":                      {User: "motion-lab:csi"},
		"root":                     {User: "motion-lab:root", Groups: []string{"system:masters"}},
	}
	for _, n := range c.Nodes {
		identities[n.Name()] = pki.Identity{
			User: "system:node:" + n.Name(), Groups: []string{"system:nodes"},
			Hosts: []string{n.Name(), n.IP()},
		}
	}
	for name, id := range identities {
		if err := ca.Issue(name, id); err != nil {
			return err
		}
		server := c.API()
		if name == "controller-manager" || name == "scheduler" {
			// By loopback, so that cutting the API server off from everybody leaves the control plane whole.
			server = fmt.Sprintf("https://127.0.0.1:%d", topology.APIPort)
		}
		if err := pki.WriteKubeconfig(Kubeconfig(c, name),
			pki.Context{Name: name, Server: server, Authority: ca, Cert: name}); err != nil {
			return err
		}
	}
	return nil
}

// Kubeconfig is the kubeconfig of one of a cluster's own identities; "root" may do everything.
func Kubeconfig(c *topology.Cluster, name string) string {
	return filepath.Join(c.PKI(), name+".kubeconfig")
}

// builder makes the processes of one node.
type builder struct {
	lab *topology.Lab
	n   *topology.Node
	pki string
}

// kubernetes is one of the programs in the multi-call binary of the cluster's Kubernetes version.
func (b *builder) kubernetes(name string, args ...string) supervise.Process {
	path := filepath.Join(b.lab.Bin(), "kubernetes-"+b.n.Cluster.Minor)
	return b.process(name, path, append([]string{name}, args...)...)
}

func (b *builder) process(name, path string, args ...string) supervise.Process {
	return supervise.Process{
		Name: name, Path: path, Args: args,
		Log: filepath.Join(b.n.Logs(), name+".log"),
	}
}

func (b *builder) file(name string) string { return filepath.Join(b.pki, name) }

func (b *builder) config(name string) string { return filepath.Join(b.n.Dir(), "etc", name) }

func (b *builder) etcd() supervise.Process {
	data := filepath.Join(b.n.Cluster.Dir(), "etcd")
	return b.kubernetes("etcd", "--name=lab", "--data-dir="+data,
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=lab=http://127.0.0.1:2380",
		// Losing the last writes in a power cut of the host is fine for a lab; waiting for its disk is not.
		"--unsafe-no-fsync", "--auto-compaction-mode=periodic", "--auto-compaction-retention=30m", "--log-level=warn")
}

func (b *builder) apiserver() supervise.Process {
	c := b.n.Cluster
	p := b.kubernetes("kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", topology.APIPort), "--advertise-address="+b.n.IP(),
		"--tls-cert-file="+b.file("apiserver.crt"), "--tls-private-key-file="+b.file("apiserver.key"),
		"--client-ca-file="+b.file("ca.crt"),
		"--kubelet-certificate-authority="+b.file("ca.crt"),
		"--kubelet-client-certificate="+b.file("apiserver-kubelet-client.crt"),
		"--kubelet-client-key="+b.file("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // node names are in no DNS
		"--service-cluster-ip-range="+c.ServiceNetwork(),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+b.file("sa.pub"), "--service-account-signing-key-file="+b.file("sa.key"),
		"--service-account-extend-token-expiration=false", // tokens expire when they say so
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--profiling=false")
	p.Ready = answers("tcp", "127.0.0.1:2379")
	return p
}

func (b *builder) controllerManager() supervise.Process {
	p := b.kubernetes("kube-controller-manager",
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "controller-manager"), "--bind-address=127.0.0.1",
		"--root-ca-file="+b.file("ca.crt"), "--service-account-private-key-file="+b.file("sa.key"),
		"--cluster-signing-cert-file="+b.file("ca.crt"), "--cluster-signing-key-file="+b.file("ca.key"),
		"--use-service-account-credentials=true", "--leader-elect=false", "--allocate-node-cidrs=false",
		"--profiling=false")
	p.Ready = apiAnswers
	return p
}

func (b *builder) scheduler() supervise.Process {
	p := b.kubernetes("kube-scheduler",
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "scheduler"), "--bind-address=127.0.0.1",
		"--leader-elect=false", "--profiling=false")
	p.Ready = apiAnswers
	return p
}

func (b *builder) containerd() supervise.Process {
	p := b.process("containerd", filepath.Join(b.lab.Bin(), "containerd"), "--config", b.config("containerd.toml"))
	// containerd finds its shim beside itself.
	p.Env = []string{"PATH=" + b.lab.Bin() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return p
}

func (b *builder) kubelet() supervise.Process {
	p := b.kubernetes("kubelet", "--config="+b.config("kubelet.yaml"),
		"--kubeconfig="+Kubeconfig(b.n.Cluster, b.n.Name()),
		"--hostname-override="+b.n.Name(), "--node-ip="+b.n.IP(), "--root-dir=/var/lib/kubelet")
	p.Ready = answers("unix", ContainerdSocket) // it gives up at once otherwise
	return p
}

func (b *builder) proxy() supervise.Process {
	return b.kubernetes("kube-proxy", "--config="+b.config("kube-proxy.yaml"))
}

func (b *builder) provisioner() supervise.Process {
	return b.process("provisioner", filepath.Join(b.lab.Bin(), "motion-lab"), Provisioner,
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "provisioner"), "--node="+b.n.Name(), "--root="+topology.Volumes,
		"--devices="+b.lab.Devices())
}

func (b *builder) csi() supervise.Process {
	return b.process("csi", filepath.Join(b.lab.Bin(), "motion-lab"), CSI,
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "csi"), "--node="+b.n.Name(), "--root="+topology.Volumes+"/csi")
}

// resync is how often external-snapshotter looks at everything again. Its default is 15 minutes, and until then a snapshot
// stays that was deleted while it was being taken: the sidecar may see that it is taken before it sees its own note removed that
// it is being taken, and does not look again for a change of its own notes (kubernetes-csi/external-snapshotter#1388 is the
// same, mended in part).
const resync = "--resync-period=10s"

// snapshotter is external-snapshotter's sidecar. Volumes are of one node, so each node has its own.
func (b *builder) snapshotter() supervise.Process {
	p := b.process("csi-snapshotter", filepath.Join(b.lab.Bin(), "csi-snapshotter"),
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "csi"), "--csi-address="+csi.Socket, "--node-deployment=true",
		"--retry-interval-start=100ms", "--retry-interval-max=5s", resync)
	p.Env = []string{"NODE_NAME=" + b.n.Name()}
	p.Ready = answers("unix", csi.Socket)
	return p
}

func (b *builder) snapshotController() supervise.Process {
	p := b.process("snapshot-controller", filepath.Join(b.lab.Bin(), "snapshot-controller"),
		"--kubeconfig="+Kubeconfig(b.n.Cluster, "csi"), "--enable-distributed-snapshotting=true",
		"--retry-interval-start=100ms", "--retry-interval-max=5s", resync)
	p.Ready = apiAnswers
	return p
}

func apiAnswers() error { return answers("tcp", fmt.Sprintf("127.0.0.1:%d", topology.APIPort))() }

// answers returns a check that something listens at an address.
func answers(network, address string) func() error {
	return func() error {
		conn, err := net.DialTimeout(network, address, 100*time.Millisecond)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
