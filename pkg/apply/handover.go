// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"slices"

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
func HandOver(ctx context.Context, dst *cluster.Cluster, ref capture.Ref) error {
	client := dst.Resource(ref.GVR(), ref.Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		entries := u.GetManagedFields()
		kept := slices.DeleteFunc(slices.Clone(entries), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == v1alpha1.FieldManager
		})
		if len(kept) == len(entries) {
			return nil
		}
		if len(kept) == 0 {
			// The API server takes an empty list for "not said" and a list with
			// one empty entry for "nobody".
			kept = []metav1.ManagedFieldsEntry{{}}
		}
		u.SetManagedFields(kept)
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
