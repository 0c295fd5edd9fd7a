// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// pod removes the fields that the source's scheduler, admission and kubelet set on a
// bare pod.
func (r *transformation) pod() {
	r.drop("set by the source's scheduler", false, "spec", "nodeName")
	r.drop("computed from the priority class", false, "spec", "priority")
	r.drop("set by the source's RuntimeClass", false, "spec", "overhead")
	r.drop("ephemeral containers cannot be created with a pod", true, "spec", "ephemeralContainers")
	if class, _, _ := unstructured.NestedString(r.o, "spec", "priorityClassName"); class != "" {
		r.drop("computed from the priority class", false, "spec", "preemptionPolicy")
	}
	spec := nested(r.o, "spec")
	dropEqual(spec, map[string]any{"preemptionPolicy": "PreemptLowerPriority", "serviceAccountName": "default", "serviceAccount": "default"})
	r.runtimeClass(spec)
	r.network()
	r.limitRanger(spec)
	r.injected(spec)
	r.tokenVolumes(spec)
	filter(spec, "tolerations", func(t map[string]any) bool {
		key, _ := t["key"].(string)
		secs, _ := t["tolerationSeconds"].(int64)
		return !(secs == 300 && (key == "node.kubernetes.io/not-ready" || key == "node.kubernetes.io/unreachable"))
	})
}

// runtimeClass removes the node selector and the tolerations that the RuntimeClass of
// the source added: the target's has its own.
func (r *transformation) runtimeClass(spec map[string]any) {
	name, _ := spec["runtimeClassName"].(string)
	class, found := r.opts.RuntimeClasses[name]
	if name == "" || !found {
		return
	}
	if selector := nested(spec, "nodeSelector"); selector != nil {
		for k, v := range class.NodeSelector {
			if selector[k] == v {
				delete(selector, k)
				r.note(Change{Path: "spec.nodeSelector." + k, From: v, Why: "set by the source's RuntimeClass"})
			}
		}
		dropEqual(spec, map[string]any{"nodeSelector": map[string]any{}})
	}
	filter(spec, "tolerations", func(t map[string]any) bool {
		set := slices.ContainsFunc(class.Tolerations, func(of map[string]any) bool { return reflect.DeepEqual(of, t) })
		if set {
			r.note(Change{Path: "spec.tolerations", From: short(t["key"]), Why: "set by the source's RuntimeClass"})
		}
		return !set
	})
}

// network removes the annotations in which network plugins and admission of the source
// keep the state of a running pod. Some plugins take an address in them for the pod's.
func (r *transformation) network() {
	annotations := r.u.GetAnnotations()
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if podState(k) {
			r.note(Change{Path: "metadata.annotations." + k, From: short(annotations[k]), Why: "state of the source's pod"})
			delete(annotations, k)
		}
	}
	if len(annotations) == 0 {
		annotations = nil
	}
	r.u.SetAnnotations(annotations)
}

func podState(key string) bool {
	switch key {
	case "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status",
		"cni.projectcalico.org/containerID", "cni.projectcalico.org/podIP", "cni.projectcalico.org/podIPs",
		"openshift.io/scc", "security.openshift.io/validated-scc-subject-type", "kubernetes.io/psp",
		"vpc.amazonaws.com/pod-eni", "vpc.amazonaws.com/pod-ips", "kubernetes.io/config.seen", "kubernetes.io/config.source", "kubernetes.io/config.hash":
		return true
	}
	return strings.HasPrefix(key, "k8s.ovn.org/") || strings.HasPrefix(key, "ovn.kubernetes.io/")
}

// limitRanger removes the resources that a LimitRange of the source set, as recorded
// in its annotation: the target's own LimitRange applies.
func (r *transformation) limitRanger(spec map[string]any) {
	const key = "kubernetes.io/limit-ranger"
	note, found := r.u.GetAnnotations()[key]
	if !found {
		return
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(note, "LimitRanger plugin set: "), "; ") {
		m := limitSet.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		field := "containers"
		if m[3] != "" {
			field = "initContainers"
		}
		for _, c := range elements(spec, field) {
			if c["name"] == m[4] {
				unset(c, m[2]+"s", strings.Split(m[1], ", "))
			}
		}
	}
	unstructured.RemoveNestedField(r.o, "metadata", "annotations", key)
	r.note(Change{Path: "spec.containers.resources", From: short(note), Why: "set by a LimitRange of the source"})
}

