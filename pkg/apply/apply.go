// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Outcome is what became of one object.
type Outcome string

// Outcomes. Every object of an Apply has exactly one.
const (
	Created    Outcome = "created"
	Configured Outcome = "configured"
	Unchanged  Outcome = "unchanged"
	Conflicted Outcome = "conflict"
	Failed     Outcome = "failed"
)

// Row is the outcome of one object.
type Row struct {
	Ref     inventory.Ref `json:"object"`
	Outcome Outcome       `json:"outcome"`
	Problem *Problem      `json:"problem,omitempty"`
}

// ChangeSet is what an Apply did, in the order of Ref.Compare.
type ChangeSet struct {
	Rows []Row `json:"rows"`
}

// Count returns how many objects had the outcome.
func (c ChangeSet) Count(o Outcome) int {
	n := 0
	for _, r := range c.Rows {
		if r.Outcome == o {
			n++
		}
	}
	return n
}

// Err is nil when every object is on the target; otherwise it names each that
// is not, and why.
func (c ChangeSet) Err() error {
	var errs []error
	for _, r := range c.Rows {
		if r.Problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Ref, r.Problem))
		}
	}
	return errors.Join(errs...)
}

// Options say how far Apply may go.
type Options struct {
	// ForceConflicts takes over fields that others own.
	ForceConflicts bool
	// Recreate deletes and recreates immutable ConfigMaps and Secrets, and
	// Jobs that are on standby, when they differ from what shall be there.
	Recreate bool
}

// Apply writes objects, tier by tier, and tries those that failed again until a
// pass brings nothing more: an object may need one that the order does not know
// of. The error is about the whole run (the context ended, the target cannot be
// listed); what became of each object is in the ChangeSet.
func Apply(ctx context.Context, dst *cluster.Cluster, objects []Object, opts Options) (ChangeSet, error) {
	w, err := NewWriter(dst)
	if err != nil {
		return ChangeSet{}, err
	}
	before, err := w.versions(ctx, objects)
	if err != nil {
		return ChangeSet{}, err
	}
	rows := map[inventory.Ref]Row{}
	pending := objects
	for len(pending) > 0 {
		failed, err := w.pass(ctx, pending, before, opts, rows)
		if err != nil {
			return changeSet(rows), err
		}
		if len(failed) == len(pending) {
			break
		}
		pending = failed
	}
	return changeSet(rows), nil
}

func changeSet(rows map[inventory.Ref]Row) ChangeSet {
	var c ChangeSet
	for _, r := range rows {
		c.Rows = append(c.Rows, r)
	}
	slices.SortFunc(c.Rows, func(a, b Row) int { return a.Ref.Compare(b.Ref) })
	return c
}

// pass writes every object once and returns those that may do better later.
func (w *Writer) pass(ctx context.Context, objects []Object, before map[inventory.Ref]string, opts Options, rows map[inventory.Ref]Row) ([]Object, error) {
	var byTier [tiers][]Object
	for _, o := range objects {
		t := tier(o.Ref.GroupKind())
		byTier[t] = append(byTier[t], o)
	}
	var mu sync.Mutex
	var again []Object
	for _, list := range byTier {
		lanes, gctx := NewLanes(ctx)
		for _, o := range list {
			lanes.Go(len(o.JSON), func() error {
				row := w.one(gctx, o, before[o.Ref], opts)
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				mu.Lock()
				defer mu.Unlock()
				rows[o.Ref] = row
				if row.Outcome == Failed {
					again = append(again, o)
				}
				return nil
			})
		}
		if err := lanes.Wait(); err != nil {
			return nil, err
		}
	}
	return again, nil
}

