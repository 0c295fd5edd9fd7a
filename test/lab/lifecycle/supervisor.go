// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/cgroup"
	"github.com/kubectl-motion/kubectl-motion/test/lab/fabric"
	"github.com/kubectl-motion/kubectl-motion/test/lab/supervise"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Hidden motion-lab commands that become the lab's processes.
const (
	SupervisorCommand = "supervisor"
	RouterCommand     = "router"
	NodeCommand       = "node"
	ResolveCommand    = "resolve"
)

func supervisorSocket(lab *topology.Lab) string { return filepath.Join(lab.Run(), "supervisor.sock") }

func supervisorLog(lab *topology.Lab) string { return filepath.Join(lab.Run(), "supervisor.log") }

// startSupervisor starts the supervisor in a session of its own, with nothing of the caller's kept open, and returns
// when it answers.
func startSupervisor(ctx context.Context, lab *topology.Lab) error {
	log, err := os.OpenFile(supervisorLog(lab), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program(lab), SupervisorCommand, "--dir", lab.Dir)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !supervisorAnswers(lab) {
		select {
		case err := <-ended:
			return fmt.Errorf("the supervisor ended: %w\n%s", err, tail(supervisorLog(lab)))
		case <-ctx.Done():
			return fmt.Errorf("the supervisor does not answer: %w\n%s", ctx.Err(), tail(supervisorLog(lab)))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func program(lab *topology.Lab) string { return filepath.Join(lab.Bin(), "motion-lab") }

func supervisorAnswers(lab *topology.Lab) bool {
	_, err := supervise.Ask(supervisorSocket(lab), "status", "")
	return err == nil
}

// Supervise is the life of the supervisor: it runs routers and nodes until the context ends.
func Supervise(ctx context.Context, lab *topology.Lab) error {
	tree, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := tree.Enter(lab.DaemonCgroup(), os.Getpid()); err != nil {
		return err
	}
	w := &wiring{lab: lab, pids: map[string]int{}}
	w.set = supervise.New(w.processes())
	if err := w.set.Serve(ctx, supervisorSocket(lab)); err != nil {
		return err
	}
	w.set.Run(ctx)
	return nil
}

// wiring connects routers and nodes as they come and go. It is only used from the callbacks of its set, one at a time.
type wiring struct {
	lab  *topology.Lab
	set  *supervise.Set
	pids map[string]int // of what runs, by process name
}

func (w *wiring) processes() []supervise.Process {
	var all []supervise.Process
	for _, c := range w.lab.Clusters {
		p := w.process(c.RouterName(), syscall.CLONE_NEWNET, RouterCommand)
		p.Log = filepath.Join(w.lab.Run(), c.RouterName()+".log")
		p.Started = func(pid int) error { return w.routerStarted(c, pid) }
		p.Ended = func() { w.routerEnded(c) }
		all = append(all, p)
	}
	for _, n := range w.lab.Nodes() {
		p := w.process(n.Name(), syscall.CLONE_NEWNET|syscall.CLONE_NEWNS|syscall.CLONE_NEWPID|
			syscall.CLONE_NEWUTS|syscall.CLONE_NEWIPC, NodeCommand, "--dir", w.lab.Dir, "--name", n.Name())
		p.Log = filepath.Join(w.lab.Run(), n.Name()+".log")
		p.Ready = func() error {
			if w.pids[n.Cluster.RouterName()] == 0 {
				return errors.New("the cluster's router does not run")
			}
			return nil
		}
		p.Started = func(pid int) error {
			w.pids[n.Name()] = pid
			return fabric.Plug(n, pid, w.pids[n.Cluster.RouterName()])
		}
		p.Ended = func() { delete(w.pids, n.Name()) }
		all = append(all, p)
	}
	return all
}

// process describes a child in new namespaces which dies when the supervisor does. Nodes have no orderly shutdown:
// switching one off means what a power cut means.
func (w *wiring) process(name string, namespaces uintptr, args ...string) supervise.Process {
	return supervise.Process{
		Name: name, Path: program(w.lab), Args: args, Abrupt: true,
		Attr: &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL},
	}
}

func (w *wiring) routerStarted(c *topology.Cluster, pid int) error {
	if err := fabric.Router(c, pid); err != nil {
		return err
	}
	w.pids[c.RouterName()] = pid
	for _, l := range w.lab.Links() {
		a, b := w.pids[l.A.RouterName()], w.pids[l.B.RouterName()]
		if (l.A == c || l.B == c) && a != 0 && b != 0 {
			if err := fabric.Connect(l, a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// routerEnded switches the cluster's nodes off, since their cables went with the router; they come back automatically.
func (w *wiring) routerEnded(c *topology.Cluster) {
	delete(w.pids, c.RouterName())
	for _, n := range c.Nodes {
		w.set.Kill(n.Name())
	}
}
