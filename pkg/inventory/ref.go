// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Ref names one object in full. Kind alone is not enough: several groups serve
// kinds of the same name.
type Ref struct {
	Group     string    `json:"group,omitempty"`
	Version   string    `json:"version"`
	Resource  string    `json:"resource"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
}

// ID is what identifies an object within one namespace of one cluster at one
// time, in every version.
type ID struct {
	Group, Kind, Name string
}

// ID returns the identity of r within its namespace.
func (r Ref) ID() ID { return ID{r.Group, r.Kind, r.Name} }

// GVK returns the kind of r at its version.
func (r Ref) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

// GroupKind returns the kind of r.
func (r Ref) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.Group, Kind: r.Kind}
}

// GVR returns the resource of r at its version.
func (r Ref) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource}
}

// String writes r as kubectl does: deployment.apps/web.
func (r Ref) String() string { return r.ID().String() }

// String writes the ID as kubectl does: deployment.apps/web.
func (i ID) String() string {
	kind := strings.ToLower(i.Kind)
	if i.Group != "" {
		kind += "." + i.Group
	}
	return kind + "/" + i.Name
}

// Compare orders refs by group, kind, namespace, name.
func (r Ref) Compare(s Ref) int {
	return cmp.Or(
		cmp.Compare(r.Group, s.Group), cmp.Compare(r.Kind, s.Kind),
		cmp.Compare(r.Namespace, s.Namespace), cmp.Compare(r.Name, s.Name),
	)
}

// RefOf names obj, whose resource is resource.
func RefOf(obj *unstructured.Unstructured, resource string) Ref {
	gvk := obj.GroupVersionKind()
	return Ref{
		Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Resource: resource,
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(),
	}
}