// limitSet matches the LimitRanger's text about one container: "cpu, memory request
// for container a".
var limitSet = regexp.MustCompile(`^(.+) (request|limit) for (init )?container (\S+)$`)

// unset removes resources from a container's requests or limits.
func unset(c map[string]any, field string, resources []string) {
	for _, name := range resources {
		unstructured.RemoveNestedField(c, "resources", field, name)
	}
	dropEqual(nested(c, "resources"), map[string]any{field: map[string]any{}})
}

// tokenVolumes removes the volume with the ServiceAccount's token, which every API
// server adds, from the pod and its containers.
func (r *transformation) tokenVolumes(spec map[string]any) {
	var names []string
	filter(spec, "volumes", func(v map[string]any) bool {
		name, _ := v["name"].(string)
		if !strings.HasPrefix(name, "kube-api-access-") {
			return true
		}
		names = append(names, name)
		r.note(Change{Path: "spec.volumes", From: name, Why: "added by the target's API server"})
		return false
	})
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range elements(spec, field) {
			filter(c, "volumeMounts", func(m map[string]any) bool {
				name, _ := m["name"].(string)
				return !slices.Contains(names, name)
			})
		}
	}
}

// injected removes the containers and volumes that Istio's webhook added and listed
// in its annotation.
func (r *transformation) injected(spec map[string]any) {
	const key = "sidecar.istio.io/status"
	var added struct{ InitContainers, Containers, Volumes, ImagePullSecrets []string }
	status, found := r.u.GetAnnotations()[key]
	if !found || json.Unmarshal([]byte(status), &added) != nil {
		return
	}
	for field, names := range map[string][]string{
		"initContainers": added.InitContainers, "containers": added.Containers,
		"volumes": added.Volumes, "imagePullSecrets": added.ImagePullSecrets,
	} {
		filter(spec, field, func(m map[string]any) bool {
			name, _ := m["name"].(string)
			return !slices.Contains(names, name)
		})
	}
	unstructured.RemoveNestedField(r.o, "metadata", "annotations", key)
	r.note(Change{Path: "spec.containers", From: strings.Join(added.Containers, ","), Why: "injected by Istio on the source", Notable: true})
}

// filter keeps the elements of a list for which keep returns true.
func filter(o map[string]any, field string, keep func(map[string]any) bool) {
	list, ok := o[field].([]any)
	if !ok {
		return
	}
	kept := make([]any, 0, len(list))
	for _, e := range list {
		if m, ok := e.(map[string]any); !ok || keep(m) {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		delete(o, field)
		return
	}
	o[field] = kept
}

// podTemplate applies the rules for pod specs: of a Pod, of a workload's template, of
// a custom resource with a pod template.
func (r *transformation) podTemplate() {
	path := inventory.PodSpecPath(r.u)
	if path == nil {
		return
	}
	if len(path) > 1 {
		unstructured.RemoveNestedField(r.o, append(slices.Clone(path[:len(path)-1]), "metadata", "creationTimestamp")...)
	}
	at := strings.Join(path, ".")
	spec := nested(r.o, path...)
	for _, field := range []string{"initContainers", "containers"} {
		for i, c := range elements(spec, field) {
			r.image(c, fmt.Sprintf("%s.%s[%d].image", at, field, i))
		}
	}
	for i, v := range elements(spec, "volumes") {
		if t := nested(v, "ephemeral", "volumeClaimTemplate"); t != nil {
			r.storageClass(t, fmt.Sprintf("%s.volumes[%d].ephemeral.volumeClaimTemplate.", at, i))
		}
	}
}

// image maps the image of a container by the longest prefix that ends at the end of
// the name, or before a /, : or @.
func (r *transformation) image(c map[string]any, at string) {
	image, _ := c["image"].(string)
	best := ""
	for old := range r.opts.Images {
		rest, found := strings.CutPrefix(image, old)
		if found && len(old) > len(best) && (rest == "" || strings.ContainsAny(rest[:1], "/:@") || strings.HasSuffix(old, "/")) {
			best = old
		}
	}
	if best == "" {
		return
	}
	c["image"] = r.opts.Images[best] + strings.TrimPrefix(image, best)
	r.note(Change{Path: at, From: image, To: c["image"].(string), Why: "--image", Notable: true})
}
