// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// statefulSet maps the storage classes of the volume claim templates, for PVCs of a
// later scale-up.
func (r *transformation) statefulSet() {
	for i, t := range elements(r.o, "spec", "volumeClaimTemplates") {
		r.storageClass(t, fmt.Sprintf("spec.volumeClaimTemplates[%d].", i))
		delete(t, "status")
		unstructured.RemoveNestedField(t, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(t, "spec", "volumeName")
	}
}