// one writes o; version is its resourceVersion before, empty when it was not there.
func (w *Writer) one(ctx context.Context, o Object, version string, opts Options) Row {
	if o.Same != "" && o.Same == version {
		return Row{Ref: o.Ref, Outcome: Unchanged}
	}
	m, err := w.Write(ctx, o, opts.ForceConflicts)
	if p := Explain(err); p != nil {
		if p.Cause == CauseImmutable && opts.Recreate && Recreatable(o.Ref.GroupKind()) {
			return w.recreate(ctx, o)
		}
		outcome := Failed
		if p.Cause == CauseConflict {
			outcome = Conflicted
		}
		return Row{Ref: o.Ref, Outcome: outcome, Problem: p}
	}
	switch version {
	case "":
		return Row{Ref: o.Ref, Outcome: Created}
	case m.ResourceVersion:
		return Row{Ref: o.Ref, Outcome: Unchanged}
	}
	return Row{Ref: o.Ref, Outcome: Configured}
}

// Recreatable says whether an object of the kind is nothing but its content, so
// that deleting and recreating it loses nothing.
func Recreatable(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Kind: "ConfigMap"}, schema.GroupKind{Kind: "Secret"},
		schema.GroupKind{Group: "batch", Kind: "Job"}:
		return true
	}
	return false
}

func (w *Writer) recreate(ctx context.Context, o Object) Row {
	policy := metav1.DeletePropagationBackground
	err := w.meta.Resource(o.Ref.GVR()).Namespace(o.Ref.Namespace).
		Delete(ctx, o.Ref.Name, metav1.DeleteOptions{PropagationPolicy: &policy})
	if err == nil || apierrors.IsNotFound(err) {
		_, err = w.Write(ctx, o, true)
	}
	if p := Explain(err); p != nil {
		return Row{Ref: o.Ref, Outcome: Failed, Problem: p}
	}
	return Row{Ref: o.Ref, Outcome: Configured}
}

// versions returns the resourceVersions of what is on the target already, of
// the kinds and namespaces of objects.
func (w *Writer) versions(ctx context.Context, objects []Object) (map[inventory.Ref]string, error) {
	type place struct {
		gvr       schema.GroupVersionResource
		namespace string
	}
	wanted := map[place]map[string]inventory.Ref{}
	for _, o := range objects {
		p := place{o.Ref.GVR(), o.Ref.Namespace}
		if wanted[p] == nil {
			wanted[p] = map[string]inventory.Ref{}
		}
		wanted[p][o.Ref.Name] = o.Ref
	}
	var mu sync.Mutex
	found := map[inventory.Ref]string{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for p, names := range wanted {
		note := func(name, version string) {
			mu.Lock()
			defer mu.Unlock()
			if ref, ok := names[name]; ok {
				found[ref] = version
			}
		}
		group.Go(func() error {
			err := w.eachMetadata(ctx, p.gvr, p.namespace, func(m *metav1.PartialObjectMetadata) { note(m.Name, m.ResourceVersion) })
			if apierrors.IsForbidden(err) {
				return w.byName(ctx, p.gvr, p.namespace, slices.Collect(maps.Keys(names)), note)
			}
			return err
		})
	}
	return found, group.Wait()
}

// eachMetadata lists a kind page by page. A kind that is not served has none.
func (w *Writer) eachMetadata(ctx context.Context, gvr schema.GroupVersionResource, namespace string, f func(*metav1.PartialObjectMetadata)) error {
	opts := metav1.ListOptions{Limit: 500}
	for {
		list, err := w.meta.Resource(gvr).Namespace(namespace).List(ctx, opts)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cluster %s: listing %s: %w", w.cluster.Name, gvr.Resource, err)
		}
		for i := range list.Items {
			f(&list.Items[i])
		}
		if opts.Continue = list.Continue; opts.Continue == "" {
			return nil
		}
	}
}

// byName asks for each object where a list is not allowed: the credential of a
// pair may read Secrets by name only. What may not be read counts as not there:
// the write will tell.
func (w *Writer) byName(ctx context.Context, gvr schema.GroupVersionResource, namespace string, names []string, f func(name, version string)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, name := range names {
		group.Go(func() error {
			m, err := w.meta.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return fmt.Errorf("cluster %s: reading %s %s: %w", w.cluster.Name, gvr.Resource, name, err)
			}
			f(name, m.ResourceVersion)
			return nil
		})
	}
	return group.Wait()
}
