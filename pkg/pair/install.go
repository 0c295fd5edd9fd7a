// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const agentPoll = 500 * time.Millisecond

func (p *Pairing) installOn(c *cluster.Cluster) func(context.Context) error {
	return func(ctx context.Context) error {
		block, err := p.blockDevices(ctx, c)
		if err != nil {
			return err
		}
		manifests, err := deploy.Manifests(deploy.Options{AgentImage: p.Request.AgentImage, KubeletRoot: p.Request.KubeletRoot, BlockDevices: block})
		if err != nil {
			return err
		}
		for _, m := range manifests {
			if err := p.put(ctx, c, m); err != nil {
				return err
			}
		}
		return nil
	}
}

// blockDevices says whether the agents of a cluster are to open raw block volumes:
// what was asked for, or what they do now. Pairing one more namespace must not take
// from the others what an administrator once allowed.
func (p *Pairing) blockDevices(ctx context.Context, c *cluster.Cluster) (bool, error) {
	if p.Request.BlockDevices != nil {
		return *p.Request.BlockDevices, nil
	}
	agent, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("daemonsets/%s on %s: %w", deploy.AgentName, c, err)
	}
	return slices.ContainsFunc(agent.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == deploy.DevicesContainer }), nil
}

// put applies one of our own objects and says what became of it. Force is right
// here and nowhere else: these objects are ours alone.
func (p *Pairing) put(ctx context.Context, c *cluster.Cluster, m *unstructured.Unstructured) error {
	gvr, namespaced, err := resourceOf(ctx, c, m)
	if err != nil {
		return err
	}
	namespace := ""
	if namespaced {
		namespace = m.GetNamespace()
	}
	r := c.Resource(gvr, namespace)
	before, err := r.Get(ctx, m.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s/%s on %s: %w", gvr.Resource, m.GetName(), c, err)
	}
	after, err := r.Apply(ctx, m.GetName(), m, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("%s/%s on %s: %w", gvr.Resource, m.GetName(), c, err)
	}
	verb := "configured"
	switch {
	case before == nil || before.GetUID() == "":
		verb = "created"
	case sameContent(before, after):
		verb = "unchanged"
	}
	progress.Objectf(p.Sink, "%s/%s %s", gvr.GroupResource(), m.GetName(), verb)
	return nil
}

// sameContent says whether an object is what it was. Its resourceVersion does not
// tell: controllers write statuses meanwhile, and the API server sorts
// managedFields anew after they did.
func sameContent(before, after *unstructured.Unstructured) bool {
	before, after = before.DeepCopy(), after.DeepCopy()
	for _, o := range []*unstructured.Unstructured{before, after} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		unstructured.RemoveNestedField(o.Object, "status")
	}
	return equality.Semantic.DeepEqual(before, after)
}

// resourceOf waits for the API server to serve a kind whose CRD was applied a
// moment ago.
func resourceOf(ctx context.Context, c *cluster.Cluster, m *unstructured.Unstructured) (gvr gvrType, namespaced bool, err error) {
	gvk := m.GroupVersionKind()
	werr := wait.PollUntilContextTimeout(ctx, agentPoll, 30*time.Second, true, func(context.Context) (bool, error) {
		gvr, namespaced, err = c.ResourceFor(gvk)
		return err == nil, nil
	})
	if err == nil {
		err = werr
	}
	return gvr, namespaced, err
}

// waitForAgents waits until every node of both clusters runs a ready agent of
// the present version.
func (p *Pairing) waitForAgents(ctx context.Context) error {
	for _, c := range []*cluster.Cluster{p.Source, p.Target} {
		if err := p.waitForAgentsOn(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pairing) waitForAgentsOn(ctx context.Context, c *cluster.Cluster) error {
	var have, want int32
	err := wait.PollUntilContextTimeout(ctx, agentPoll, p.Request.AgentTimeout, true, func(ctx context.Context) (bool, error) {
		ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		have, want = ds.Status.NumberAvailable, ds.Status.DesiredNumberScheduled
		current := ds.Status.ObservedGeneration >= ds.Generation && ds.Status.UpdatedNumberScheduled == want
		return current && want > 0 && have == want, nil
	})
	if err == nil {
		progress.Notef(p.Sink, "%d of %d agents ready on %s", have, want, c)
		return nil
	}
	return fmt.Errorf("%d of %d agents are ready on %s after %s: %w%s", have, want, c, p.Request.AgentTimeout, err, p.agentTrouble(ctx, c))
}

// agentTrouble collects what the agents' pods say about themselves.
func (p *Pairing) agentTrouble(ctx context.Context, c *cluster.Cluster) string {
	pods, err := c.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	var text strings.Builder
	for i := range pods.Items {
		for _, s := range pods.Items[i].Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil {
				fmt.Fprintf(&text, "\n  pod %s on %s: %s: %s", pods.Items[i].Name, pods.Items[i].Spec.NodeName, w.Reason, w.Message)
			}
		}
	}
	return text.String()
}
