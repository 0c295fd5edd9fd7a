// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

func newVolume(item Item, before, after *unstructured.Unstructured) (Volume, error) {
	was, err := toClaim(before)
	if err != nil {
		return Volume{}, err
	}
	will, err := toClaim(after)
	if err != nil {
		return Volume{}, err
	}
	v := Volume{
		Claim: was.Name, UID: was.UID, TargetClaim: will.Name,
		Requested:     was.Spec.Resources.Requests[corev1.ResourceStorage],
		Capacity:      was.Status.Capacity[corev1.ResourceStorage],
		TargetRequest: will.Spec.Resources.Requests[corev1.ResourceStorage],
		StorageClass:  deref(was.Spec.StorageClassName),
		TargetClass:   deref(will.Spec.StorageClassName),
		AccessModes:   was.Spec.AccessModes,
		VolumeMode:    corev1.PersistentVolumeFilesystem,
		VolumeName:    was.Spec.VolumeName,
		ref:           *item.Target,
		json:          item.json,
	}
	if was.Spec.VolumeMode != nil {
		v.VolumeMode = *was.Spec.VolumeMode
	}
	return v, nil
}

// adopt takes class and size of the target's PVC of an earlier run.
func (v *Volume) adopt(s TargetState) {
	if s.Live == nil {
		return
	}
	v.OnTarget = true
	if !s.Changed {
		v.same = s.Live.ResourceVersion
	}
	if s.Live.Class != nil {
		v.TargetClass = *s.Live.Class
	}
	if v.TargetRequest.Cmp(s.Live.Request) < 0 {
		v.TargetRequest = s.Live.Request
	}
	if s.fitted != nil {
		v.json = s.fitted
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func toClaim(u *unstructured.Unstructured) (*corev1.PersistentVolumeClaim, error) {
	c := &corev1.PersistentVolumeClaim{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, c); err != nil {
		return nil, fmt.Errorf("persistentvolumeclaim/%s: %w", u.GetName(), err)
	}
	return c, nil
}

// grouper assigns every volume to one group: by the pods that mount them, then by
// the templates of workloads without pods, then alone.
type grouper struct {
	d      *Draft
	free   map[string]bool
	items  map[inventory.Ref]Item
	groups []Group
}

func (d *Draft) groups() ([]Group, error) {
	g := &grouper{d: d, free: map[string]bool{}, items: map[inventory.Ref]Item{}}
	for _, i := range d.items {
		if i.Target != nil {
			g.items[i.Source] = i
		}
	}
	for _, v := range d.volumes {
		g.free[v.Claim] = true
	}
	for _, o := range d.inv.Objects {
		if o.Ref.GroupKind() == (schema.GroupKind{Kind: "Pod"}) && o.Reason != inventory.ReasonMotionInternal {
			if err := g.pod(o); err != nil {
				return nil, err
			}
		}
	}
	for _, v := range d.volumes {
		if err := g.unmounted(v); err != nil {
			return nil, err
		}
	}
	return g.groups, nil
}

// take returns those of claims that have no group yet, and marks them.
func (g *grouper) take(claims []string) []string {
	var out []string
	for _, c := range claims {
		if g.free[c] {
			delete(g.free, c)
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}

func (g *grouper) pod(o *inventory.Object) error {
	claims := g.take(o.Claims())
	if len(claims) == 0 {
		return nil
	}
	node, err := nodeOf(o)
	if err != nil {
		return err
	}
	group := Group{Name: o.Ref.Name, Claims: claims, Pod: o.Ref.Name, Node: node}
	if err := g.template(&group, g.d.inv.Root(o)); err != nil {
		return err
	}
	if group.Template == nil {
		// The root is a custom resource without a pod template: the pod is the template.
		err = g.template(&group, o)
	}
	g.groups = append(g.groups, group)
	return err
}

func nodeOf(o *inventory.Object) (string, error) {
	u, err := o.Unstructured()
	if err != nil {
		return "", err
	}
	node, _, _ := unstructured.NestedString(u.Object, "spec", "nodeName")
	return node, nil
}

// unmounted groups a volume that no pod mounts: with the PVCs of the same ordinal of
// its StatefulSet, or with those of the same pod template.
func (g *grouper) unmounted(v Volume) error {
	if !g.free[v.Claim] {
		return nil
	}
	group := Group{Name: v.Claim}
	var root *inventory.Object
	claims := []string{v.Claim}
	if len(v.Workloads) > 0 {
		if root = g.d.inv.Find(v.Workloads[0].ID()); root != nil {
			claims = append(claims, g.mountedWith(root, v.Claim)...)
		}
	}
	group.Claims = g.take(claims)
	if root != nil {
		if err := g.template(&group, root); err != nil {
			return err
		}
	}
	g.groups = append(g.groups, group)
	return nil
}

// mountedWith returns the PVCs that a pod of root mounts beside claim.
func (g *grouper) mountedWith(root *inventory.Object, claim string) []string {
	out := slices.Clone(root.Claims())
	template := root.Template(claim)
	if template == "" {
		return out
	}
	ordinal := claim[len(template):]
	for _, v := range g.d.volumes {
		if t := root.Template(v.Claim); t != "" && v.Claim[len(t):] == ordinal {
			out = append(out, v.Claim)
		}
	}
	return out
}

// template sets the pod spec of the object as it will be on the target. For an object
// that is not migrated on its own it is the source's.
func (g *grouper) template(group *Group, o *inventory.Object) error {
	ref := o.Ref
	group.Workload = &ref
	u, err := g.written(o)
	if err != nil {
		return err
	}
	spec := inventory.PodSpec(u)
	if spec == nil {
		return nil
	}
	group.Template = &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, group.Template); err != nil {
		return fmt.Errorf("%s: its pod template: %w", o.Ref, err)
	}
	path := inventory.PodSpecPath(u)
	group.Labels, _, _ = unstructured.NestedStringMap(u.Object, append(slices.Clone(path[:len(path)-1]), "metadata", "labels")...)
	return nil
}

// written returns the object as it will run on the target.
func (g *grouper) written(o *inventory.Object) (*unstructured.Unstructured, error) {
	item, found := g.items[o.Ref]
	if !found {
		return o.Unstructured()
	}
	u, err := item.Object()
	if err != nil {
		return nil, err
	}
	// A DaemonSet on standby has a node selector that matches no node.
	if was, found := u.GetAnnotations()[v1alpha1.AnnotationOriginalState]; found {
		err = workload.Activate(u, []byte(was))
	}
	return u, err
}
