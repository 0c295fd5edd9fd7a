// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command motion-lab runs two real Kubernetes clusters on one Linux machine, for trying and testing kubectl-motion. See
// README.md for how it works.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/test/lab/component"
	"github.com/kubectl-motion/kubectl-motion/test/lab/csi"
	"github.com/kubectl-motion/kubectl-motion/test/lab/fault"
	"github.com/kubectl-motion/kubectl-motion/test/lab/lifecycle"
	"github.com/kubectl-motion/kubectl-motion/test/lab/node"
	"github.com/kubectl-motion/kubectl-motion/test/lab/provision"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// app is what all commands share.
type app struct{ dir string }

func (a *app) lab() (*topology.Lab, error) { return lifecycle.Open(a.dir) }

func command() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:           "motion-lab",
		Short:         "Two real Kubernetes clusters on one machine",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			a.dir, err = filepath.Abs(a.dir)
			return err
		},
	}
	dir := os.Getenv("MOTION_LAB_DIR")
	if dir == "" {
		dir = "/var/lib/motion-lab"
	}
	root.PersistentFlags().StringVar(&a.dir, "dir", dir, "folder of the lab (also: MOTION_LAB_DIR)")
	root.AddCommand(a.up(), a.down(), a.status(), a.kubeconfig(), a.loadImage(), a.logs(),
		a.exec(), a.supervisor(), router(), a.node(), provisioner(), csiDriver(), resolve())
	root.AddCommand(a.faults()...)
	for _, verb := range []string{"start", "stop", "kill", "restart"} {
		root.AddCommand(a.control(verb))
	}
	return root
}

func (a *app) up() *cobra.Command {
	o := lifecycle.Options{Shapes: topology.Default()}
	var clusters []string
	timeout := 3 * time.Minute
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring the lab up, from any state",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if len(clusters) > 0 {
				if o.Shapes, err = shapes(clusters); err != nil {
					return err
				}
			}
			o.Dir, o.Say, o.Mend = a.dir, c.ErrOrStderr(), fault.Heal
			if o.Programs == "" {
				o.Programs = filepath.Join(filepath.Dir(self), "lab")
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			start := time.Now()
			lab, err := lifecycle.Up(ctx, o)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "the lab is up after %.0f s; try:\n  export KUBECONFIG=%s\n"+
				"  kubectl --context lab-a get nodes\n", time.Since(start).Seconds(), lab.Kubeconfig())
			return nil
		},
	}
	c.Flags().StringVar(&o.VolumeSize, "volume-size", "20G", "size of each node's volume filesystem (a sparse file)")
	c.Flags().StringVar(&o.Programs, "programs", "", "folder with the lab's programs (default: lab, beside this one)")
	c.Flags().BoolVar(&o.Restart, "restart", false, "power the whole lab off first, and start it with the programs of today; "+
		"objects and volumes stay")
	c.Flags().StringArrayVar(&clusters, "cluster", nil, "a cluster of a new lab, as NAME=NODES[@MINOR]; repeat for more "+
		"(default: lab-a=1 and lab-b=2)")
	c.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait for the clusters")
	return c
}

func shapes(texts []string) ([]topology.Shape, error) {
	if len(texts) > topology.MaxClusters {
		return nil, fmt.Errorf("%d clusters, a lab has addresses for %d", len(texts), topology.MaxClusters)
	}
	var all []topology.Shape
	for _, text := range texts {
		shape, err := topology.ParseShape(text)
		if err != nil {
			return nil, err
		}
		all = append(all, shape)
	}
	return all, nil
}

func (a *app) down() *cobra.Command {
	purge := false
	c := &cobra.Command{
		Use:   "down",
		Short: "Take the lab down and remove everything of it but cached images",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return lifecycle.Down(a.dir, purge, c.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "remove the cached images too")
	return c
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show every process of the lab",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			all, err := lifecycle.Status(lab)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "COMPONENT\tPID\tSINCE\tRESTARTS\tNOTE")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\n", s.Ref, s.PID, time.Since(s.Since).Round(time.Second), s.Restarts, s.Note)
			}
			return w.Flush()
		},
	}
}

