//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// ofTests marks ConfigMaps and Secrets that tests made: a namespace has others.
const ofTests = "e2e=true"

func resourceNamed(kind string) schema.GroupVersionResource {
	name, rest, _ := strings.Cut(kind, ".")
	version, group, _ := strings.Cut(rest, ".")
	return schema.GroupVersionResource{Group: group, Version: version, Resource: name}
}

// remove deletes all objects of a kind and waits until they are gone.
func remove(t *testing.T, c *cluster.Cluster, namespace, kind, selector string) {
	t.Helper()
	r := c.Resource(resourceNamed(kind), namespace)
	now := int64(0)
	opts := metav1.DeleteOptions{}
	if strings.HasPrefix(kind, "pods.") {
		opts.GracePeriodSeconds = &now
	}
	await(t, "the end of all "+kind+" in "+namespace+" on "+c.Name, func() error {
		list, err := r.List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if apierrors.IsNotFound(err) {
			return nil // the kind is not installed yet
		}
		if err != nil {
			return err
		}
		left := 0
		for _, o := range list.Items {
			if o.GetName() == "kubernetes" {
				continue
			}
			left++
			if o.GetDeletionTimestamp() == nil {
				if err := r.Delete(t.Context(), o.GetName(), opts); err != nil && !apierrors.IsNotFound(err) {
					return err
				}
			}
		}
		if left > 0 {
			return fmt.Errorf("%d are left", left)
		}
		return nil
	})
}

var errStill = errors.New("some are left")

func scale(t *testing.T, c *cluster.Cluster, deployment string, replicas int32) {
	t.Helper()
	s, err := c.Kube.AppsV1().Deployments("blue").GetScale(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Spec.Replicas = replicas
	if _, err := c.Kube.AppsV1().Deployments("blue").UpdateScale(t.Context(), deployment, s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
