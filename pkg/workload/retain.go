// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// A StatefulSet whose persistentVolumeClaimRetentionPolicy.whenScaled is Delete
// loses the claims of every pod that is scaled away, and the data with them. At
// rest it has Retain instead, and Delete is remembered. The order is what counts:
// first Retain, then the controller says that it has seen it, then the scale.

const (
	policyDelete = "Delete"
	policyRetain = "Retain"

	// annotationWhenScaled remembers Delete between the write of Retain and that
	// of the scale, also if the process ends in between.
	annotationWhenScaled = v1alpha1.GroupName + "/when-scaled"

	retainPoll    = 200 * time.Millisecond
	retainTimeout = time.Minute
)

var whenScaledPath = []string{"spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"}

func suspendSet(o map[string]any) (original, error) {
	was, err := suspendReplicas(o)
	if err != nil {
		return was, err
	}
	policy, _, _ := unstructured.NestedString(o, whenScaledPath...)
	kept, _, _ := unstructured.NestedString(o, "metadata", "annotations", annotationWhenScaled)
	if policy != policyDelete && kept != policyDelete {
		return was, nil
	}
	was.WhenScaled = policyDelete
	unstructured.RemoveNestedField(o, "metadata", "annotations", annotationWhenScaled)
	return was, unstructured.SetNestedField(o, policyRetain, whenScaledPath...)
}

func activateSet(o map[string]any, was original) error {
	if was.WhenScaled != "" {
		if err := unstructured.SetNestedField(o, was.WhenScaled, whenScaledPath...); err != nil {
			return err
		}
	}
	unstructured.RemoveNestedField(o, "metadata", "annotations", annotationWhenScaled)
	return activateReplicas(o, was)
}

// losesClaims says whether scaling the object to 0 would delete its claims.
func losesClaims(o *unstructured.Unstructured) bool {
	policy, _, _ := unstructured.NestedString(o.Object, whenScaledPath...)
	return o.GetKind() == "StatefulSet" && policy == policyDelete
}

// retain makes a StatefulSet that is about to be scaled to 0 keep its claims, and
// waits until its controller has seen that. mark says who does it; an error from
// it ends the attempt.
func retain(ctx context.Context, c *cluster.Cluster, gvr schema.GroupVersionResource, namespace, name string, mark func(*unstructured.Unstructured) error) error {
	if gvr.Resource != "statefulsets" {
		return nil
	}
	changed := false
	err := edit(ctx, c, gvr, namespace, name, func(o *unstructured.Unstructured) (bool, error) {
		changed = losesClaims(o) && !Suspended(o)
		if !changed {
			return false, nil
		}
		if err := mark(o); err != nil {
			return false, err
		}
		annotate(o, annotationWhenScaled, policyDelete)
		return true, unstructured.SetNestedField(o.Object, policyRetain, whenScaledPath...)
	})
	if err != nil || !changed && !resumesRetain(ctx, c, gvr, namespace, name) {
		return err
	}
	var seen, want int64
	err = wait.PollUntilContextTimeout(ctx, retainPoll, retainTimeout, true, func(ctx context.Context) (bool, error) {
		o, err := c.Resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		if losesClaims(o) {
			return false, errors.New("persistentVolumeClaimRetentionPolicy.whenScaled was set to Delete again: scaling it to 0 would delete its volumes")
		}
		want = o.GetGeneration()
		seen, _, _ = unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		return seen >= want, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("its controller did not observe whenScaled: Retain within %s (observed generation %d of %d): scaling it now could delete its volumes",
			retainTimeout, seen, want)
	}
	return err
}

// resumesRetain says whether an earlier process wrote Retain and did not get
// further: whether the controller has seen it is not known.
func resumesRetain(ctx context.Context, c *cluster.Cluster, gvr schema.GroupVersionResource, namespace, name string) bool {
	o, err := c.Resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
	return err != nil || o.GetAnnotations()[annotationWhenScaled] != ""
}
