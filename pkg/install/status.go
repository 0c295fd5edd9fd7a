// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Node is the agent of one node.
type Node struct {
	Node string `json:"node"`
	// Version that the agent's pod was installed as; "unknown" when it was installed
	// by something that does not say.
	Version string `json:"version"`
	Image   string `json:"image"`
	Ready   bool   `json:"ready"`
	// Problem is why it is not ready.
	Trouble string `json:"trouble,omitempty"`
	// Served shipments, and how many of them are in work now.
	Served  int `json:"servedShipments"`
	Working int `json:"shipmentsInWork"`
}

// Status of a cluster's agents.
type Status struct {
	Cluster   string `json:"cluster"`
	Installed bool   `json:"installed"`
	// Current: every node runs what was installed last.
	Current bool   `json:"current"`
	Nodes   []Node `json:"nodes"`
	// Relay says how the relay is: ready, not ready, or none.
	Relay string `json:"relay"`
	// Lost are shipments whose node has no agent.
	Lost []string `json:"lostShipments,omitempty"`
}

// Observe reads how the agents of a cluster are.
func Observe(ctx context.Context, c *cluster.Cluster) (Status, error) {
	s := Status{Cluster: c.Name, Relay: "none", Nodes: []Node{}}
	ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("daemonset %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	s.Installed = true
	s.Current = ds.Status.ObservedGeneration >= ds.Generation && ds.Status.UpdatedNumberScheduled == ds.Status.DesiredNumberScheduled
	pods, err := c.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("pods of %s on %s: %w", deploy.DefaultNamespace, c, err)
	}
	shipments, err := cluster.List[v1alpha1.VolumeShipment](ctx, c, v1alpha1.VolumeShipments, "", metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("volumeshipments on %s: %w", c, err)
	}
	for i := range pods.Items {
		s.note(&pods.Items[i])
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return cmp.Compare(a.Node, b.Node) })
	for i := range shipments {
		s.count(&shipments[i])
	}
	return s, nil
}

func (s *Status) note(p *corev1.Pod) {
	ready := ""
	switch {
	case p.DeletionTimestamp != nil:
		return
	case !isReady(p):
		ready = trouble(p)
	}
	switch p.Labels["app.kubernetes.io/name"] {
	case deploy.AgentName:
		n := Node{Node: p.Spec.NodeName, Ready: ready == "", Trouble: ready, Version: cmp.Or(p.Labels[deploy.VersionLabel], "unknown")}
		if len(p.Spec.Containers) > 0 {
			n.Image = p.Spec.Containers[0].Image
		}
		s.Nodes = append(s.Nodes, n)
	case deploy.RelayName:
		s.Relay = "ready"
		if ready != "" {
			s.Relay = "not ready: " + ready
		}
	}
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// trouble is what keeps a pod from being ready; never empty.
func trouble(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil:
			return strings.TrimSpace(c.State.Waiting.Reason + " " + c.State.Waiting.Message)
		case c.State.Terminated != nil:
			return strings.TrimSpace(c.State.Terminated.Reason + " " + c.State.Terminated.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return c.Message
		}
	}
	return cmp.Or(p.Status.Reason, string(p.Status.Phase), "unknown")
}

func (s *Status) count(v *v1alpha1.VolumeShipment) {
	if v.Status.NodeName == "" {
		return
	}
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Node == v.Status.NodeName })
	if i < 0 {
		s.Lost = append(s.Lost, fmt.Sprintf("%s/%s (node %s)", v.Namespace, v.Name, v.Status.NodeName))
		return
	}
	s.Nodes[i].Served++
	c := meta.FindStatusCondition(v.Status.Conditions, v1alpha1.ShipmentShipped)
	if c != nil && c.Status == metav1.ConditionUnknown && v.Status.ActiveSync == v.Spec.Sync && v.Spec.Sync > 0 {
		s.Nodes[i].Working++
	}
}

// Working is how many shipments are in work.
func (s *Status) Working() (n int) {
	for _, node := range s.Nodes {
		n += node.Working
	}
	return n
}

// Troubles of agents that are not ready, a line each.
func (s *Status) Troubles() string {
	var text strings.Builder
	for _, n := range s.Nodes {
		if !n.Ready {
			fmt.Fprintf(&text, "  node %s: %s\n", n.Node, n.Trouble)
		}
	}
	return text.String()
}

// Skew says in words how the agents' versions differ from a plugin's; "" when they
// do not.
func (s *Status) Skew(plugin string) string {
	var others []string
	for _, n := range s.Nodes {
		if n.Version != plugin && !slices.Contains(others, n.Version) {
			others = append(others, n.Version)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("agents on %s are of version %s and this plugin is %s: to upgrade them, run kubectl motion agent upgrade; agents with different protocols report PeerVersionMismatch",
		s.Cluster, strings.Join(others, ", "), plugin)
}
