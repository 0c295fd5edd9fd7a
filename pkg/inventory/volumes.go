// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PodUse is a pod that references a PVC.
type PodUse struct {
	Pod string `json:"pod"`
	// Node is empty while the pod is not scheduled.
	Node string `json:"node,omitempty"`
	// Running is false for a finished pod.
	Running bool `json:"running"`
}

// Claims returns the PersistentVolumeClaims of the inventory.
func (inv *Inventory) Claims() []*Object {
	var out []*Object
	for _, o := range inv.Objects {
		if o.Ref.GroupKind() == kindClaim {
			out = append(out, o)
		}
	}
	return out
}

// Users returns the pods that reference the PVC now, and the workloads (at the top of
// ownership) that use it, with or without pods.
func (inv *Inventory) Users(claim string) (pods []PodUse, workloads []Ref) {
	add := func(o *Object) {
		if r := inv.Root(o).Ref; !slices.Contains(workloads, r) {
			workloads = append(workloads, r)
		}
	}
	for _, o := range inv.users[claim] {
		add(o)
		if o.Ref.GroupKind() == kindPod {
			pods = append(pods, PodUse{Pod: o.Ref.Name, Node: o.facts.pod.node, Running: !o.facts.finished})
		}
	}
	for _, set := range inv.sets {
		if templateOf(set, claim) != "" {
			add(set)
		}
	}
	slices.SortFunc(workloads, Ref.Compare)
	return pods, workloads
}

// claimsOf returns the PVCs that were created from the templates of a StatefulSet,
// including those beyond its current replicas.
func (inv *Inventory) claimsOf(set *Object) []*Object {
	var out []*Object
	for _, c := range inv.Claims() {
		if templateOf(set, c.Ref.Name) != "" {
			out = append(out, c)
		}
	}
	return out
}

// templateOf returns the volume claim template of the StatefulSet that the PVC was
// created from, by its name: <template>-<set>-<ordinal>.
func templateOf(set *Object, claim string) string {
	for _, t := range set.facts.claimTemplates {
		ordinal, found := strings.CutPrefix(claim, t+"-"+set.Ref.Name+"-")
		if n, err := strconv.Atoi(ordinal); found && err == nil && n >= 0 {
			return t
		}
	}
	return ""
}

// Claims returns the names of the PVCs that the object's pods reference.
func (o *Object) Claims() []string {
	if o.facts.pod == nil {
		return nil
	}
	return o.facts.pod.claims
}

// VolumeName returns the name of the PersistentVolume that the PVC is bound to, or "".
func (o *Object) VolumeName() string {
	if o.facts.claim == nil {
		return ""
	}
	return o.facts.claim.volumeName
}

// Template returns the name of the volume claim template of the StatefulSet o that the
// PVC was created from, or "".
func (o *Object) Template(claim string) string { return templateOf(o, claim) }

// RunsPods is true when o owns pods or workloads, directly or not.
func (inv *Inventory) RunsPods(o *Object) bool { return inv.running[o] }

// AsksForVolumes is true when o is a PVC or has templates of PVCs.
func (o *Object) AsksForVolumes() bool {
	return o.Ref.GroupKind() == kindClaim || len(o.facts.claimTemplates) > 0 ||
		o.facts.pod != nil && len(o.facts.pod.ephemeral) > 0
}

// ClaimTemplates returns the templates of PVCs in u: the volume claim templates of a
// StatefulSet and those of ephemeral volumes. The maps are shared with u.
func ClaimTemplates(u *unstructured.Unstructured) []map[string]any {
	out := elements(u.Object, "spec", "volumeClaimTemplates")
	for _, v := range elements(PodSpec(u), "volumes") {
		t, _, _ := unstructured.NestedFieldNoCopy(v, "ephemeral", "volumeClaimTemplate")
		if m, ok := t.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// RunsPods is true when the object is a pod or has a pod template.
func (o *Object) RunsPods() bool { return o.facts.pod != nil }
