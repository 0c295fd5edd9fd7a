// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// TargetState is the target's answer about one object of the draft.
type TargetState struct {
	// Live is nil when the object does not exist.
	Live *Live
	// Changed is true when writing the object would change the live one.
	Changed bool
	// Problem is the error of the dry-run, nil when the object is accepted.
	Problem *apply.Problem

	// PodProblem is the error of the dry-run of a pod of the workload.
	PodProblem *apply.Problem

	// fitted is the object when it was adapted to the live one.
	fitted []byte
}

// Live is an object that exists on the target.
type Live struct {
	UID             types.UID
	ResourceVersion string
	// Source is its annotation kubectl-motion.dev/source.
	Source string
	// Suspended is true when none of its pods can run.
	Suspended bool
	// Active is true for a workload that a migration created and activated.
	Active bool
	// Class and Request are those of a PVC.
	Class   *string
	Request resource.Quantity

	digest digest
	// same is true when applying the item is known to change nothing.
	same bool
}

// digest of an object's content, and of its content without our annotations.
type digest struct{ all, plain [sha256.Size]byte }

// Observation has the target's answers about all objects of a draft.
type Observation map[inventory.ID]TargetState

// observers is the number of concurrent read requests.
const observers = 16

// responseFactor is the memory of a decoded response, as a multiple of the size of
// the object.
const responseFactor = 4

// ObserveObjects reads the target's objects and sends every object of the draft as a
// server-side dry-run. Rejected objects are in the observation; the error is about
// the whole.
func ObserveObjects(ctx context.Context, dst *cluster.Cluster, d *Draft) (Observation, error) {
	if d.facts.NamespaceMissing {
		return Observation{}, nil
	}
	live, err := d.live(ctx, dst)
	if err != nil {
		return nil, err
	}
	w, err := apply.NewWriter(dst)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	observed := Observation{}
	lanes, ctx := apply.NewLanes(ctx)
	for _, item := range d.items {
		if item.Target == nil || item.Reason == inventory.ReasonKindMissing {
			continue
		}
		current := live[item.Target.ID()]
		lanes.Go(current.weight(item), func() error {
			s := d.try(ctx, w, item, current)
			pod, err := samplePod(item)
			if err != nil {
				return err
			}
			if pod != nil && !(s.Live != nil && !s.Changed) {
				s.PodProblem = apply.Explain(w.TryPod(ctx, pod))
			}
			mu.Lock()
			defer mu.Unlock()
			observed[item.Target.ID()] = s
			return context.Cause(ctx)
		})
	}
	return observed, lanes.Wait()
}

// weight estimates the memory of the dry-run of an item whose live object is l.
func (l *Live) weight(item Item) int {
	switch {
	case l == nil:
		return len(item.json)
	case l.same:
		return 0
	}
	return responseFactor * len(item.json)
}

// try sends the item as a dry-run. The full response is only needed where there is
// a live object to compare it with.
func (d *Draft) try(ctx context.Context, w *apply.Writer, item Item, live *Live) TargetState {
	if live == nil {
		err := w.TryNew(ctx, item.Apply(), d.request.ForceConflicts)
		return TargetState{Changed: true, Problem: apply.Explain(err)}
	}
	if live.same {
		return TargetState{Live: live}
	}
	s := TargetState{Live: live, Changed: true}
	body := item.Apply()
	if item.Source.GroupKind() == kindClaim {
		var err error
		if s.fitted, err = item.fit(live); err != nil {
			s.Problem = apply.Explain(err)
			return s
		}
		body.JSON = s.fitted
	}
	u, err := w.Try(ctx, body, d.request.ForceConflicts)
	if err != nil {
		s.Problem = apply.Explain(err)
		return s
	}
	now := digestOf(u)
	s.Changed = now.all != live.digest.all
	if live.Source == "" && !workload.Suspendable(item.Target.GroupKind()) {
		s.Changed = now.plain != live.digest.plain
	}
	return s
}

// fit returns the PVC with the class and at least the size of the target's PVC of an
// earlier run: the class is immutable, and the size cannot shrink.
func (i Item) fit(live *Live) ([]byte, error) {
	u, err := i.Object()
	if err != nil {
		return nil, err
	}
	if live.Class != nil {
		if err := unstructured.SetNestedField(u.Object, *live.Class, "spec", "storageClassName"); err != nil {
			return nil, err
		}
	}
	path := []string{"spec", "resources", "requests", "storage"}
	text, _, _ := unstructured.NestedString(u.Object, path...)
	if asked, err := resource.ParseQuantity(text); err == nil && asked.Cmp(live.Request) < 0 {
		if err := unstructured.SetNestedField(u.Object, live.Request.String(), path...); err != nil {
			return nil, err
		}
	}
	return u.MarshalJSON()
}

