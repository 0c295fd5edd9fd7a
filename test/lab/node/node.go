// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/test/lab/component"
	"github.com/kubectl-motion/kubectl-motion/test/lab/supervise"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// Run is the life of a node's first process. It returns only on an error or when the context ends; when it returns and
// the process exits, the node is off.
func Run(ctx context.Context, lab *topology.Lab, n *topology.Node) error {
	childEnded := make(chan os.Signal, 1)
	signal.Notify(childEnded, unix.SIGCHLD)
	if err := unix.Sethostname([]byte(n.Name())); err != nil {
		return err
	}
	if err := enterRoot(lab, n); err != nil {
		return err
	}
	if err := plugged(ctx); err != nil {
		return fmt.Errorf("%s: wait for the network: %w", n.Ref(), err)
	}
	if err := network(n); err != nil {
		return err
	}
	processes, err := component.Processes(lab, n)
	if err != nil {
		return err
	}
	set := supervise.New(processes)
	if err := set.Serve(ctx, n.Socket()); err != nil {
		return err
	}
	go set.ReapOrphans(ctx, childEnded)
	set.Run(ctx)
	return nil
}

// plugged waits for the default route, the last thing that the supervisor configures when it connects a node.
func plugged(ctx context.Context) error {
	for {
		routes, err := os.ReadFile("/proc/net/route")
		if err != nil {
			return err
		}
		if strings.Contains(string(routes), "eth0\t00000000\t") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Forward lets the calling process' network namespace route, and show bridged traffic to iptables: without the latter
// a Service that answers from a pod on the same bridge would answer with the wrong address.
func Forward() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	return nil
}

func network(n *topology.Node) error {
	if err := Forward(); err != nil {
		return err
	}
	const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if err := os.WriteFile(bridged, []byte("1"), 0); err != nil {
		return fmt.Errorf("the kernel module br_netfilter is missing, Services would not work; "+
			"load it with: modprobe br_netfilter: %w", err)
	}
	// Pods are known by their address inside the cluster, and by their node's address outside.
	return iptables("-t", "nat", "-A", "POSTROUTING", "-s", n.PodNetwork(),
		"!", "-d", n.Cluster.PodNetwork(), "-j", "MASQUERADE")
}

func iptables(args ...string) error {
	out, err := exec.Command("iptables", append([]string{"-w"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
