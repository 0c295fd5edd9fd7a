// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// provablySame is true when applying sent certainly changes nothing about live,
// without a request: we applied live, it has every value of sent, and we own no field
// that is missing in sent. A quantity in another notation or a list in another order
// proves nothing; a dry-run decides then.
func provablySame(sent, live *unstructured.Unstructured) bool {
	var ours *metav1.ManagedFieldsEntry
	for _, e := range live.GetManagedFields() {
		if e.Manager == v1alpha1.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" {
			if ours != nil {
				return false
			}
			ours = &e
		}
	}
	if ours == nil || ours.FieldsV1 == nil || ours.APIVersion != sent.GetAPIVersion() {
		return false
	}
	var owned fieldpath.Set
	if err := owned.FromJSON(bytes.NewReader(ours.FieldsV1.GetRawBytes())); err != nil || owned.Empty() {
		return false
	}
	if !contains(live.Object, sent.Object) {
		return false
	}
	same := true
	owned.Leaves().Iterate(func(p fieldpath.Path) { same = same && has(sent.Object, p) })
	return same
}

// contains is true when every value of part is in whole. Lists must have the same
// length and order.
func contains(whole, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		w, ok := whole.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range part {
			other, found := w[k]
			if !found || !contains(other, v) {
				return false
			}
		}
		return true
	case []any:
		w, ok := whole.([]any)
		if !ok || len(w) != len(part) {
			return false
		}
		for i := range part {
			if !contains(w[i], part[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(whole, part)
}

// has is true when an object has the field at path.
func has(o any, path fieldpath.Path) bool {
	for _, e := range path {
		switch {
		case e.FieldName != nil:
			m, _ := o.(map[string]any)
			v, found := m[*e.FieldName]
			if !found {
				return false
			}
			o = v
		case e.Key != nil:
			v, found := element(o, e)
			if !found {
				return false
			}
			o = v
		case e.Value != nil:
			list, _ := o.([]any)
			for _, v := range list {
				if value.Equals(value.NewValueInterface(v), *e.Value) {
					return true
				}
			}
			return false
		default:
			return false // an index: atomic lists have no such paths
		}
	}
	return true
}

// element returns the entry of a list with the keys of e. A key that is missing in
// the entry is defaulted by the server.
func element(o any, e fieldpath.PathElement) (any, bool) {
	list, _ := o.([]any)
	for _, v := range list {
		m, _ := v.(map[string]any)
		fits := m != nil
		for _, k := range *e.Key {
			if got, set := m[k.Name]; set && !value.Equals(value.NewValueInterface(got), k.Value) {
				fits = false
			}
		}
		if fits {
			return v, true
		}
	}
	return nil, false
}
