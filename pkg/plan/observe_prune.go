// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Orphan is an object that a migration of this source created on the target and that
// is missing in the inventory.
type Orphan struct {
	Ref inventory.Ref
	// Gone is true when the source returned NotFound for the object.
	Gone bool
	// Unclear is the reason why Gone is not known.
	Unclear string
}

// ObserveOrphans finds objects that an earlier run created and that are missing on
// the source. Only kinds that were listed completely are considered, and each object
// is read from the source by name once more: a forbidden or partial list proves
// nothing.
func ObserveOrphans(ctx context.Context, src, dst *cluster.Cluster, inv *inventory.Inventory, namespace string) ([]Orphan, error) {
	prefix := strings.Join([]string{inv.ClusterID, inv.Namespace, ""}, "/")
	var mu sync.Mutex
	var out []Orphan
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(observers)
	for _, k := range inv.Examined() {
		group.Go(func() error {
			err := each(ctx, dst, k.GVR, namespace, func(u *unstructured.Unstructured) error {
				ref := inventory.RefOf(u, k.GVR.Resource)
				if !strings.HasPrefix(u.GetAnnotations()[v1alpha1.AnnotationSource], prefix) || inv.Find(ref.ID()) != nil {
					return nil
				}
				o := Orphan{Ref: ref}
				o.Gone, o.Unclear = gone(ctx, src, inv.Namespace, ref)
				mu.Lock()
				defer mu.Unlock()
				out = append(out, o)
				return nil
			})
			if apierrors.IsForbidden(err) {
				return nil // a kind that cannot be listed is not pruned
			}
			return err
		})
	}
	return out, group.Wait()
}

func gone(ctx context.Context, src *cluster.Cluster, namespace string, ref inventory.Ref) (bool, string) {
	_, err := src.Resource(ref.GVR(), namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, ""
	case err != nil:
		return false, err.Error()
	}
	return false, "it exists again"
}
