// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kept are the fields of a shipment that the informers of agents and relay hold:
// which volume it is about, and where. All of them are bounded by the CRD.
var kept = [][]string{
	{"spec", "role"},
	{"spec", "claimName"},
	{"spec", "copyMethod"},
	{"spec", "snapshot", "claimName"},
	{"spec", "nodeName"},
	{"status", "nodeName"},
}

// Trim is the transform of the informers of shipments. Every agent holds all shipments
// of its cluster, and their users write annotations, labels and addresses: what is not
// needed to find a shipment is dropped before it is stored.
func Trim(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	out := &unstructured.Unstructured{Object: map[string]any{}}
	out.SetGroupVersionKind(u.GroupVersionKind())
	out.SetNamespace(u.GetNamespace())
	out.SetName(u.GetName())
	out.SetUID(u.GetUID())
	out.SetResourceVersion(u.GetResourceVersion())
	out.SetDeletionTimestamp(u.GetDeletionTimestamp())
	for _, field := range kept {
		if v, found, err := unstructured.NestedString(u.Object, field...); found && err == nil {
			_ = unstructured.SetNestedField(out.Object, v, field...)
		}
	}
	return out, nil
}
