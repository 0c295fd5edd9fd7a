// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podResources are the requests and limits of a pod as the scheduler and quotas count
// them: containers and native sidecars together, at least the largest ordinary init
// container together with the sidecars before it, plus overhead; pod-level resources
// replace the sum. Missing values are the defaults of the LimitRanges.
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
func podResources(spec *corev1.PodSpec, ranges []corev1.LimitRange) corev1.ResourceRequirements {
	pick := func(of func(corev1.ResourceRequirements) corev1.ResourceList) corev1.ResourceList {
		sum := corev1.ResourceList{}
		for _, c := range spec.Containers {
			addAll(sum, of(withDefaults(c.Resources, ranges)))
		}
		sidecars, peak := corev1.ResourceList{}, corev1.ResourceList{}
		for _, c := range spec.InitContainers {
			list := of(withDefaults(c.Resources, ranges))
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				addAll(sum, list)
				addAll(sidecars, list)
				continue
			}
			during := sidecars.DeepCopy()
			addAll(during, list)
			raise(peak, during)
		}
		raise(sum, peak)
		if spec.Resources != nil {
			maps.Copy(sum, of(*spec.Resources))
		}
		return sum
	}
	out := corev1.ResourceRequirements{
		Requests: pick(func(r corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }),
		Limits:   pick(func(r corev1.ResourceRequirements) corev1.ResourceList { return r.Limits }),
	}
	for name, q := range spec.Overhead {
		addTo(out.Requests, name, q)
		if _, limited := out.Limits[name]; limited {
			addTo(out.Limits, name, q)
		}
	}
	return out
}

// withDefaults returns the resources of a container as they are after admission: a
// missing request is the limit, and what is still missing comes from LimitRanges.
func withDefaults(r corev1.ResourceRequirements, ranges []corev1.LimitRange) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	maps.Copy(out.Requests, r.Requests)
	maps.Copy(out.Limits, r.Limits)
	fill(out.Requests, r.Limits)
	for _, l := range ranges {
		for _, item := range l.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				fill(out.Limits, item.Default)
				fill(out.Requests, item.DefaultRequest)
			}
		}
	}
	return out
}

// fill sets the values that into does not have.
func fill(into, from corev1.ResourceList) {
	for name, q := range from {
		if _, set := into[name]; !set {
			into[name] = q
		}
	}
}

func addTo(sum corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	total := sum[name].DeepCopy()
	total.Add(q)
	sum[name] = total
}

func addAll(sum, list corev1.ResourceList) {
	for name, q := range list {
		addTo(sum, name, q)
	}
}

// raise sets every value of sum to at least that of floor.
func raise(sum, floor corev1.ResourceList) {
	for name, q := range floor {
		if have, found := sum[name]; !found || have.Cmp(q) < 0 {
			sum[name] = q
		}
	}
}
