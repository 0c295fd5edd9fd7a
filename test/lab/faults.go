// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/test/lab/fault"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// faults are the commands that break the lab on purpose, and mend it.
func (a *app) faults() []*cobra.Command {
	return []*cobra.Command{a.link(), a.firewall(), a.api(), a.disk(), a.heal()}
}

func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(commands...)
	return c
}

// on makes a command that does something to the running lab.
func (a *app) on(use, short string, args cobra.PositionalArgs, do func(*topology.Lab, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(_ *cobra.Command, args []string) error {
		lab, err := a.lab()
		if err != nil {
			return err
		}
		return do(lab, args)
	}}
}

// places returns the two places that a link command names, by default the two clusters.
func places(args []string) (a, b string) {
	if len(args) == 2 {
		return args[0], args[1]
	}
	return "lab-a", "lab-b"
}

// noneOrTwo accepts, after that many arguments, two places or none.
func noneOrTwo(before int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if n := len(args) - before; n != 0 && n != 2 {
			return fmt.Errorf("name both ends of the link (a cluster, or %s), or none for lab-a and lab-b", fault.Host)
		}
		return nil
	}
}

func (a *app) link() *cobra.Command {
	return group("link", "Cut or slow the link between two clusters, or between the host and a cluster",
		a.on("cut [A B]", "Drop everything on a link", noneOrTwo(0), func(lab *topology.Lab, args []string) error {
			x, y := places(args)
			return fault.Cut(lab, x, y)
		}),
		a.on("slow RATE [A B]", "Limit a link to a rate such as 10mbit, in both directions", noneOrTwo(1),
			func(lab *topology.Lab, args []string) error {
				x, y := places(args[1:])
				return fault.Slow(lab, args[0], x, y)
			}),
		a.on("restore [A B]", "Repair a link", noneOrTwo(0), func(lab *topology.Lab, args []string) error {
			x, y := places(args)
			return fault.Restore(lab, x, y)
		}))
}

func (a *app) firewall() *cobra.Command {
	var ports []int
	block := a.on("block FROM TO", "Keep FROM (a cluster, or host) from opening connections to cluster TO",
		cobra.ExactArgs(2), func(lab *topology.Lab, args []string) error {
			return fault.Block(lab, args[0], args[1], ports)
		})
	block.Flags().IntSliceVar(&ports, "port", nil, "only these TCP ports")
	return group("firewall", "One-way firewalls between clusters", block,
		a.on("clear", "Remove all of them", cobra.NoArgs, func(lab *topology.Lab, _ []string) error {
			return fault.ClearFirewalls(lab)
		}))
}

func (a *app) api() *cobra.Command {
	from := ""
	cut := a.on("cut CLUSTER", "Drop what clients send to a cluster's API server", cobra.ExactArgs(1),
		func(lab *topology.Lab, args []string) error { return fault.CutAPI(lab, args[0], from) })
	cut.Flags().StringVar(&from, "from", "all", "all, nodes (with their pods), host, or the name of another cluster")
	return group("api", "Cut an API server off from its clients", cut,
		a.on("restore CLUSTER", "Connect it again", cobra.ExactArgs(1), func(lab *topology.Lab, args []string) error {
			return fault.RestoreAPI(lab, args[0])
		}))
}

func (a *app) disk() *cobra.Command {
	leave := "0"
	fill := a.on("fill NODE", "Take all space on the filesystem of a node's volumes", cobra.ExactArgs(1),
		func(lab *topology.Lab, args []string) error {
			size, err := resource.ParseQuantity(leave)
			if err != nil {
				return fmt.Errorf("--leave %s: %w", leave, err)
			}
			return fault.FillDisk(lab, args[0], size.Value())
		})
	fill.Flags().StringVar(&leave, "leave", leave, "leave this much free, such as 10Mi")
	return group("disk", "Fill the disk with a node's volumes", fill,
		a.on("free NODE", "Give the space back", cobra.ExactArgs(1), func(lab *topology.Lab, args []string) error {
			return fault.FreeDisk(lab, args[0])
		}))
}

func (a *app) heal() *cobra.Command {
	return a.on("heal", "Repair everything that was broken on purpose and start everything that was stopped", cobra.NoArgs,
		func(lab *topology.Lab, _ []string) error { return fault.Heal(lab) })
}
