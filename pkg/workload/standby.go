// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package workload stops, fences and starts what runs pods, and remembers how
// it was.
//
// A workload is on standby when none of its pods can run, although the object is
// there whole. Each kind has its own method, chosen so that the original
// value is a plain field that can be put back exactly:
//
//	Deployment, ReplicaSet, StatefulSet, ReplicationController   spec.replicas = 0
//	CronJob, Job                                                 spec.suspend = true
//	StatefulSet                                                  its claims are retained, too
//	DaemonSet                                                    a node selector that no node matches
//	Pod (bare)                                                   a scheduling gate
//
// The original values travel as JSON, either in the annotation
// kubectl-motion.dev/original-state of a target object or in the Migration's status for
// a source object. An absent field is remembered as absent: a CronJob that its
// user had suspended stays suspended after activation, and a Deployment without
// spec.replicas gets none.
//
// The functions of this file are pure; Stop, Fence and Start act on a cluster.
package workload

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// standbyKey is the node selector and the scheduling gate of objects on standby.
const standbyKey = v1alpha1.GroupName + "/original-state"

// original is the JSON of the fields that suspending changed. A nil pointer means that the
// field was absent.
type original struct {
	Replicas     *int64            `json:"replicas,omitempty"`
	Suspend      *bool             `json:"suspend,omitempty"`
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// WhenScaled is Delete for a StatefulSet whose controller would delete the
	// claims with the pods; on standby it has Retain.
	WhenScaled string `json:"whenScaled,omitempty"`
}

// method is how one kind is suspended.
type suspension struct {
	suspend   func(o map[string]any) (original, error)
	activate  func(o map[string]any, was original) error
	suspended func(o map[string]any) bool
}

func methodOf(gk schema.GroupKind) (suspension, bool) {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"},
		schema.GroupKind{Group: "apps", Kind: "ReplicaSet"},
		schema.GroupKind{Kind: "ReplicationController"}:
		return suspension{suspendReplicas, activateReplicas, replicasSuspended}, true
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return suspension{suspendSet, activateSet, replicasSuspended}, true
	case schema.GroupKind{Group: "batch", Kind: "CronJob"},
		schema.GroupKind{Group: "batch", Kind: "Job"}:
		return suspension{suspendJob, activateSuspend, jobSuspended}, true
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return suspension{suspendSelector, activateSelector, selectorSuspended}, true
	case schema.GroupKind{Kind: "Pod"}:
		return suspension{suspendGate, activateGate, gateSuspended}, true
	}
	return suspension{}, false
}

// Suspendable reports whether objects of the kind run pods and can be suspended.
func Suspendable(gk schema.GroupKind) bool {
	_, ok := methodOf(gk)
	return ok
}

