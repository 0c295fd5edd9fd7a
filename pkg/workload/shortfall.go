// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// readyPods is the number of ready pods as the controller of o reports it; 1 or 0
// for a bare pod. Jobs and CronJobs have none: their pods come and go.
func readyPods(o *unstructured.Unstructured) int32 {
	switch o.GetKind() {
	case "Job", "CronJob":
		return 0
	case "DaemonSet":
		return status(o, "numberReady")
	case "Pod":
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range conditions {
			if m, ok := c.(map[string]any); ok && m["type"] == "Ready" && m["status"] == "True" {
				return 1
			}
		}
		return 0
	}
	return status(o, "readyReplicas")
}

func status(o *unstructured.Unstructured, field string) int32 {
	n, _, _ := unstructured.NestedInt64(o.Object, "status", field)
	return int32(n) //nolint:gosec // a number of pods
}

// Shortfall compares the workloads of a namespace after a start with what ran
// before the stop, and describes every workload that runs less: missing, still
// stopped, or with fewer ready pods. A DaemonSet has as many pods as there are
// nodes, which differ between clusters: it must have one if it had one. It is pure.
func Shortfall(before []v1alpha1.StoppedWorkload, now []Found) []string {
	type key struct{ kind, name string }
	found := map[key]*unstructured.Unstructured{}
	for _, f := range now {
		found[key{f.Object.GetKind(), f.Object.GetName()}] = f.Object
	}
	var out []string
	for _, s := range before {
		o := found[key{s.Kind, s.Name}]
		want := s.ReadyPods
		if s.Kind == "DaemonSet" {
			want = min(want, 1)
		}
		switch {
		case o == nil && (s.Kind == "Job" || s.Kind == "Pod" && s.ReadyPods == 0):
			// It has ended there, as it may have here.
		case o == nil:
			out = append(out, fmt.Sprintf("%s %s: not found", s.Kind, s.Name))
		case Suspended(o):
			by := ""
			if m := o.GetAnnotations()[v1alpha1.AnnotationStopped]; m != "" {
				by = " by migration " + m
			}
			out = append(out, fmt.Sprintf("%s %s: still stopped%s", s.Kind, s.Name, by))
		case readyPods(o) < want:
			out = append(out, fmt.Sprintf("%s %s: %d ready pods, %d before the stop", s.Kind, s.Name, readyPods(o), s.ReadyPods))
		}
	}
	return out
}
