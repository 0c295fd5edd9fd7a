// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Link is an owner that an object had on the source and shall have on the
// target, under the UID that the owner has there.
type Link struct {
	// Child and Owner are the target's; their UIDs are of no matter.
	Child inventory.Ref `json:"object"`
	Owner inventory.Ref `json:"owner"`
	// ChildSource and OwnerSource are the values of kubectl-motion.dev/source that
	// prove that a migration created both, and from which objects.
	ChildSource string `json:"objectSource"`
	OwnerSource string `json:"ownerSource"`
	// Controller and Block are as they were on the source.
	Controller bool `json:"controller,omitempty"`
	Block      bool `json:"blockOwnerDeletion,omitempty"`
}

// Relink gives objects of the target back the owners that they had on the
// source, and returns how many it wrote. An owner that is not there (yet), is
// being deleted, or was not created by a migration is left out: a reference with a UID
// that does not exist makes the garbage collector delete the object. It may be
// repeated, and it goes on after a failure.
func Relink(ctx context.Context, dst *cluster.Cluster, links []Link) (int, error) {
	if len(links) == 0 {
		return 0, nil
	}
	w, err := NewWriter(dst)
	if err != nil {
		return 0, err
	}
	byChild := map[inventory.Ref][]Link{}
	for _, l := range links {
		byChild[l.Child] = append(byChild[l.Child], l)
	}
	var mu sync.Mutex
	var errs []error
	written := 0
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for child, owners := range byChild {
		group.Go(func() error {
			did, err := w.relink(gctx, child, owners)
			mu.Lock()
			defer mu.Unlock()
			if did {
				written++
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: restoring its owner reference: %w", child, err))
			}
			return context.Cause(gctx)
		})
	}
	err = group.Wait()
	return written, errors.Join(append(errs, err)...)
}

// relink writes the owners of one object, if they differ from what it has.
func (w *Writer) relink(ctx context.Context, child inventory.Ref, links []Link) (written bool, err error) {
	owners, err := w.owners(ctx, links)
	if err != nil || len(owners) == 0 {
		return false, err
	}
	block := true
	err = cluster.RetryOnConflict(func() error {
		m, err := w.metadataOf(ctx, child)
		if m == nil || err != nil || m.Annotations[v1alpha1.AnnotationSource] != links[0].ChildSource {
			return err
		}
		refs, changed := ownersOf(m.OwnerReferences, owners, block)
		if !changed {
			return nil
		}
		err = w.setOwners(ctx, child, m, refs)
		if apierrors.IsForbidden(err) && block {
			// Who may not write the owner's finalizers may not block its deletion.
			block = false
			refs, _ = ownersOf(m.OwnerReferences, owners, block)
			err = w.setOwners(ctx, child, m, refs)
		}
		written = err == nil
		return err
	})
	return written, err
}

// owners are the references for those of links whose owner is there, lives, and
// was created by a migration.
func (w *Writer) owners(ctx context.Context, links []Link) ([]metav1.OwnerReference, error) {
	var out []metav1.OwnerReference
	for _, l := range links {
		m, err := w.metadataOf(ctx, l.Owner)
		if err != nil {
			return nil, err
		}
		if m == nil || m.DeletionTimestamp != nil || m.Annotations[v1alpha1.AnnotationSource] != l.OwnerSource {
			continue
		}
		ref := metav1.OwnerReference{APIVersion: l.Owner.GVR().GroupVersion().String(), Kind: l.Owner.Kind, Name: l.Owner.Name, UID: m.UID}
		if l.Controller {
			ref.Controller = &l.Controller
		}
		if l.Block {
			ref.BlockOwnerDeletion = &l.Block
		}
		out = append(out, ref)
	}
	return out, nil
}

// metadataOf reads an object's metadata; nil when not found.
func (w *Writer) metadataOf(ctx context.Context, ref inventory.Ref) (*metav1.PartialObjectMetadata, error) {
	m, err := w.meta.Resource(ref.GVR()).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return m, err
}

// ownersOf adds owners to what an object has. A reference to an owner of the same
// name with another UID is stale and goes; there is at most one controller, and
// one that is there stays.
func ownersOf(has, owners []metav1.OwnerReference, block bool) (out []metav1.OwnerReference, changed bool) {
	out = slices.Clone(has)
	for _, o := range owners {
		if slices.ContainsFunc(out, func(r metav1.OwnerReference) bool { return r.UID == o.UID }) {
			continue
		}
		changed = true
		out = slices.DeleteFunc(out, func(r metav1.OwnerReference) bool {
			return r.Kind == o.Kind && r.Name == o.Name && groupOf(r) == groupOf(o)
		})
		if slices.ContainsFunc(out, func(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller }) {
			o.Controller = nil
		}
		if !block {
			o.BlockOwnerDeletion = nil
		}
		out = append(out, o)
	}
	return out, changed
}

func groupOf(r metav1.OwnerReference) string {
	gv, _ := schema.ParseGroupVersion(r.APIVersion)
	return gv.Group
}

// setOwners replaces the owners of an object that is still as it was read.
func (w *Writer) setOwners(ctx context.Context, ref inventory.Ref, m *metav1.PartialObjectMetadata, owners []metav1.OwnerReference) error {
	if owners == nil {
		owners = []metav1.OwnerReference{}
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": m.UID, "resourceVersion": m.ResourceVersion, "ownerReferences": owners,
	}})
	if err != nil {
		return err
	}
	_, err = w.meta.Resource(ref.GVR()).Namespace(ref.Namespace).Patch(ctx, ref.Name, types.MergePatchType, body,
		metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	return err
}

// keepClaims takes the owners that are about to be pruned away from the claims
// that are not: the garbage collector would delete a claim with its last owner,
// and with it data that no user agreed to lose.
func (w *Writer) keepClaims(ctx context.Context, refs []inventory.Ref) error {
	claims := schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	going := map[types.UID]bool{}
	namespace := ""
	for _, r := range refs {
		going[r.UID], namespace = true, r.Namespace
	}
	list, err := w.meta.Resource(claims).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("cluster %s: listing the PVCs to keep: %w", w.cluster.Name, err)
	}
	for i := range list.Items {
		m := &list.Items[i]
		if going[m.UID] {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(m.OwnerReferences), func(o metav1.OwnerReference) bool { return going[o.UID] })
		if len(kept) == len(m.OwnerReferences) {
			continue
		}
		ref := inventory.Ref{Version: "v1", Resource: claims.Resource, Kind: "PersistentVolumeClaim", Namespace: namespace, Name: m.Name}
		if err := w.setOwners(ctx, ref, m, kept); err != nil {
			return fmt.Errorf("%s: removing its owner reference before the owner is deleted: %w", ref, err)
		}
	}
	return nil
}
