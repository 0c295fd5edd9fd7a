// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// ObserveFacts reads what the two clusters offer. What the user is not allowed to
// read is left unknown; the error is about a cluster that does not answer.
func ObserveFacts(ctx context.Context, src, dst *cluster.Cluster, inv *inventory.Inventory, namespace string) (Facts, error) {
	f := Facts{ClusterID: dst.ID, Namespace: namespace}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { f.NamespaceMissing, err = namespaceMissing(gctx, dst, namespace); return err })
	group.Go(func() (err error) { f.IPFamilies, err = ipFamilies(gctx, dst, namespace); return err })
	group.Go(func() (err error) { f.Definitions, err = definitions(gctx, src, inv); return err })
	group.Go(read(gctx, dst, storageClasses, "", toClass, &f.Classes))
	group.Go(read(gctx, src, storageClasses, "", toClass, &f.SourceClasses))
	group.Go(read(gctx, dst, schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses"}, "", toName, &f.PriorityClasses))
	group.Go(read(gctx, dst, schema.GroupVersionResource{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"}, "", toName, &f.RuntimeClasses))
	group.Go(read(gctx, src, schema.GroupVersionResource{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"}, "", toRuntimeClass, &f.SourceRuntimeClasses))
	group.Go(read(gctx, dst, schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"}, "", toName, &f.IngressClasses))
	group.Go(read(gctx, dst, core("serviceaccounts"), namespace, toAccount, &f.Accounts))
	group.Go(read(gctx, src, core("serviceaccounts"), inv.Namespace, toAccount, &f.SourceAccounts))
	group.Go(read(gctx, dst, core("nodes"), "", toNode, &f.Nodes))
	group.Go(read(gctx, dst, core("resourcequotas"), namespace, toTyped[corev1.ResourceQuota], &f.Quotas))
	group.Go(read(gctx, src, core("resourcequotas"), inv.Namespace, toTyped[corev1.ResourceQuota], &f.SourceQuotas))
	group.Go(read(gctx, dst, core("limitranges"), namespace, toTyped[corev1.LimitRange], &f.LimitRanges))
	group.Go(read(gctx, src, core("limitranges"), inv.Namespace, toTyped[corev1.LimitRange], &f.SourceLimitRanges))
	group.Go(func() error {
		source, target := cluster.Namespace{Cluster: src, Name: inv.Namespace}, cluster.Namespace{Cluster: dst, Name: namespace}
		f.MountPod, f.SourceMountPod = mountPodOf(gctx, target, src.ID), mountPodOf(gctx, source, dst.ID)
		return context.Cause(gctx)
	})
	group.Go(func() (err error) { f.Agents, err = agents(gctx, dst); return err })
	group.Go(func() (err error) { f.SourceAgents, err = agents(gctx, src); return err })
	group.Go(func() (err error) {
		f.Routes, err = route.Observe(gctx, cluster.Namespace{Cluster: src, Name: inv.Namespace}, cluster.Namespace{Cluster: dst, Name: namespace})
		return err
	})
	var shipments Known[v1alpha1.VolumeShipment]
	group.Go(read(gctx, src, v1alpha1.VolumeShipments, inv.Namespace, toTyped[v1alpha1.VolumeShipment], &shipments))
	err := group.Wait()
	for _, s := range shipments.List {
		if shipped, ok := shippedTo(s, dst.ID, namespace); ok {
			f.Shipped = append(f.Shipped, shipped)
		}
	}
	return f, err
}

var storageClasses = storagev1.SchemeGroupVersion.WithResource("storageclasses")

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

// read lists a kind into known. A kind that is forbidden stays unknown.
func read[T any](ctx context.Context, c *cluster.Cluster, gvr schema.GroupVersionResource, namespace string, to func(*unstructured.Unstructured) (T, error), known *Known[T]) func() error {
	return func() error {
		var list []T
		err := each(ctx, c, gvr, namespace, func(u *unstructured.Unstructured) error {
			t, err := to(u)
			list = append(list, t)
			return err
		})
		if apierrors.IsForbidden(err) {
			return nil
		}
		known.List, known.Known = list, err == nil
		return err
	}
}

func toTyped[T any](u *unstructured.Unstructured) (T, error) {
	var t T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &t)
	return t, err
}

func toName(u *unstructured.Unstructured) (string, error) { return u.GetName(), nil }

func toClass(u *unstructured.Unstructured) (Class, error) {
	s, err := toTyped[storagev1.StorageClass](u)
	return Class{
		Name: s.Name, Provisioner: s.Provisioner,
		Default:   s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true",
		Waits:     s.VolumeBindingMode != nil && *s.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer,
		Expansion: s.AllowVolumeExpansion != nil && *s.AllowVolumeExpansion,
	}, err
}

func toAccount(u *unstructured.Unstructured) (Account, error) {
	s, err := toTyped[corev1.ServiceAccount](u)
	a := Account{Name: s.Name}
	for _, p := range s.ImagePullSecrets {
		a.PullSecrets = append(a.PullSecrets, p.Name)
	}
	for k := range s.Annotations {
		if strings.HasPrefix(k, "eks.amazonaws.com/") || strings.HasPrefix(k, "iam.gke.io/") || strings.HasPrefix(k, "azure.workload.identity/") {
			a.Bound = append(a.Bound, k)
		}
	}
	slices.Sort(a.Bound)
	return a, err
}

func toRuntimeClass(u *unstructured.Unstructured) (RuntimeClass, error) {
	out := RuntimeClass{Name: u.GetName()}
	var err error
	if out.NodeSelector, _, err = unstructured.NestedStringMap(u.Object, "scheduling", "nodeSelector"); err != nil {
		return out, err
	}
	list, _, err := unstructured.NestedSlice(u.Object, "scheduling", "tolerations")
	for _, t := range list {
		if m, ok := t.(map[string]any); ok {
			out.Tolerations = append(out.Tolerations, m)
		}
	}
	return out, err
}

func toNode(u *unstructured.Unstructured) (Node, error) {
	n, err := toTyped[corev1.Node](u)
	return Node{Labels: n.Labels, Taints: n.Spec.Taints}, err
}

// mountPodOf reads the resources of mount pods from the policies of a namespace; nil
// when they are not set or cannot be read.
func mountPodOf(ctx context.Context, n cluster.Namespace, peer string) *corev1.ResourceRequirements {
	found, err := policy.List(ctx, n, peer)
	if err != nil {
		return nil // without policies there is no route, which is reported
	}
	t := policy.MountPodTemplate(found.Policies)
	if t == nil || len(t.Resources.Requests)+len(t.Resources.Limits) == 0 {
		return nil
	}
	return &t.Resources
}

// agents reads the DaemonSet of a cluster's agents, which the users of paired
// namespaces may read. Without one, nothing is known.
func agents(ctx context.Context, c *cluster.Cluster) (Known[Agents], error) {
	ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return Known[Agents]{}, nil
	case err != nil:
		return Known[Agents]{}, fmt.Errorf("cluster %s: reading the agents' daemonset: %w", c.Name, err)
	}
	devices := slices.ContainsFunc(ds.Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == deploy.DevicesContainer })
	return Known[Agents]{Known: true, List: []Agents{{Devices: devices}}}, nil
}

func namespaceMissing(ctx context.Context, dst *cluster.Cluster, namespace string) (bool, error) {
	_, err := dst.Kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil && !apierrors.IsForbidden(err):
		return false, fmt.Errorf("cluster %s: reading namespace %s: %w", dst.Name, namespace, err)
	}
	return false, nil
}

// ipFamilies reads the target's address families from a dry-run of a dual-stack
// Service. On any error they are unknown.
func ipFamilies(ctx context.Context, dst *cluster.Cluster, namespace string) ([]string, error) {
	policy := corev1.IPFamilyPolicyPreferDualStack
	probe := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "motion-probe-"},
		Spec:       corev1.ServiceSpec{IPFamilyPolicy: &policy, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	s, err := dst.Kube.CoreV1().Services(namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return nil, context.Cause(ctx)
	}
	var out []string
	for _, family := range s.Spec.IPFamilies {
		out = append(out, string(family))
	}
	return out, nil
}

// definitions reads the CustomResourceDefinitions of kinds that the target does not
// serve from the source.
func definitions(ctx context.Context, src *cluster.Cluster, inv *inventory.Inventory) (map[string]*unstructured.Unstructured, error) {
	out := map[string]*unstructured.Unstructured{}
	for _, o := range inv.Objects {
		name := o.Ref.Resource + "." + o.Ref.Group
		if _, asked := out[name]; asked || o.Verdict != inventory.NeedsAdmin || o.Reason != inventory.ReasonKindMissing {
			continue
		}
		gvr := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
		u, err := src.Resource(gvr, "").Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			out[name] = nil
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cluster %s: reading customresourcedefinition/%s: %w", src.Name, name, err)
		}
		out[name] = definition(u)
	}
	return out, nil
}

// definition returns a CustomResourceDefinition without the fields that the server sets.
func definition(u *unstructured.Unstructured) *unstructured.Unstructured {
	clean := map[string]any{"name": u.GetName()}
	out := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": clean, "spec": u.Object["spec"],
	}}
	if labels := u.GetLabels(); len(labels) > 0 {
		out.SetLabels(labels)
	}
	// A conversion webhook is a service of the source.
	if s, _, _ := unstructured.NestedString(out.Object, "spec", "conversion", "strategy"); s == "Webhook" {
		unstructured.RemoveNestedField(out.Object, "spec", "conversion")
	}
	return out
}