// Suspend changes obj so that none of its pods can run and records the original
// values in the annotation kubectl-motion.dev/original-state; it returns them too.
// changed is false for kinds that run no pods. An object that is on standby
// already because an earlier migration put it there keeps the values of then,
// so that they survive a chain of migrations.
func Suspend(obj *unstructured.Unstructured) (was []byte, changed bool, err error) {
	w, ok := methodOf(obj.GroupVersionKind().GroupKind())
	if !ok {
		return nil, false, nil
	}
	if kept, found := obj.GetAnnotations()[v1alpha1.AnnotationOriginalState]; found && w.suspended(obj.Object) {
		if _, err := parse(obj, []byte(kept)); err != nil {
			return nil, false, err
		}
		return []byte(kept), true, nil
	}
	o, err := w.suspend(obj.Object)
	if err != nil {
		return nil, false, fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	was, err = json.Marshal(o)
	if err != nil {
		return nil, false, err
	}
	a := obj.GetAnnotations()
	if a == nil {
		a = map[string]string{}
	}
	a[v1alpha1.AnnotationOriginalState] = string(was)
	obj.SetAnnotations(a)
	return was, true, nil
}

// Activate puts the values of was, as Suspend returned them, back into obj and
// removes the annotation.
func Activate(obj *unstructured.Unstructured, was []byte) error {
	w, ok := methodOf(obj.GroupVersionKind().GroupKind())
	if !ok {
		return fmt.Errorf("%s %s: objects of this kind cannot be on standby", obj.GetKind(), obj.GetName())
	}
	o, err := parse(obj, was)
	if err != nil {
		return err
	}
	if err := w.activate(obj.Object, o); err != nil {
		return fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	a := obj.GetAnnotations()
	delete(a, v1alpha1.AnnotationOriginalState)
	obj.SetAnnotations(a)
	return nil
}

// Suspended says whether none of obj's pods can run. It is true for kinds that
// run no pods.
func Suspended(obj *unstructured.Unstructured) bool {
	w, ok := methodOf(obj.GroupVersionKind().GroupKind())
	return !ok || w.suspended(obj.Object)
}

func parse(obj *unstructured.Unstructured, was []byte) (original, error) {
	var o original
	if err := json.Unmarshal(was, &o); err != nil {
		return o, fmt.Errorf("%s %s: invalid annotation value %q: %w; set the original values manually and remove the annotation %s",
			obj.GetKind(), obj.GetName(), was, err, v1alpha1.AnnotationOriginalState)
	}
	return o, nil
}

func suspendReplicas(o map[string]any) (original, error) {
	n, found, err := unstructured.NestedInt64(o, "spec", "replicas")
	if err != nil {
		return original{}, err
	}
	var was original
	if found {
		was.Replicas = &n
	}
	return was, unstructured.SetNestedField(o, int64(0), "spec", "replicas")
}

func activateReplicas(o map[string]any, was original) error {
	if was.Replicas == nil {
		unstructured.RemoveNestedField(o, "spec", "replicas")
		return nil
	}
	return unstructured.SetNestedField(o, *was.Replicas, "spec", "replicas")
}

func replicasSuspended(o map[string]any) bool {
	n, found, err := unstructured.NestedInt64(o, "spec", "replicas")
	return err == nil && found && n == 0
}

func suspendJob(o map[string]any) (original, error) {
	b, found, err := unstructured.NestedBool(o, "spec", "suspend")
	if err != nil {
		return original{}, err
	}
	var was original
	if found {
		was.Suspend = &b
	}
	return was, unstructured.SetNestedField(o, true, "spec", "suspend")
}

func activateSuspend(o map[string]any, was original) error {
	if was.Suspend == nil {
		unstructured.RemoveNestedField(o, "spec", "suspend")
		return nil
	}
	return unstructured.SetNestedField(o, *was.Suspend, "spec", "suspend")
}

func jobSuspended(o map[string]any) bool {
	b, _, err := unstructured.NestedBool(o, "spec", "suspend")
	return err == nil && b
}

var selectorPath = []string{"spec", "template", "spec", "nodeSelector"}

func suspendSelector(o map[string]any) (original, error) {
	m, _, err := unstructured.NestedStringMap(o, selectorPath...)
	if err != nil {
		return original{}, err
	}
	was := original{NodeSelector: m}
	return was, unstructured.SetNestedStringMap(o, map[string]string{standbyKey: "true"}, selectorPath...)
}

func activateSelector(o map[string]any, was original) error {
	if len(was.NodeSelector) == 0 {
		unstructured.RemoveNestedField(o, selectorPath...)
		return nil
	}
	return unstructured.SetNestedStringMap(o, was.NodeSelector, selectorPath...)
}

func selectorSuspended(o map[string]any) bool {
	m, _, err := unstructured.NestedStringMap(o, selectorPath...)
	_, found := m[standbyKey]
	return err == nil && found
}

func suspendGate(o map[string]any) (original, error) {
	gates, _, err := unstructured.NestedSlice(o, "spec", "schedulingGates")
	if err != nil {
		return original{}, err
	}
	gates = append(gates, map[string]any{"name": standbyKey})
	return original{}, unstructured.SetNestedSlice(o, gates, "spec", "schedulingGates")
}

func activateGate(o map[string]any, _ original) error {
	gates, _, err := unstructured.NestedSlice(o, "spec", "schedulingGates")
	if err != nil {
		return err
	}
	kept := make([]any, 0, len(gates))
	for _, g := range gates {
		if m, ok := g.(map[string]any); !ok || m["name"] != standbyKey {
			kept = append(kept, g)
		}
	}
	if len(kept) == 0 {
		unstructured.RemoveNestedField(o, "spec", "schedulingGates")
		return nil
	}
	return unstructured.SetNestedSlice(o, kept, "spec", "schedulingGates")
}

func gateSuspended(o map[string]any) bool {
	gates, _, _ := unstructured.NestedSlice(o, "spec", "schedulingGates")
	for _, g := range gates {
		if m, ok := g.(map[string]any); ok && m["name"] == standbyKey {
			return true
		}
	}
	return false
}