// live reads the target's objects of every kind of the draft.
func (d *Draft) live(ctx context.Context, dst *cluster.Cluster) (map[inventory.ID]*Live, error) {
	kinds := map[schema.GroupVersionResource][]string{}
	wanted := map[inventory.ID]Item{}
	for _, i := range d.items {
		if i.Target != nil && i.Reason != inventory.ReasonKindMissing {
			kinds[i.Target.GVR()] = append(kinds[i.Target.GVR()], i.Target.Name)
			wanted[i.Target.ID()] = i
		}
	}
	var mu sync.Mutex
	out := map[inventory.ID]*Live{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(observers)
	for gvr, names := range kinds {
		note := func(u *unstructured.Unstructured) error {
			id := inventory.RefOf(u, gvr.Resource).ID()
			item, found := wanted[id]
			if !found {
				return nil
			}
			sent, err := item.Object()
			if err != nil {
				return err
			}
			same := provablySame(sent, u)
			l := newLive(u)
			if l.same = same; !same {
				l.digest = digestOf(u)
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = l
			return nil
		}
		group.Go(func() error {
			err := each(ctx, dst, gvr, d.request.TargetNamespace, note)
			if apierrors.IsForbidden(err) {
				return byName(ctx, dst, gvr, d.request.TargetNamespace, names, note)
			}
			return err
		})
	}
	return out, group.Wait()
}

// firstPage is small enough for objects of 1 MiB; the size of the next pages depends
// on the size of the objects.
const firstPage = 50

// each lists a kind page by page. A kind that is not served has no objects.
func each(ctx context.Context, dst *cluster.Cluster, gvr schema.GroupVersionResource, namespace string, f func(*unstructured.Unstructured) error) error {
	opts := metav1.ListOptions{Limit: firstPage}
	for {
		list, err := dst.Resource(gvr, namespace).List(ctx, opts)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cluster %s: listing %s: %w", dst.Name, gvr.Resource, err)
		}
		weight := 0
		for i := range list.Items {
			weight += weightOf(list.Items[i].Object)
			if err := f(&list.Items[i]); err != nil {
				return err
			}
			list.Items[i] = unstructured.Unstructured{}
		}
		if opts.Continue = list.GetContinue(); opts.Continue == "" {
			return nil
		}
		opts.Limit = inventory.PageSize(len(list.Items), weight)
	}
}

// weightOf estimates the size of an object in bytes.
func weightOf(v any) int {
	n := 16
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, e := range v {
			n += weightOf(e)
		}
	case map[string]any:
		for k, e := range v {
			n += len(k) + weightOf(e)
		}
	}
	return n
}

// byName gets each object where a list is forbidden: the credential of a pair may
// read Secrets by name only. An object that is forbidden looks absent.
func byName(ctx context.Context, dst *cluster.Cluster, gvr schema.GroupVersionResource, namespace string, names []string, f func(*unstructured.Unstructured) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(observers)
	for _, name := range names {
		group.Go(func() error {
			u, err := dst.Resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return fmt.Errorf("cluster %s: reading %s %s: %w", dst.Name, gvr.Resource, name, err)
			}
			return f(u)
		})
	}
	return group.Wait()
}

func newLive(u *unstructured.Unstructured) *Live {
	l := &Live{UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), Source: u.GetAnnotations()[v1alpha1.AnnotationSource], Suspended: workload.Suspended(u)}
	_, standby := u.GetAnnotations()[v1alpha1.AnnotationOriginalState]
	l.Active = l.Source != "" && workload.Suspendable(u.GroupVersionKind().GroupKind()) && !standby
	if u.GroupVersionKind().GroupKind() == kindClaim {
		if class, found, _ := unstructured.NestedString(u.Object, "spec", "storageClassName"); found {
			l.Class = &class
		}
		text, _, _ := unstructured.NestedString(u.Object, "spec", "resources", "requests", "storage")
		if q, err := resource.ParseQuantity(text); err == nil {
			l.Request = q
		}
	}
	return l
}

// digestOf returns a digest of the content of a server's response, without the
// fields that every write changes. It modifies u.
func digestOf(u *unstructured.Unstructured) digest {
	for _, f := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	d := digest{all: sum(u)}
	annotations := u.GetAnnotations()
	maps.DeleteFunc(annotations, func(k, _ string) bool { return strings.HasPrefix(k, v1alpha1.GroupName+"/") })
	if len(annotations) == 0 {
		annotations = nil
	}
	u.SetAnnotations(annotations)
	d.plain = sum(u)
	return d
}

func sum(u *unstructured.Unstructured) [sha256.Size]byte {
	// Map keys are sorted, and an object that came as JSON marshals.
	body, err := json.Marshal(u.Object)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(body)
}
