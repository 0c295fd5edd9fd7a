// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/peers"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// watches say when to look at which shipment. Nothing is decided by what they
// hold: it may be old.
type watches struct {
	agent     *Agent
	shipments cache.SharedIndexInformer
	pods      cache.SharedIndexInformer
}

const byClaim = "claim"

func newWatches(a *Agent) *watches {
	c := a.config.Cluster
	dynamic := c.Dynamic.Resource(v1alpha1.VolumeShipments)
	pods := c.Kube.CoreV1().Pods(metav1.NamespaceAll)
	onNode := fields.OneTermEqualSelector("spec.nodeName", a.config.Node).String()
	w := &watches{agent: a}
	w.shipments = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return dynamic.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return dynamic.Watch(ctx, o)
		},
	}, c.Dynamic), &unstructured.Unstructured{}, 0, cache.Indexers{byClaim: claimOfShipment, peers.ByUID: peers.Index()[peers.ByUID]})
	w.pods = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = onNode
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = onNode
			return pods.Watch(ctx, o)
		},
	}, c.Kube), &corev1.Pod{}, 0, cache.Indexers{byClaim: claimsOfPod})
	return w
}

func (w *watches) run(ctx context.Context) {
	_ = w.pods.SetTransform(trimPod)
	_ = w.shipments.SetTransform(peers.Trim)
	_, _ = w.shipments.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.shipmentChanged,
		UpdateFunc: func(_, o any) { w.shipmentChanged(o) },
		DeleteFunc: w.shipmentGone,
	})
	_, _ = w.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.podChanged,
		UpdateFunc: func(_, o any) { w.podChanged(o) },
		DeleteFunc: w.podChanged,
	})
	var work sync.WaitGroup
	work.Go(func() { w.shipments.RunWithContext(ctx) })
	work.Go(func() { w.pods.RunWithContext(ctx) })
	work.Wait()
}

func (w *watches) synced(ctx context.Context) bool {
	return cache.WaitForCacheSync(ctx.Done(), w.shipments.HasSynced, w.pods.HasSynced)
}

func (w *watches) shipmentChanged(o any) {
	if name, err := cache.DeletionHandlingObjectToName(o); err == nil {
		w.agent.queue.Add(key{name.Namespace, name.Name})
	}
}

// shipmentGone removes the shipment's key besides: no other shipment will have the UID.
func (w *watches) shipmentGone(o any) {
	w.shipmentChanged(o)
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	if u, ok := o.(*unstructured.Unstructured); ok {
		if err := w.agent.env.State.ForgetKey(u.GetUID()); err != nil {
			w.agent.log.Warn("cannot delete the key of a deleted shipment", "error", err)
		}
	}
}

// podChanged looks at the shipments of every claim that the pod references.
func (w *watches) podChanged(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	claims, _ := claimsOfPod(o)
	for _, claim := range claims {
		keys, err := w.shipments.GetIndexer().IndexKeys(byClaim, claim)
		if err != nil {
			continue
		}
		for _, k := range keys {
			if name, err := cache.ParseObjectName(k); err == nil {
				w.agent.queue.Add(key{name.Namespace, name.Name})
			}
		}
	}
}

// concerns says whether a shipment may be this node's business: it serves it, or
// a pod here references its PVC and no agent serves it.
func (w *watches) concerns(k key) bool {
	o, ok, err := w.shipments.GetStore().GetByKey(k.String())
	if err != nil || !ok {
		return false
	}
	u, isObject := o.(*unstructured.Unstructured)
	if !isObject {
		return false
	}
	node, _, _ := unstructured.NestedString(u.Object, "status", "nodeName")
	if node != "" {
		return node == w.agent.config.Node
	}
	claims, _ := claimOfShipment(u)
	for _, claim := range claims {
		if pods, err := w.pods.GetIndexer().IndexKeys(byClaim, claim); err == nil && len(pods) > 0 {
			return true
		}
	}
	return false
}

// uids of all shipments that there are.
func (w *watches) uids() map[string]bool {
	out := map[string]bool{}
	for _, o := range w.shipments.GetStore().List() {
		if u, ok := o.(*unstructured.Unstructured); ok {
			out[string(u.GetUID())] = true
		}
	}
	return out
}

func claimOfShipment(o any) ([]string, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	spec := v1alpha1.VolumeShipmentSpec{}
	role, _, _ := unstructured.NestedString(u.Object, "spec", "role")
	method, _, _ := unstructured.NestedString(u.Object, "spec", "copyMethod")
	spec.Role, spec.CopyMethod = v1alpha1.Role(role), v1alpha1.CopyMethod(method)
	spec.ClaimName, _, _ = unstructured.NestedString(u.Object, "spec", "claimName")
	if clone, found, _ := unstructured.NestedString(u.Object, "spec", "snapshot", "claimName"); found {
		spec.Snapshot = &v1alpha1.ShipmentSnapshot{ClaimName: clone}
	}
	name, _ := spec.Mounted()
	return []string{u.GetNamespace() + "/" + name}, nil
}

func claimsOfPod(o any) ([]string, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	var out []string
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			out = append(out, p.Namespace+"/"+v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			out = append(out, p.Namespace+"/"+p.Name+"-"+v.Name)
		}
	}
	return out, nil
}

// trimPod trims the pods of the node: they are held for as long as the agent runs.
func trimPod(o any) (any, error) {
	if p, ok := o.(*corev1.Pod); ok {
		return authz.TrimPod(p), nil
	}
	return o, nil
}
