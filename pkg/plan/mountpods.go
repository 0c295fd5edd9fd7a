// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
)

// mountPods blocks when a LimitRange of either namespace rejects the mount pods.
func (b *builder) mountPods() {
	if len(b.volumes) == 0 {
		return
	}
	b.mountPodLimits(b.facts.SourceLimitRanges.List, b.facts.SourceMountPod, sideSource)
	b.mountPodLimits(b.facts.LimitRanges.List, b.facts.MountPod, sideTarget)
}

func (b *builder) mountPodLimits(ranges []corev1.LimitRange, policy *corev1.ResourceRequirements, side string) {
	for _, l := range ranges {
		problem := ""
		for _, r := range mountPodResources(policy) {
			if problem = limitProblem(l, withDefaults(r, ranges)); problem == "" {
				break
			}
		}
		if problem == "" {
			continue
		}
		b.block(Finding{
			Code:    CodeMountPodDenied,
			Message: fmt.Sprintf("the LimitRange %s of the %s namespace rejects the mount pods of the volumes: %s", l.Name, side, problem),
			Hint:    "ask an administrator to set spec.mountPodTemplate.resources of the MotionPolicy on the " + side + " within the limits: kubectl edit motionpolicy",
		})
	}
}

// mountPodResources are the resources that mount pods are created with, one after the
// other until one is accepted: those of the policy, or the default without and with a
// limit of the CPU.
func mountPodResources(policy *corev1.ResourceRequirements) []corev1.ResourceRequirements {
	if policy != nil {
		return []corev1.ResourceRequirements{*policy}
	}
	full := mountpod.Resources()
	unlimited := *full.DeepCopy()
	delete(unlimited.Limits, corev1.ResourceCPU)
	return []corev1.ResourceRequirements{unlimited, full}
}

// limitProblem returns why the LimitRange rejects a pod with one container with the
// resources r, or "".
func limitProblem(l corev1.LimitRange, r corev1.ResourceRequirements) string {
	for _, item := range l.Spec.Limits {
		if item.Type != corev1.LimitTypeContainer && item.Type != corev1.LimitTypePod {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(item.Min)) {
			least, request, limit := item.Min[name], r.Requests[name], r.Limits[name]
			if request.Cmp(least) < 0 || !limit.IsZero() && limit.Cmp(least) < 0 {
				return fmt.Sprintf("minimum %s per %s is %s, they request %s", name, item.Type, least.String(), request.String())
			}
		}
		for _, name := range slices.Sorted(maps.Keys(item.Max)) {
			most, request, limit := item.Max[name], r.Requests[name], r.Limits[name]
			if request.Cmp(most) > 0 || limit.Cmp(most) > 0 {
				return fmt.Sprintf("maximum %s per %s is %s, they request %s with a limit of %s", name, item.Type, most.String(), request.String(), limit.String())
			}
		}
		for _, name := range slices.Sorted(maps.Keys(item.MaxLimitRequestRatio)) {
			ratio, request, limit := item.MaxLimitRequestRatio[name], r.Requests[name], r.Limits[name]
			if exceeds(limit, request, ratio) {
				return fmt.Sprintf("maximum ratio of limit and request of %s per %s is %s, they request %s with a limit of %s",
					name, item.Type, ratio.String(), request.String(), limit.String())
			}
		}
	}
	return ""
}

// exceeds is true when limit is more than ratio times request, or one is missing.
func exceeds(limit, request, ratio resource.Quantity) bool {
	return request.IsZero() || limit.IsZero() || limit.AsApproximateFloat64()/request.AsApproximateFloat64() > ratio.AsApproximateFloat64()
}
