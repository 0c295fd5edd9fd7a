// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Pruned is the outcome of an object that was deleted.
const Pruned Outcome = "pruned"

// Prune deletes objects of the target. Each ref must have the UID of the object
// that was decided about: one that was recreated meanwhile stays. Finalizers are
// left to their owners. PVCs that are not among refs lose owners that are:
// nothing of theirs is collected with them.
func Prune(ctx context.Context, dst *cluster.Cluster, refs []inventory.Ref) (ChangeSet, error) {
	w, err := NewWriter(dst)
	if err != nil {
		return ChangeSet{}, err
	}
	if len(refs) == 0 {
		return ChangeSet{}, nil
	}
	if err := w.keepClaims(ctx, refs); err != nil {
		return ChangeSet{}, err
	}
	var mu sync.Mutex
	rows := map[inventory.Ref]Row{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, ref := range refs {
		group.Go(func() error {
			row := Row{Ref: ref, Outcome: Pruned}
			if p := Explain(w.prune(gctx, ref)); p != nil {
				row.Outcome, row.Problem = Failed, p
			}
			mu.Lock()
			defer mu.Unlock()
			rows[ref] = row
			return context.Cause(gctx)
		})
	}
	err = group.Wait()
	return changeSet(rows), err
}

func (w *Writer) prune(ctx context.Context, ref inventory.Ref) error {
	policy := metav1.DeletePropagationBackground
	err := w.meta.Resource(ref.GVR()).Namespace(ref.Namespace).Delete(ctx, ref.Name, metav1.DeleteOptions{
		PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &ref.UID},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
