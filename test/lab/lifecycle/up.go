// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/bootstrap"
	"github.com/kubectl-motion/kubectl-motion/test/lab/cgroup"
	"github.com/kubectl-motion/kubectl-motion/test/lab/component"
	"github.com/kubectl-motion/kubectl-motion/test/lab/fabric"
	"github.com/kubectl-motion/kubectl-motion/test/lab/pki"
	"github.com/kubectl-motion/kubectl-motion/test/lab/supervise"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Options says how to bring a lab up.
type Options struct {
	Dir        string
	Programs   string // folder with the programs that build.sh made for the lab
	VolumeSize string // of each node's volume filesystem, as truncate(1) takes it
	Shapes     []topology.Shape
	Say        io.Writer
	Restart    bool                      // end everything first: programs may have changed
	Mend       func(*topology.Lab) error // undoes faults in a lab that runs already
}

// Up brings a lab up, from any state, and returns when both clusters are ready.
func Up(ctx context.Context, o Options) (*topology.Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab needs root: it makes namespaces, mounts and network devices; try: sudo motion-lab up")
	}
	release, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer release()
	if len(o.Dir) > 80 {
		return nil, fmt.Errorf("%s: too long for a lab's folder: the paths of its sockets would not fit", o.Dir)
	}
	if err := requirements(ctx, o.Say); err != nil {
		return nil, err
	}
	lab, err := openOrCreate(o.Dir, o.Shapes)
	if err != nil {
		return nil, err
	}
	archives, err := prepare(ctx, lab, o)
	if err != nil {
		return nil, err
	}
	if err := runs(ctx, lab, o); err != nil {
		return nil, err
	}
	return lab, ready(ctx, lab, archives)
}

// runs makes sure that the supervisor and all that it should run do.
func runs(ctx context.Context, lab *topology.Lab, o Options) error {
	if !o.Restart && supervisorAnswers(lab) {
		if err := o.Mend(lab); err != nil {
			// Something may just be starting again; whether it does is what ready finds out.
			fmt.Fprintf(o.Say, "warning: %v\n", err)
		}
		return nil
	}
	// What a killed supervisor left must be gone before the same names and files are used again.
	if err := sweep(lab); err != nil {
		return err
	}
	if err := makeCgroups(lab); err != nil {
		return err
	}
	if err := raiseInotify(); err != nil {
		return err
	}
	return startSupervisor(ctx, lab)
}

