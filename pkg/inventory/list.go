// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

const (
	// listers is how many kinds are listed at the same time.
	listers = 16
	// The size of a page is limited by pageBytes, estimated from the objects of the
	// last page: a thousand ConfigMaps of 1 MiB must not be one response.
	pageBytes = 8 << 20
	firstPage = 50
	maxPage   = 500
)

// Namespace lists all objects of a namespace of src, with verdicts and references, at
// versions that dst serves too.
//
// The error is about the whole: discovery failed, or the context ended. A kind that
// cannot be listed is in NotExamined instead.
func Namespace(ctx context.Context, src, dst *cluster.Cluster, namespace string, sel Selection) (*Inventory, error) {
	from, err := Discover(src)
	if err != nil {
		return nil, err
	}
	to, err := Discover(dst)
	if err != nil {
		return nil, err
	}
	if sel, err = sel.resolve(from); err != nil {
		return nil, err
	}
	inv := &Inventory{ClusterID: src.ID, Namespace: namespace}
	inv.Kinds, inv.Ignored = Kinds(from, to)
	for gv, err := range from.Failed {
		inv.NotExamined = append(inv.NotExamined, NotExamined{
			Group: gv.Group, Version: gv.Version, Resource: "*", Reason: "Unavailable", Message: err.Error(),
		})
	}
	inv.excludeKinds(sel)
	if err := inv.list(ctx, src, sel); err != nil {
		return nil, err
	}
	Judge(inv, sel)
	return inv, nil
}

// Examined returns the kinds that were listed completely and that the target serves.
func (inv *Inventory) Examined() []Kind {
	return slices.DeleteFunc(slices.Clone(inv.Kinds), func(k Kind) bool {
		return !k.OnTarget || slices.ContainsFunc(inv.NotExamined, func(n NotExamined) bool {
			return n.Group == k.GVR.Group && (n.Resource == k.GVR.Resource || n.Resource == "*")
		}) || slices.ContainsFunc(inv.Ignored, func(p Ignored) bool { return p.Group == k.GVR.Group && p.Resource == k.GVR.Resource })
	})
}

// excludeKinds removes the kinds that the selection excludes: they need not be listed.
func (inv *Inventory) excludeKinds(sel Selection) {
	inv.Kinds = slices.DeleteFunc(inv.Kinds, func(k Kind) bool {
		out := sel.excludes(k)
		if out {
			inv.Ignored = append(inv.Ignored, Ignored{Group: k.GVR.Group, Resource: k.GVR.Resource, Why: "excluded with --exclude"})
		}
		return out
	})
}

// list fills the inventory, several kinds at a time.
func (inv *Inventory) list(ctx context.Context, src *cluster.Cluster, sel Selection) error {
	var mu sync.Mutex
	rank := map[types.UID]int{}
	byUID := map[types.UID]*Object{}

	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listers)
	for _, k := range inv.Kinds {
		group.Go(func() error {
			objects, err := listKind(ctx, src, inv.Namespace, k)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				return inv.notExamined(ctx, sel, k, err)
			}
			for _, o := range objects {
				// The same object may be served by two groups.
				if r, found := rank[o.Ref.UID]; !found || better(k, r, byUID[o.Ref.UID].OnTarget) {
					rank[o.Ref.UID], byUID[o.Ref.UID] = k.rank, o
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, o := range byUID {
		inv.Objects = append(inv.Objects, o)
	}
	slices.SortFunc(inv.Objects, func(a, b *Object) int { return a.Ref.Compare(b.Ref) })
	slices.SortFunc(inv.NotExamined, compareNotExamined)
	inv.index()
	return nil
}

// better is true when an object should be read as kind k rather than as the kind of
// the given rank: first a kind that the target serves, then the group that the source
// prefers.
func better(k Kind, rank int, onTarget bool) bool {
	if k.OnTarget != onTarget {
		return k.OnTarget
	}
	return k.rank < rank
}

func compareNotExamined(a, b NotExamined) int {
	if a.Group != b.Group {
		if a.Group < b.Group {
			return -1
		}
		return 1
	}
	if a.Resource < b.Resource {
		return -1
	}
	return 1
}

// notExamined records that a kind could not be listed. It returns an error only when
// the context ended.
func (inv *Inventory) notExamined(ctx context.Context, sel Selection, k Kind, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	pass := func(why string) error {
		inv.Ignored = append(inv.Ignored, Ignored{Group: k.GVR.Group, Resource: k.GVR.Resource, Why: why})
		return nil
	}
	switch {
	case apierrors.IsForbidden(err) && k.GVR.GroupResource() == (schema.GroupResource{Resource: "podtemplates"}):
		return pass("built-in roles do not allow listing them, and no built-in controller reads them")
	case apierrors.IsForbidden(err) && !sel.includes(k):
		return pass("not selected with --include, and you are not allowed to list them")
	}
	n := NotExamined{Group: k.GVR.Group, Version: k.GVR.Version, Resource: k.GVR.Resource, Reason: "Failed", Message: err.Error()}
	switch {
	case apierrors.IsForbidden(err):
		n.Reason = "Forbidden"
	case apierrors.IsServiceUnavailable(err), apierrors.IsNotFound(err), apierrors.IsTimeout(err):
		n.Reason = "Unavailable"
	}
	inv.NotExamined = append(inv.NotExamined, n)
	return nil
}

// errExpired means that the list must be restarted.
var errExpired = errors.New("the continue token of the list expired")

// listKind reads all objects of a kind. A list that expires between two pages is
// restarted without paging.
func listKind(ctx context.Context, src *cluster.Cluster, namespace string, k Kind) ([]*Object, error) {
	objects, err := listPages(ctx, src, namespace, k, firstPage)
	if errors.Is(err, errExpired) {
		objects, err = listPages(ctx, src, namespace, k, 0)
	}
	return objects, err
}

func listPages(ctx context.Context, src *cluster.Cluster, namespace string, k Kind, limit int64) ([]*Object, error) {
	var out []*Object
	opts := metav1.ListOptions{Limit: limit}
	for {
		page, err := src.Resource(k.GVR, namespace).List(ctx, opts)
		if apierrors.IsResourceExpired(err) && opts.Continue != "" {
			return nil, errExpired
		}
		if err != nil {
			return nil, err
		}
		weight := 0
		for i := range page.Items {
			o, err := NewObject(k, &page.Items[i])
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", k.GVR.Resource, err)
			}
			page.Items[i] = unstructured.Unstructured{}
			weight += len(o.raw)
			out = append(out, o)
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return out, nil
		}
		opts.Limit = PageSize(len(page.Items), weight)
	}
}

// PageSize is the limit of the next page when n objects had weight bytes.
func PageSize(n, weight int) int64 {
	if n == 0 || weight == 0 {
		return firstPage
	}
	return int64(min(max(pageBytes*n/weight, 1), maxPage))
}
