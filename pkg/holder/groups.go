// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Consumer is a pod of the application, running or not yet, and the claims it
// mounts.
type Consumer struct {
	Name      string
	Claims    []string
	Placement Placement
}

// ConsumersOfPods are the pods that reference claims now. Pods that ended do
// not count.
func ConsumersOfPods(pods []corev1.Pod) []Consumer {
	var out []Consumer
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.Labels[v1alpha1.LabelHolder] != "" {
			continue
		}
		if claims := claimsOf(&p.Spec); len(claims) > 0 {
			placement := PlacementOf(&p.Spec)
			placement.NodeName = p.Spec.NodeName
			out = append(out, Consumer{Name: p.Name, Claims: claims, Placement: placement})
		}
	}
	return out
}

// ConsumersOfWorkloads are the pods that workloads would make of their
// templates, whether they run or not: for claims whose application is stopped.
func ConsumersOfWorkloads(objects []*unstructured.Unstructured, claims []string) []Consumer {
	var out []Consumer
	for _, o := range objects {
		spec, ok := podSpec(o)
		if !ok {
			continue
		}
		if o.GetKind() == "StatefulSet" {
			out = append(out, replicasOf(o, spec, claims)...)
			continue
		}
		if used := claimsOf(spec); len(used) > 0 {
			out = append(out, Consumer{Name: o.GetName(), Claims: used, Placement: PlacementOf(spec)})
		}
	}
	return out
}

// Groups assigns every claim to one holder: those that an application's pod
// mounts together stay together; a claim that several pods mount goes with the
// first; one that nobody mounts gets a holder of its own.
func Groups(claims []string, consumers []Consumer) []Group {
	left := slices.Sorted(slices.Values(claims))
	var groups []Group
	for _, c := range consumers {
		var mine []string
		left = slices.DeleteFunc(left, func(claim string) bool {
			if slices.Contains(c.Claims, claim) {
				mine = append(mine, claim)
				return true
			}
			return false
		})
		if len(mine) > 0 {
			groups = append(groups, Group{Name: c.Name, Claims: mine, Placement: c.Placement})
		}
	}
	for _, claim := range left {
		groups = append(groups, Group{Name: claim, Claims: []string{claim}})
	}
	return groups
}

func claimsOf(spec *corev1.PodSpec) []string {
	var out []string
	for _, v := range spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			out = append(out, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return out
}

// replicasOf finds the claims of a StatefulSet's replicas among claims by the
// names that its controller gives them: <template>-<set>-<ordinal>. It looks at
// the claims that are there and not at spec.replicas, which is 0 at rest.
func replicasOf(o *unstructured.Unstructured, spec *corev1.PodSpec, claims []string) []Consumer {
	shared := claimsOf(spec)
	templates, _, _ := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
	byOrdinal := map[string][]string{}
	for _, t := range templates {
		m, ok := t.(map[string]any)
		if !ok {
			continue
		}
		name, _, _ := unstructured.NestedString(m, "metadata", "name")
		prefix := fmt.Sprintf("%s-%s-", name, o.GetName())
		for _, claim := range claims {
			if ordinal, ok := strings.CutPrefix(claim, prefix); ok && isOrdinal(ordinal) {
				byOrdinal[ordinal] = append(byOrdinal[ordinal], claim)
			}
		}
	}
	var out []Consumer
	for ordinal, mine := range byOrdinal {
		out = append(out, Consumer{
			Name: o.GetName() + "-" + ordinal, Claims: append(mine, shared...), Placement: PlacementOf(spec),
		})
	}
	if len(out) == 0 && len(shared) > 0 {
		out = append(out, Consumer{Name: o.GetName(), Claims: shared, Placement: PlacementOf(spec)})
	}
	slices.SortFunc(out, func(a, b Consumer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func isOrdinal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func podSpec(o *unstructured.Unstructured) (*corev1.PodSpec, bool) {
	path := []string{"spec", "template", "spec"}
	switch o.GetKind() {
	case "Pod":
		path = []string{"spec"}
	case "CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	m, found, err := unstructured.NestedMap(o.Object, path...)
	if err != nil || !found {
		return nil, false
	}
	spec := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, spec); err != nil {
		return nil, false
	}
	return spec, true
}
