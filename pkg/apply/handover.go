// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/capture"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// HandOver gives up the ownership that Apply took of the object's fields. From
// then on whoever applies to it, Helm, Argo CD, an autoscaler or kubectl, meets
// no conflict with kubectl-motion. The object itself does not change. An object
// that is gone is no error.
//
// One entry stays, for nothing but our own annotation: to an object without any
// entry the API server adds, at the next apply of whomever, the manager
// "before-first-apply" that owns every field, and that one would conflict.
func HandOver(ctx context.Context, dst *cluster.Cluster, ref capture.Ref) error {
	client := dst.Resource(ref.GVR(), ref.Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		entries, changed := handedOver(u.GetManagedFields(), u.GetAPIVersion())
		if !changed {
			return nil
		}
		u.SetManagedFields(entries)
		_, err = client.Update(ctx, u, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: giving up ownership: %w", ref, err)
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
