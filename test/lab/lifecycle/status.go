// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/test/lab/supervise"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Component is one process of the lab and how it does.
type Component struct {
	Ref string // cluster/node-N/component, or cluster/node-N, or cluster/router
	supervise.Status

	socket string
}

// Status asks for every process of the lab.
func Status(lab *topology.Lab) ([]Component, error) {
	own, err := supervise.Ask(supervisorSocket(lab), "status", "")
	if err != nil {
		return nil, fmt.Errorf("the lab in %s does not run: %w", lab.Dir, err)
	}
	var all []Component
	for _, s := range own {
		n := lab.Node(s.Name)
		if n == nil {
			ref := strings.TrimSuffix(s.Name, "-router") + "/router"
			all = append(all, Component{Ref: ref, Status: s, socket: supervisorSocket(lab)})
			continue
		}
		all = append(all, Component{Ref: n.Ref(), Status: s, socket: supervisorSocket(lab)})
		components, err := supervise.Ask(n.Socket(), "status", "")
		if err != nil {
			continue // the node is off, as its own line says
		}
		for _, s := range components {
			all = append(all, Component{Ref: n.Ref() + "/" + s.Name, Status: s, socket: n.Socket()})
		}
	}
	slices.SortStableFunc(all, func(a, b Component) int { return strings.Compare(cluster(a.Ref), cluster(b.Ref)) })
	return all, nil
}

func cluster(ref string) string {
	name, _, _ := strings.Cut(ref, "/")
	return name
}

// Find returns the component of that name: its full reference, or without the node where only one node has it.
func Find(lab *topology.Lab, name string) (Component, error) {
	all, err := Status(lab)
	if err != nil {
		return Component{}, err
	}
	var found []Component
	var names []string
	for _, c := range all {
		names = append(names, c.Ref)
		clusterName, rest, _ := strings.Cut(c.Ref, "/")
		_, short, onNode := strings.Cut(rest, "/")
		if c.Ref == name || (onNode && clusterName+"/"+short == name) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Component{}, fmt.Errorf("no component %q; there are: %s", name, strings.Join(names, " "))
	}
	return Component{}, fmt.Errorf("%q is on several nodes: %s, %s", name, found[0].Ref, found[1].Ref)
}

// Do starts, stops, kills or restarts a component, or switches a node on and off.
func Do(lab *topology.Lab, verb, name string) error {
	c, err := Find(lab, name)
	if err != nil {
		return err
	}
	_, err = supervise.Ask(c.socket, verb, c.Name)
	return err
}

// StartAll starts everything that was stopped, nodes before what runs on them.
func StartAll(lab *topology.Lab) error {
	for range 2 {
		all, err := Status(lab)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.Wanted {
				continue
			}
			if _, err := supervise.Ask(c.socket, "start", c.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// LogFile is the log of a component; the supervisor's own is called "supervisor".
func LogFile(lab *topology.Lab, name string) (string, error) {
	if name == SupervisorCommand {
		return supervisorLog(lab), nil
	}
	c, err := Find(lab, name)
	return c.Log, err
}

// NodePID returns the process id, on the host, of a node's first process.
func NodePID(lab *topology.Lab, n *topology.Node) (int, error) { return pidOf(lab, n.Name()) }

// RouterPID returns the process id, on the host, of a cluster's router.
func RouterPID(lab *topology.Lab, c *topology.Cluster) (int, error) {
	return pidOf(lab, c.RouterName())
}

func pidOf(lab *topology.Lab, name string) (int, error) {
	own, err := supervise.Ask(supervisorSocket(lab), "status", "")
	if err != nil {
		return 0, err
	}
	for _, s := range own {
		if s.Name == name && s.PID != 0 {
			return s.PID, nil
		}
	}
	return 0, fmt.Errorf("%s does not run", name)
}

// troubles renders the end of the log of everything that is not as it should be.
func troubles(lab *topology.Lab) string {
	all, err := Status(lab)
	if err != nil {
		return errors.Join(err, errors.New(tail(supervisorLog(lab)))).Error()
	}
	var b strings.Builder
	for _, c := range all {
		if c.PID != 0 && c.Restarts == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n== %s: %s (restarts: %d)\n%s\n", c.Ref, state(c), c.Restarts, tail(c.Log))
	}
	if b.Len() == 0 {
		return "every component runs; see: motion-lab logs COMPONENT, in " + filepath.Join(lab.Dir, "nodes")
	}
	return b.String()
}

func state(c Component) string {
	if c.PID != 0 {
		return "runs"
	}
	return c.Note
}
