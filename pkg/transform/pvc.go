// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// claim keeps size, access modes and storage class, and removes the binding to a
// volume and the data source.
func (r *transformation) claim() {
	if _, set, _ := unstructured.NestedString(r.o, "spec", "storageClassName"); !set {
		// The old way to name the class.
		if class := r.u.GetAnnotations()["volume.beta.kubernetes.io/storage-class"]; class != "" {
			r.set("replaces the deprecated annotation", false, class, "spec", "storageClassName")
		}
	}
	r.size()
	r.storageClass(r.o, "")
	r.drop("the volume of the source", false, "spec", "volumeName")
	r.drop("the data is copied", false, "spec", "dataSource")
	r.drop("the data is copied", false, "spec", "dataSourceRef")
	r.drop("selects volumes of the source by label", true, "spec", "selector")
	r.drop("a VolumeAttributesClass of the source cluster", true, "spec", "volumeAttributesClassName")
}

// size requests the capacity of the source's volume if that is larger than the
// request: drivers round up, and volumes may have been expanded.
func (r *transformation) size() {
	asked, err1 := quantity(r.o, "spec", "resources", "requests", "storage")
	has, err2 := quantity(r.o, "status", "capacity", "storage")
	if err1 != nil || err2 != nil || has.Cmp(asked) <= 0 {
		return
	}
	r.set("the source's volume is larger than its request", true, has.String(), "spec", "resources", "requests", "storage")
}

func quantity(o map[string]any, path ...string) (resource.Quantity, error) {
	s, _, err := unstructured.NestedString(o, path...)
	if err != nil {
		return resource.Quantity{}, err
	}
	return resource.ParseQuantity(s)
}

// storageClass maps the storage class of the PVC or template o at prefix.
func (r *transformation) storageClass(o map[string]any, prefix string) {
	old, found, _ := unstructured.NestedString(o, "spec", "storageClassName")
	class, mapped := r.opts.StorageClasses[old]
	if !mapped || class == old {
		return
	}
	if err := unstructured.SetNestedField(o, class, "spec", "storageClassName"); err != nil {
		return
	}
	if !found {
		old = "<default>"
	}
	r.note(Change{Path: prefix + "spec.storageClassName", From: old, To: class, Why: "storage class of the target", Notable: true})
}
