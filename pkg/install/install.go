// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package install puts the agents on one cluster, says how they are, and takes
// them away again. It is the administrator's side, without any pair: pairing
// installs what is missing and keeps the options that were set here.
package install

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

const poll = 500 * time.Millisecond

// Agents are what is to be on a cluster.
type Agents struct {
	Cluster *cluster.Cluster
	Options deploy.Options
	// Timeout bounds the wait for the agents to be ready, or gone.
	Timeout time.Duration
	Sink    progress.Sink
}

// Install applies everything and waits until every node has a ready agent.
func (a *Agents) Install(ctx context.Context) error {
	if err := CheckNamespace(ctx, a.Cluster); err != nil {
		return err
	}
	manifests, err := deploy.Manifests(a.Options)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if err := a.apply(ctx, m); err != nil {
			return err
		}
	}
	return a.await(ctx)
}

// apply forces, as is right for objects that are ours alone.
func (a *Agents) apply(ctx context.Context, m *unstructured.Unstructured) error {
	gvr, namespace, err := a.resource(ctx, m)
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", m.GetKind(), m.GetName(), a.Cluster, err)
	}
	_, err = a.Cluster.Resource(gvr, namespace).Apply(ctx, m.GetName(), m, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("%s/%s on %s: %w", gvr.GroupResource(), m.GetName(), a.Cluster, err)
	}
	progress.Objectf(a.Sink, "%s/%s applied", gvr.GroupResource(), m.GetName())
	return nil
}

// resource waits for the API server to serve a kind whose CRD is a moment old.
func (a *Agents) resource(ctx context.Context, m *unstructured.Unstructured) (gvr schema.GroupVersionResource, namespace string, err error) {
	namespaced := false
	_ = wait.PollUntilContextTimeout(ctx, poll, 30*time.Second, true, func(context.Context) (bool, error) {
		gvr, namespaced, err = a.Cluster.ResourceFor(m.GroupVersionKind())
		return err == nil, nil
	})
	if namespaced {
		namespace = m.GetNamespace()
	}
	return gvr, namespace, err
}

func (a *Agents) await(ctx context.Context) error {
	var last Status
	err := wait.PollUntilContextTimeout(ctx, poll, a.Timeout, true, func(ctx context.Context) (bool, error) {
		s, err := Observe(ctx, a.Cluster)
		if err != nil {
			return false, err
		}
		last = s
		return s.Current && len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, func(n Node) bool { return !n.Ready }), nil
	})
	if err != nil {
		return fmt.Errorf("the agents on %s are not ready after %s: %w\n%s", a.Cluster, a.Timeout, err, last.Troubles())
	}
	return nil
}

// Uninstall deletes what Install applied, last first, and waits until it is gone:
// before, nothing could be installed again. The API's definitions, and with them
// every migration's records, go only with purge.
func (a *Agents) Uninstall(ctx context.Context, purge bool) error {
	a.Options.Relay = true
	manifests, err := deploy.Manifests(a.Options)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(manifests) {
		if m.GetKind() == "CustomResourceDefinition" && !purge {
			continue
		}
		if err := a.delete(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		if m.GetKind() == "Namespace" || m.GetKind() == "CustomResourceDefinition" && purge {
			if err := a.awaitGone(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitGone waits for what holds others, which go before it.
func (a *Agents) awaitGone(ctx context.Context, m *unstructured.Unstructured) error {
	gvr, _, err := a.Cluster.ResourceFor(m.GroupVersionKind())
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", m.GetKind(), m.GetName(), a.Cluster, err)
	}
	err = wait.PollUntilContextTimeout(ctx, poll, a.Timeout, true, func(ctx context.Context) (bool, error) {
		_, err := a.Cluster.Resource(gvr, "").Get(ctx, m.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("%s/%s on %s is still terminating: %w; see its status", gvr.GroupResource(), m.GetName(), a.Cluster, err)
	}
	return nil
}

func (a *Agents) delete(ctx context.Context, m *unstructured.Unstructured) error {
	gvr, namespaced, err := a.Cluster.ResourceFor(m.GroupVersionKind())
	if err != nil {
		return fmt.Errorf("%s %s on %s: %w", m.GetKind(), m.GetName(), a.Cluster, err)
	}
	namespace := ""
	if namespaced {
		namespace = m.GetNamespace()
	}
	foreground := metav1.DeletePropagationForeground
	err = a.Cluster.Resource(gvr, namespace).Delete(ctx, m.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("%s/%s on %s: %w", gvr.GroupResource(), m.GetName(), a.Cluster, err)
	}
	progress.Objectf(a.Sink, "%s/%s deleted", gvr.GroupResource(), m.GetName())
	return nil
}

// Keep completes options by what is on the cluster: options that are not set now
// keep their values.
func Keep(ctx context.Context, c *cluster.Cluster, o *deploy.Options) error {
	ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("daemonset %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	for _, container := range ds.Spec.Template.Spec.Containers {
		if container.Name == deploy.AgentName && o.AgentImage == "" && !strings.HasPrefix(container.Image, deploy.DefaultRepository+":") {
			o.AgentImage = container.Image
		}
		if container.Name == deploy.DevicesContainer {
			o.BlockDevices = true
		}
		o.PreserveSpecialFiles = o.PreserveSpecialFiles || deploy.HasPreserve(&container)
	}
	for _, v := range ds.Spec.Template.Spec.Volumes {
		if v.HostPath == nil || o.KubeletRoot != "" {
			continue
		}
		if root, ok := strings.CutSuffix(v.HostPath.Path, "/pods"); ok {
			o.KubeletRoot = root
		}
	}
	svc, err := c.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case err == nil:
		o.LoadBalancer = o.LoadBalancer || svc.Spec.Type == corev1.ServiceTypeLoadBalancer
		if text := svc.Annotations[v1alpha1.AnnotationEndpoints]; text != "" && len(o.Endpoints) == 0 {
			o.Endpoints = strings.Split(text, ",")
		}
	case !apierrors.IsNotFound(err): // deleted meanwhile: it is recreated
		return fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	return KeepRelay(ctx, c, o)
}

// KeepRelay is Keep for the relay alone.
func KeepRelay(ctx context.Context, c *cluster.Cluster, o *deploy.Options) error {
	binding, err := c.Kube.RbacV1().RoleBindings(deploy.DefaultNamespace).Get(ctx, deploy.RelayRole, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("rolebinding %s/%s on %s: %w", deploy.DefaultNamespace, deploy.RelayRole, c, err)
	}
	o.Relay = true
	if len(o.RelayGroups) == 0 {
		for _, s := range binding.Subjects {
			o.RelayGroups = append(o.RelayGroups, s.Name)
		}
	}
	return nil
}
