// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// HandOver gives up the ownership that Apply took of the object's fields. From
// then on any manager that applies to it, Helm, Argo CD, an autoscaler or kubectl, meets
// no conflict with kubectl-motion. The object itself does not change. An object
// that does not exist is not an error.
//
// One entry stays, for nothing but our own annotation: to an object without any
// entry the API server adds, at the next apply of any manager, the manager
// "before-first-apply" that owns every field, and that one would conflict.
func HandOver(ctx context.Context, dst *cluster.Cluster, ref inventory.Ref) error {
	w, err := NewWriter(dst)
	if err != nil {
		return err
	}
	return w.handOver(ctx, ref, nil)
}

// HandOverAll releases the ownership of all objects that migrations created in a
// namespace, of any of the kinds, and returns how many objects it wrote. Of kinds
// that may not be listed, those of names are looked at: the credential of a pair
// reads Secrets by name only. It may be repeated, and goes on after a failure.
func HandOverAll(ctx context.Context, dst *cluster.Cluster, namespace string, kinds []inventory.Kind, names map[schema.GroupVersionResource][]string) (int, error) {
	w, err := NewWriter(dst)
	if err != nil {
		return 0, err
	}
	var written atomic.Int64
	var mu sync.Mutex
	var errs []error
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	// Kinds are listed one beside the other, and so are the objects of one kind: a
	// namespace may have thousands of the same.
	var found errgroup.Group
	found.SetLimit(writers)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, k := range kinds {
		found.Go(func() error {
			refs, err := w.migrated(gctx, k, namespace, names[k.GVR])
			note(err)
			for _, r := range refs {
				group.Go(func() error {
					if err := w.handOver(gctx, r.ref, r.meta); err != nil {
						note(err)
					} else {
						written.Add(1)
					}
					return context.Cause(gctx)
				})
			}
			return nil
		})
	}
	_ = found.Wait() // what went wrong is in errs
	note(group.Wait())
	return int(written.Load()), errors.Join(errs...)
}

// owned is an object whose fields we own.
type owned struct {
	ref  inventory.Ref
	meta *metav1.PartialObjectMetadata
}

// migrated lists the objects of a kind that a migration created and whose fields
// are still ours.
func (w *Writer) migrated(ctx context.Context, k inventory.Kind, namespace string, names []string) ([]owned, error) {
	var out []owned
	note := func(m *metav1.PartialObjectMetadata) {
		if _, ours := handedOver(m.ManagedFields, k.GVR.GroupVersion().String()); !ours || m.Annotations[v1alpha1.AnnotationSource] == "" {
			return
		}
		ref := inventory.Ref{Group: k.GVR.Group, Version: k.GVR.Version, Resource: k.GVR.Resource, Kind: k.Kind, Namespace: namespace, Name: m.Name}
		out = append(out, owned{ref, m})
	}
	err := w.eachMetadata(ctx, k.GVR, namespace, note)
	if !apierrors.IsForbidden(err) {
		return out, err
	}
	for _, name := range names {
		m, err := w.meta.Resource(k.GVR).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		case err != nil:
			return out, fmt.Errorf("cluster %s: reading %s %s: %w", w.cluster.Name, k.GVR.Resource, name, err)
		default:
			note(m)
		}
	}
	return out, nil
}

// handOver writes one object; m is its metadata if it has been read already.
func (w *Writer) handOver(ctx context.Context, ref inventory.Ref, m *metav1.PartialObjectMetadata) error {
	err := cluster.RetryOnConflict(func() error {
		var err error
		if m == nil {
			if m, err = w.metadataOf(ctx, ref); m == nil || err != nil {
				return err
			}
		}
		entries, changed := handedOver(m.ManagedFields, ref.GVR().GroupVersion().String())
		if !changed {
			return nil
		}
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": m.UID, "resourceVersion": m.ResourceVersion, "managedFields": entries,
		}})
		if err != nil {
			return err
		}
		m = nil // what was read is too old if this fails
		_, err = w.meta.Resource(ref.GVR()).Namespace(ref.Namespace).Patch(ctx, ref.Name, types.MergePatchType, body,
			metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: releasing ownership: %w", ref, err)
	}
	return nil
}

// ownFields is what stays ours: where the object came from.
const ownFields = `{"f:metadata":{"f:annotations":{"f:` + v1alpha1.AnnotationSource + `":{}}}}`

// handedOver replaces our entries by the one for our annotation. changed is false
// when there is nothing to give up.
func handedOver(entries []metav1.ManagedFieldsEntry, version string) (out []metav1.ManagedFieldsEntry, changed bool) {
	for _, e := range entries {
		if e.Manager != v1alpha1.FieldManager {
			out = append(out, e)
			continue
		}
		if e.FieldsV1 == nil || e.FieldsV1.GetRawString() != ownFields {
			changed = true
		}
	}
	if !changed {
		return entries, false
	}
	return append(out, metav1.ManagedFieldsEntry{
		Manager: v1alpha1.FieldManager, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: version, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(ownFields),
	}), true
}
