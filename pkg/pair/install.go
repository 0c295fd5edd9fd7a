// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/install"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

const agentPoll = 500 * time.Millisecond

// installation is what all pairs of a cluster share.
func (p *Pairing) installation(ctx context.Context, c *cluster.Cluster) ([]item, error) {
	options, err := p.agentOptions(ctx, c)
	if err != nil {
		return nil, err
	}
	manifests, err := deploy.Manifests(options)
	if err != nil {
		return nil, err
	}
	out := make([]item, 0, len(manifests))
	for _, m := range manifests {
		out = append(out, item{on: c, object: m, install: true})
	}
	return out, nil
}

// agentOptions are what was asked for; what was not asked for stays as it is on the
// cluster: pairing one more namespace must not take from the others what an
// administrator once set.
func (p *Pairing) agentOptions(ctx context.Context, c *cluster.Cluster) (deploy.Options, error) {
	o := deploy.Options{AgentImage: p.Request.AgentImage, KubeletRoot: p.Request.KubeletRoot}
	if p.Request.BlockDevices != nil {
		o.BlockDevices = *p.Request.BlockDevices
	}
	o.PreserveSpecialFiles = p.Request.Policy.SpecialFiles != nil && *p.Request.Policy.SpecialFiles == v1alpha1.SpecialFilesPreserve
	o.Relay = p.relay()
	if c == p.Target {
		o.Endpoints = p.Request.TargetEndpoints
	}
	ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("daemonset %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	pod := ds.Spec.Template.Spec
	for _, container := range pod.Containers {
		if container.Name == deploy.AgentName && o.AgentImage == "" && !strings.HasPrefix(container.Image, deploy.DefaultRepository+":") {
			o.AgentImage = container.Image
		}
		if container.Name == deploy.DevicesContainer && p.Request.BlockDevices == nil {
			o.BlockDevices = true
		}
		o.PreserveSpecialFiles = o.PreserveSpecialFiles || deploy.HasPreserve(&container)
	}
	for _, v := range pod.Volumes {
		if root, ok := podsFolder(v); ok && o.KubeletRoot == "" {
			o.KubeletRoot = root
		}
	}
	return o, keepRoutes(ctx, c, &o)
}

func (p *Pairing) relay() bool { return p.Request.Relay != nil && *p.Request.Relay }

// keepRoutes is how other clusters reach the agents.
func keepRoutes(ctx context.Context, c *cluster.Cluster, o *deploy.Options) error {
	svc, err := c.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case err == nil:
		o.LoadBalancer = svc.Spec.Type == corev1.ServiceTypeLoadBalancer
		if text := svc.Annotations[v1alpha1.AnnotationEndpoints]; text != "" && len(o.Endpoints) == 0 {
			o.Endpoints = strings.Split(text, ",")
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	return install.KeepRelay(ctx, c, o)
}

func podsFolder(v corev1.Volume) (kubeletRoot string, ok bool) {
	if v.HostPath == nil {
		return "", false
	}
	return strings.CutSuffix(v.HostPath.Path, "/pods")
}

// agentImage is what the agents of c run, or will.
func (p *Pairing) agentImage(ctx context.Context, c *cluster.Cluster) (string, error) {
	options, err := p.agentOptions(ctx, c)
	if err != nil || options.AgentImage != "" {
		return options.AgentImage, err
	}
	return deploy.DefaultRepository + ":" + version.Get().Version, nil
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
