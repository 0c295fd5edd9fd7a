// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// managed is true when a field manager owns the field at path.
func managed(u *unstructured.Unstructured, path fieldpath.Path) bool {
	for _, entry := range u.GetManagedFields() {
		if entry.FieldsV1 == nil {
			continue
		}
		var set fieldpath.Set
		if err := set.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err == nil && set.Has(path) {
			return true
		}
	}
	return false
}

// lastApplied returns the object that kubectl apply stored in its annotation, or nil.
func lastApplied(u *unstructured.Unstructured) map[string]any {
	note := u.GetAnnotations()[annotationApplied]
	var o map[string]any
	if err := json.Unmarshal([]byte(note), &o); err != nil {
		return nil
	}
	return o
}
