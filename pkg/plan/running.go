// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// running reports workloads whose pods will be missing on the target, or will be
// others than those of the source.
func (b *builder) running(items []Item) error {
	for _, item := range items {
		o := b.inv.FindUID(item.Source.UID)
		if item.Verdict != inventory.Move || item.Target == nil || o == nil || !o.RunsPods() {
			continue
		}
		u, err := item.active()
		if err != nil {
			return err
		}
		if replicas(u) == 0 {
			continue
		}
		b.paused(item, u)
		b.gated(item, u)
		source, err := o.Unstructured()
		if err != nil {
			return err
		}
		b.olderPods(item, source)
	}
	return nil
}

// paused blocks the start of a Deployment whose rollout is paused: its controller
// creates no ReplicaSet for it.
func (b *builder) paused(item Item, u *unstructured.Unstructured) {
	paused, _, _ := unstructured.NestedBool(u.Object, "spec", "paused")
	if !paused || item.Source.GroupKind() != (schema.GroupKind{Group: "apps", Kind: "Deployment"}) {
		return
	}
	ref := item.Source
	f := Finding{
		Code: CodePaused, Object: &ref,
		Message: "its rollout is paused: on the target its controller creates no pods",
		Hint: fmt.Sprintf("run: kubectl -n %s rollout resume deployment/%s (which also rolls out changes of the template since the pause), or remove spec.paused with --patch",
			ref.Namespace, ref.Name),
	}
	if b.starting() {
		b.block(f)
	} else {
		b.warn(f)
	}
}

// gated warns about pods with scheduling gates: they stay pending until a controller
// removes the gates.
func (b *builder) gated(item Item, u *unstructured.Unstructured) {
	gates, _, _ := unstructured.NestedSlice(inventory.PodSpec(u), "schedulingGates")
	if len(gates) == 0 || !b.starting() {
		return
	}
	ref := item.Source
	first, _ := gates[0].(map[string]any)
	b.warn(Finding{
		Code: CodeSchedulingGate, Object: &ref,
		Message: fmt.Sprintf("its pods have the scheduling gate %v and stay pending until a controller on the target removes it", first["name"]),
		Hint:    "check that the controller runs on the target, or remove the gate with --patch",
	})
}

// olderPods warns when pods of the source run an older template than the workload
// has: a staged or paused rollout, or updateStrategy OnDelete. Their template is not
// migrated, and all pods of the target run the current one.
func (b *builder) olderPods(item Item, source *unstructured.Unstructured) {
	if !b.starting() {
		return
	}
	all, updated, revisions := podsOf(source)
	if updated >= all {
		return
	}
	ref := item.Source
	b.warn(Finding{
		Code: CodeOlderPods, Object: &ref,
		Message: fmt.Sprintf("%d of %d pods run an older pod template%s, which is not migrated: on the target all pods run the current one", all-updated, all, revisions),
		Hint:    "finish or undo the rollout first: kubectl -n " + ref.Namespace + " rollout status " + named(ref),
	})
}

// podsOf returns how many pods a workload has and how many of them run its current
// template, as its status has it; equal numbers where the status is not known.
func podsOf(u *unstructured.Unstructured) (all, updated int64, revisions string) {
	total, current := "replicas", "updatedReplicas"
	switch u.GroupVersionKind().GroupKind() {
	case kindStatefulSet:
		old, _, _ := unstructured.NestedString(u.Object, "status", "currentRevision")
		now, _, _ := unstructured.NestedString(u.Object, "status", "updateRevision")
		if old == now {
			return 0, 0, ""
		}
		revisions = fmt.Sprintf(" (revision %s; the current one is %s)", old, now)
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		total, current = "currentNumberScheduled", "updatedNumberScheduled"
	default:
		return 0, 0, ""
	}
	return field(u, 0, "status", total), field(u, 0, "status", current), revisions
}
