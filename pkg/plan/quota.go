// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
)

// demand is the usage that the migration adds to a quota, by the quota's resource names.
type demand map[corev1.ResourceName]resource.Quantity

func (d demand) add(name corev1.ResourceName, q resource.Quantity) {
	sum := d[name]
	sum.Add(q)
	d[name] = sum
}

func (d demand) count(name corev1.ResourceName, n int64) {
	d.add(name, *resource.NewQuantity(n, resource.DecimalSI))
}

// The clusters whose quotas are checked.
const (
	sideSource = "source"
	sideTarget = "target"
)

// quotas compares the demand of the migration with the quotas of both clusters. The
// server's dry-run checks one object at a time, and two that fit alone may not fit
// together. Objects count at once, pods on activation; a mount pod for every group of
// volumes counts on both sides. Clones of snapshots are counted by their plugin.
func (b *builder) quotas(items []Item, groups []Group) error {
	for _, q := range b.facts.SourceQuotas.List {
		b.quota(q, b.sourceMountPods(groups), "the mount pods need", sideSource, true)
	}
	if !b.facts.Quotas.Known || len(b.facts.Quotas.List) == 0 {
		return nil
	}
	now, running := demand{}, demand{}
	for i := range items {
		if items[i].Verdict != inventory.Move || items[i].Target == nil {
			continue
		}
		if items[i].Action == Create {
			objectDemand(items[i], now)
		}
		if live := b.observed[items[i].Target.ID()].Live; live != nil && !live.Suspended {
			continue // its pods count already
		}
		if err := b.podDemand(items[i], running); err != nil {
			return err
		}
	}
	for _, v := range b.volumes {
		if !b.observed[v.ref.ID()].exists() {
			volumeDemand(v.TargetClass, v.TargetRequest, now)
		}
	}
	for _, q := range b.facts.Quotas.List {
		b.quota(q, now, "the migration needs", sideTarget, true)
		b.quota(q, running, "the activated copy needs", sideTarget, b.starting())
		b.quota(q, mountPodsDemand(len(groups), b.facts.MountPod, b.facts.LimitRanges.List), "the mount pods need", sideTarget, true)
	}
	return nil
}

// sourceMountPods counts one mount pod for every group with a PVC that is read
// directly, and one for the clones of the group's volumes. A cutover reads all PVCs
// directly in the end.
func (b *builder) sourceMountPods(groups []Group) demand {
	copied := map[string]bool{}
	for _, v := range b.volumes {
		copied[v.Claim] = v.CopyMethod.Offer != nil
	}
	n := 0
	for _, g := range groups {
		if slices.ContainsFunc(g.Claims, func(c string) bool { return copied[c] }) {
			n++
		}
		if b.request.Mode == v1alpha1.ModeCutover || slices.ContainsFunc(g.Claims, func(c string) bool { return !copied[c] }) {
			n++
		}
	}
	return mountPodsDemand(n, b.facts.SourceMountPod, b.facts.SourceLimitRanges.List)
}

// mountPodsDemand is the demand of n mount pods with the resources of the policy, or
// with the default.
func mountPodsDemand(n int, policy *corev1.ResourceRequirements, ranges []corev1.LimitRange) demand {
	d, r := demand{}, mountpod.Resources()
	if policy != nil {
		r = *policy
	}
	if n > 0 {
		podsDemand(d, int64(n), withDefaults(r, ranges))
	}
	return d
}

// podsDemand adds n pods with the requirements r each.
func podsDemand(d demand, n int64, r corev1.ResourceRequirements) {
	d.count("pods", n)
	d.count("count/pods", n)
	for name, q := range r.Requests {
		d.add("requests."+name, times(q, n))
		if name == corev1.ResourceCPU || name == corev1.ResourceMemory {
			d.add(name, times(q, n))
		}
	}
	for name, q := range r.Limits {
		d.add("limits."+name, times(q, n))
	}
}

func (s TargetState) exists() bool { return s.Live != nil }

func (b *builder) quota(q corev1.ResourceQuota, d demand, what, side string, blocks bool) {
	if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
		return // applies to some pods only; the dry-run of each pod checks it
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		hard, limited := q.Status.Hard[name]
		if !limited {
			continue
		}
		left := hard.DeepCopy()
		left.Sub(q.Status.Used[name])
		need := d[name]
		if need.Cmp(left) <= 0 {
			continue
		}
		f := Finding{
			Code:    CodeQuota,
			Message: fmt.Sprintf("%s %s of %s, but the %s's quota %s has %s left", what, need.String(), name, side, q.Name, left.String()),
			Hint:    "ask an administrator to raise the quota of the " + side + " namespace, or migrate fewer objects",
		}
		if blocks {
			b.block(f)
		} else {
			b.warn(f)
		}
	}
}

// objectDemand counts the object itself, under both names that quotas have for it.
func objectDemand(item Item, d demand) {
	if item.Stage == StageVolume {
		return // counted by volumeDemand
	}
	name := item.Target.Resource
	if item.Target.Group != "" {
		d.count(corev1.ResourceName("count/"+name+"."+item.Target.Group), 1)
		return
	}
	d.count(corev1.ResourceName("count/"+name), 1)
	switch name {
	case "configmaps", "secrets", "services", "replicationcontrollers", "persistentvolumeclaims":
		d.count(corev1.ResourceName(name), 1)
	}
}

func volumeDemand(class string, size resource.Quantity, d demand) {
	d.count("persistentvolumeclaims", 1)
	d.count("count/persistentvolumeclaims", 1)
	d.add(corev1.ResourceRequestsStorage, size)
	if class != "" {
		prefix := corev1.ResourceName(class + ".storageclass.storage.k8s.io/")
		d.count(prefix+"persistentvolumeclaims", 1)
		d.add(prefix+"requests.storage", size)
	}
}

// podDemand adds the demand of the item's pods.
func (b *builder) podDemand(item Item, d demand) error {
	u, err := item.active()
	if err != nil {
		return err
	}
	spec := inventory.PodSpec(u)
	n := replicas(u)
	if spec == nil || n == 0 {
		return nil
	}
	typed := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, typed); err != nil {
		return fmt.Errorf("%s: its pod template: %w", item.Source, err)
	}
	podsDemand(d, n, podResources(typed, b.facts.LimitRanges.List))
	return nil
}

func times(q resource.Quantity, n int64) resource.Quantity {
	out := q.DeepCopy()
	out.Mul(n)
	return out
}

// replicas is the number of pods that the object runs at once; a DaemonSet counts
// one, because the number of its nodes is not known.
func replicas(u *unstructured.Unstructured) int64 {
	switch u.GroupVersionKind().GroupKind() {
	case kindPod, schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return 1
	case schema.GroupKind{Group: "batch", Kind: "CronJob"}:
		return 0
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
			return 0
		}
		return field(u, 1, "spec", "parallelism")
	}
	if strings.HasSuffix(u.GetKind(), "Template") {
		return 0
	}
	return field(u, 1, "spec", "replicas")
}

func field(u *unstructured.Unstructured, unset int64, path ...string) int64 {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if !found || err != nil {
		return unset
	}
	return n
}