func (a *app) kubeconfig() *cobra.Command {
	path := false
	c := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig with all contexts of the lab",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			if path {
				fmt.Fprintln(c.OutOrStdout(), lab.Kubeconfig())
				return nil
			}
			data, err := os.ReadFile(lab.Kubeconfig())
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(data)
			return err
		},
	}
	c.Flags().BoolVar(&path, "path", false, "print the name of the file instead")
	return c
}

func (a *app) loadImage() *cobra.Command {
	var clusters []string
	c := &cobra.Command{
		Use:   "load-image FILE...",
		Short: "Give the nodes the images in archives (as docker save and build-image write them)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			return lifecycle.LoadImages(c.Context(), lab, clusters, files)
		},
	}
	c.Flags().StringSliceVar(&clusters, "cluster", nil, "only the nodes of these clusters")
	return c
}

func (a *app) logs() *cobra.Command {
	return &cobra.Command{
		Use:   "logs COMPONENT",
		Short: "Print the log of a component, such as lab-a/kubelet or lab-b/node-2/kube-proxy",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			file, err := lifecycle.LogFile(lab, args[0])
			if err != nil {
				return err
			}
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(c.OutOrStdout(), f)
			return err
		},
	}
}

func (a *app) exec() *cobra.Command {
	return a.on("exec NODE -- COMMAND", "Run a command on a node, as its root", cobra.MinimumNArgs(2),
		func(lab *topology.Lab, args []string) error {
			n := lab.Node(args[0])
			if n == nil {
				return fmt.Errorf("no node %q", args[0])
			}
			pid, err := lifecycle.NodePID(lab, n)
			if err != nil {
				return err
			}
			nsenter, err := exec.LookPath("nsenter")
			if err != nil {
				return err
			}
			enter := []string{nsenter, "--target", strconv.Itoa(pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--"}
			return syscall.Exec(nsenter, append(enter, args[1:]...), os.Environ())
		})
}

func (a *app) control(verb string) *cobra.Command {
	short := map[string]string{
		"start":   "Start a stopped component, or switch a node on",
		"stop":    "Stop a component until it is started again, or switch a node off (lab-b/node-2)",
		"kill":    "Stop a component with SIGKILL until it is started again",
		"restart": "Kill a component; it starts again at once",
	}[verb]
	return &cobra.Command{
		Use:   verb + " COMPONENT...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := lifecycle.Do(lab, verb, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) supervisor() *cobra.Command {
	return &cobra.Command{
		Use: lifecycle.SupervisorCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			return lifecycle.Supervise(c.Context(), lab)
		},
	}
}

func router() *cobra.Command {
	return &cobra.Command{
		Use: lifecycle.RouterCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := node.Forward(); err != nil {
				return err
			}
			<-c.Context().Done()
			return nil
		},
	}
}

func (a *app) node() *cobra.Command {
	name := ""
	c := &cobra.Command{
		Use: lifecycle.NodeCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := a.lab()
			if err != nil {
				return err
			}
			n := lab.Node(name)
			if n == nil {
				return fmt.Errorf("no node %q in %s", name, lab.Dir)
			}
			return node.Run(c.Context(), lab, n)
		},
	}
	c.Flags().StringVar(&name, "name", "", "")
	return c
}

func resolve() *cobra.Command {
	return &cobra.Command{
		Use: lifecycle.ResolveCommand, Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return lifecycle.Resolve(c.Context(), args[0], args[1]) },
	}
}

func provisioner() *cobra.Command {
	var kubeconfig, name, root, devices string
	c := &cobra.Command{
		Use: component.Provisioner, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return provision.Run(c.Context(), kubeconfig, name, root, devices)
		},
	}
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "")
	c.Flags().StringVar(&name, "node", "", "")
	c.Flags().StringVar(&root, "root", "", "")
	c.Flags().StringVar(&devices, "devices", "", "")
	return c
}

func csiDriver() *cobra.Command {
	var kubeconfig, name, root string
	c := &cobra.Command{
		Use: component.CSI, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return csi.Run(c.Context(), kubeconfig, name, root) },
	}
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "")
	c.Flags().StringVar(&name, "node", "", "")
	c.Flags().StringVar(&root, "root", "", "")
	return c
}
