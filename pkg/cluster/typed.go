// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Get reads one object into into, a pointer to a type of this project's API.
// Errors are the API server's own, so that apierrors recognises them.
func Get[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace, name string) (*T, error) {
	u, err := c.Resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return fromUnstructured[T](u)
}

// List reads all objects of a resource in a namespace that match opts.
func List[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace string, opts metav1.ListOptions) ([]T, error) {
	l, err := c.Resource(gvr, namespace).List(ctx, opts)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(l.Items))
	for i := range l.Items {
		t, err := fromUnstructured[T](&l.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *t)
	}
	return out, nil
}

// Create writes a new object and returns it as the server has it.
func Create[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace string, obj *T) (*T, error) {
	u, err := toUnstructured(obj)
	if err != nil {
		return nil, err
	}
	u, err = c.Resource(gvr, namespace).Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, err
	}
	return fromUnstructured[T](u)
}

// Update replaces an object's spec and metadata, with the resourceVersion it has.
func Update[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace string, obj *T) (*T, error) {
	return update(ctx, c, gvr, namespace, obj)
}

// UpdateStatus replaces an object's status, with the resourceVersion it has.
func UpdateStatus[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace string, obj *T) (*T, error) {
	return update(ctx, c, gvr, namespace, obj, "status")
}

const fieldManager = "kubectl-motion"

func update[T any](ctx context.Context, c *Cluster, gvr schema.GroupVersionResource, namespace string, obj *T, sub ...string) (*T, error) {
	u, err := toUnstructured(obj)
	if err != nil {
		return nil, err
	}
	u, err = c.Resource(gvr, namespace).Update(ctx, u, metav1.UpdateOptions{FieldManager: fieldManager}, sub...)
	if err != nil {
		return nil, err
	}
	return fromUnstructured[T](u)
}

func fromUnstructured[T any](u *unstructured.Unstructured) (*T, error) {
	t := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, t); err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return t, nil
}

func toUnstructured(obj any) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: m}, nil
}
