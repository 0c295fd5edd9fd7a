// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// job removes the selector and the labels that the source generated from the Job's
// UID. A manual selector stays.
func (r *transformation) job() {
	if manual, _, _ := unstructured.NestedBool(r.o, "spec", "manualSelector"); manual {
		return
	}
	r.drop("generated from the UID", false, "spec", "selector")
	for _, path := range [][]string{{"metadata", "labels"}, {"spec", "template", "metadata", "labels"}} {
		for _, k := range []string{"controller-uid", "batch.kubernetes.io/controller-uid"} {
			r.drop("generated from the UID", false, append(slices.Clone(path), k)...)
		}
	}
}