// prepare makes everything on disk that the lab needs and does not have yet. It returns the archives of the images.
func prepare(ctx context.Context, lab *topology.Lab, o Options) ([]string, error) {
	for _, dir := range []string{lab.Bin(), lab.Run(), lab.Cache()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := install(lab, o.Programs); err != nil {
		return nil, err
	}
	for _, n := range lab.Nodes() {
		if err := volumeFilesystem(n, o.VolumeSize); err != nil {
			return nil, err
		}
	}
	if err := credentials(lab); err != nil {
		return nil, err
	}
	return buildImages(ctx, lab, o.Say)
}

// install copies the programs into the lab, where nodes see them, each in one step so that a running one is not changed.
func install(lab *topology.Lab, programs string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(programs)
	if err != nil {
		return fmt.Errorf("the lab's programs are not built; run: test/lab/build.sh: %w", err)
	}
	files := []string{self}
	for _, e := range entries {
		if e.Name() != "kubectl" { // a link, for people
			files = append(files, filepath.Join(programs, e.Name()))
		}
	}
	for _, file := range files {
		if err := copyIfChanged(file, filepath.Join(lab.Bin(), filepath.Base(file))); err != nil {
			return err
		}
	}
	for _, c := range lab.Clusters {
		binary := filepath.Join(lab.Bin(), "kubernetes-"+c.Minor)
		if _, err := os.Stat(binary); err != nil {
			return fmt.Errorf("cluster %s: %w; run: test/lab/build.sh", c.Name, err)
		}
	}
	return nil
}

func copyIfChanged(from, to string) error {
	source, err := os.Stat(from)
	if err != nil {
		return err
	}
	if have, err := os.Stat(to); err == nil && have.Size() == source.Size() && have.ModTime().Equal(source.ModTime()) {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	next := to + ".next"
	out, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(next, time.Now(), source.ModTime()); err != nil {
		return err
	}
	return os.Rename(next, to)
}

// volumeFilesystem makes the file with the filesystem for a node's volumes. It is XFS with reflinks because that is
// what the cheap copies of volumes need.
func volumeFilesystem(n *topology.Node, size string) error {
	image := n.VolumeImage()
	if _, err := os.Stat(image); err == nil {
		return nil
	}
	if err := os.MkdirAll(n.Dir(), 0o755); err != nil {
		return err
	}
	next := image + ".next"
	for _, argv := range [][]string{
		{"rm", "-f", next},
		{"truncate", "-s", size, next},
		{"mkfs.xfs", "-q", "-m", "reflink=1", next},
		{"mv", next, image},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// credentials makes the certificates of components and users, and the kubeconfig with all contexts.
func credentials(lab *topology.Lab) error {
	var contexts []pki.Context
	for _, c := range lab.Clusters {
		ca, err := pki.Open(c.PKI())
		if err != nil {
			return err
		}
		if err := component.Issue(ca, c); err != nil {
			return err
		}
		users := append([]string{""}, bootstrap.Namespaces()...)
		for _, user := range users {
			id, name := pki.Identity{User: user}, c.Name+"-"+user
			if user == "" {
				id, name = pki.Identity{User: "admin", Groups: []string{bootstrap.AdminGroup}}, c.Name
			}
			cert := "user-" + id.User
			if err := ca.Issue(cert, id); err != nil {
				return err
			}
			contexts = append(contexts, pki.Context{Name: name, Server: c.API(), Namespace: user, Authority: ca, Cert: cert})
		}
	}
	return pki.WriteKubeconfig(lab.Kubeconfig(), contexts...)
}

func makeCgroups(lab *topology.Lab) error {
	tree, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := tree.Make(lab.DaemonCgroup()); err != nil {
		return err
	}
	for _, n := range lab.Nodes() {
		if err := tree.Make(n.Cgroup()); err != nil {
			return err
		}
	}
	return nil
}

// ready waits, for all clusters and nodes at once, until the lab can be used.
func ready(ctx context.Context, lab *topology.Lab, archives []string) error {
	var work sync.WaitGroup
	failures := make(chan error, len(lab.Clusters)+len(lab.Nodes()))
	for _, c := range lab.Clusters {
		work.Go(func() { failures <- clusterReady(ctx, lab, c) })
	}
	for _, n := range lab.Nodes() {
		work.Go(func() { failures <- loadAll(ctx, lab, n, archives) })
	}
	work.Wait()
	close(failures)
	var all []error
	for err := range failures {
		if err != nil {
			all = append(all, err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.Join(append(all, errors.New(troubles(lab)))...)
}

func clusterReady(ctx context.Context, lab *topology.Lab, c *topology.Cluster) error {
	cluster, err := bootstrap.Connect(c, component.Kubeconfig(c, "root"))
	if err != nil {
		return err
	}
	if err := cluster.Prepare(ctx); err != nil {
		return err
	}
	started := func(node string) (time.Time, error) { return kubeletStart(lab.Node(node)) }
	return cluster.Wait(ctx, started, func() error { return dnsAnswers(lab, c) })
}

func kubeletStart(n *topology.Node) (time.Time, error) {
	components, err := supervise.Ask(n.Socket(), "status", "")
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is off: %w", n.Ref(), err)
	}
	for _, c := range components {
		if c.Name == "kubelet" && c.PID != 0 {
			return c.Since, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: the kubelet does not run", n.Ref())
}

// dnsAnswers asks cluster DNS on each node of a cluster, by its Service, so that kube-proxy is tried as well.
func dnsAnswers(lab *topology.Lab, c *topology.Cluster) error {
	for _, n := range c.Nodes {
		pid, err := NodePID(lab, n)
		if err != nil {
			return err
		}
		if _, err := fabric.Exec(pid, program(lab), ResolveCommand, c.DNS(), "kubernetes.default.svc.cluster.local"); err != nil {
			return fmt.Errorf("%s: %w", n.Ref(), err)
		}
	}
	return nil
}

// Resolve asks one DNS server for the address of a name.
func Resolve(ctx context.Context, server, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(server, "53"))
	}}
	_, err := resolver.LookupHost(ctx, name+".")
	return err
}

// tail returns the last lines of a log.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
