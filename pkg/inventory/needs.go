// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"cmp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// needsOf returns the objects that u references in fields of its API. Names inside
// other strings, as in environment variables, are ignored.
func needsOf(u *unstructured.Unstructured) []Need {
	n := &needs{}
	o := u.Object
	switch u.GroupVersionKind().GroupKind() {
	case kindStatefulSet:
		n.field(o, kindService, true, "spec", "serviceName")
	case kindIngress:
		n.ingress(o)
	case kindAutoscaler, kindScaledObject:
		n.scaleTarget(o)
	case kindRoleBinding:
		n.roleBinding(o)
	case kindAccount:
		for _, s := range elements(o, "imagePullSecrets") {
			n.field(s, kindSecret, true, "name")
		}
	case kindEndpoints:
		n.add(kindService, u.GetName(), "metadata.name", false)
	case kindSlice:
		n.add(kindService, u.GetLabels()["kubernetes.io/service-name"], "metadata.labels", false)
	}
	if spec := PodSpec(u); spec != nil {
		n.podSpec(spec)
	}
	return n.list
}

// needs collects references, each object once.
type needs struct{ list []Need }

func (n *needs) add(gk schema.GroupKind, name, path string, optional bool) {
	if name == "" {
		return
	}
	id := ID{gk.Group, gk.Kind, name}
	for i := range n.list {
		if n.list[i].ID == id {
			n.list[i].Optional = n.list[i].Optional && optional
			return
		}
	}
	n.list = append(n.list, Need{ID: id, Path: path, Optional: optional})
}

func (n *needs) field(o map[string]any, gk schema.GroupKind, optional bool, path ...string) {
	name, _, _ := unstructured.NestedString(o, path...)
	n.add(gk, name, dotted(path), optional)
}

func dotted(path []string) string {
	s := ""
	for i, p := range path {
		if i > 0 {
			s += "."
		}
		s += p
	}
	return s
}

func (n *needs) ingress(o map[string]any) {
	n.field(o, kindService, false, "spec", "defaultBackend", "service", "name")
	for _, rule := range elements(o, "spec", "rules") {
		for _, p := range elements(rule, "http", "paths") {
			name, _, _ := unstructured.NestedString(p, "backend", "service", "name")
			n.add(kindService, name, "spec.rules.http.paths.backend.service.name", false)
		}
	}
	for _, tls := range elements(o, "spec", "tls") {
		name, _, _ := unstructured.NestedString(tls, "secretName")
		n.add(kindSecret, name, "spec.tls.secretName", true)
	}
}

// PathScaleTarget is the Need.Path of an autoscaler for what it scales.
const PathScaleTarget = "spec.scaleTargetRef"

func (n *needs) scaleTarget(o map[string]any) {
	ref, _, _ := unstructured.NestedStringMap(o, "spec", "scaleTargetRef")
	// Both are optional for KEDA.
	version, kind := cmp.Or(ref["apiVersion"], "apps/v1"), cmp.Or(ref["kind"], "Deployment")
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return
	}
	n.add(schema.GroupKind{Group: gv.Group, Kind: kind}, ref["name"], PathScaleTarget, false)
}

func (n *needs) roleBinding(o map[string]any) {
	if kind, _, _ := unstructured.NestedString(o, "roleRef", "kind"); kind == kindRole.Kind {
		n.field(o, kindRole, false, "roleRef", "name")
	}
	ns, _, _ := unstructured.NestedString(o, "metadata", "namespace")
	for _, s := range elements(o, "subjects") {
		if s["kind"] == kindAccount.Kind && s["namespace"] == ns {
			name, _ := s["name"].(string)
			n.add(kindAccount, name, "subjects.name", true)
		}
	}
}

func (n *needs) podSpec(spec map[string]any) {
	n.field(spec, kindAccount, false, "serviceAccountName")
	for _, s := range elements(spec, "imagePullSecrets") {
		name, _ := s["name"].(string)
		n.add(kindSecret, name, "imagePullSecrets.name", true)
	}
	for _, v := range elements(spec, "volumes") {
		n.volume(v)
	}
	for _, field := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range elements(spec, field) {
			n.container(field, c)
		}
	}
}

func (n *needs) volume(v map[string]any) {
	n.source(v, kindClaim, "volumes.persistentVolumeClaim", "claimName", "persistentVolumeClaim")
	n.source(v, kindSecret, "volumes.secret", "secretName", "secret")
	n.source(v, kindConfigMap, "volumes.configMap", "name", "configMap")
	for _, p := range elements(v, "projected", "sources") {
		n.source(p, kindSecret, "volumes.projected.sources.secret", "name", "secret")
		n.source(p, kindConfigMap, "volumes.projected.sources.configMap", "name", "configMap")
	}
	n.source(v, kindSecret, "volumes.csi.nodePublishSecretRef", "name", "csi", "nodePublishSecretRef")
	n.source(v, kindSecret, "volumes.azureFile", "secretName", "azureFile")
	for _, driver := range []string{"cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"} {
		n.source(v, kindSecret, "volumes."+driver+".secretRef", "name", driver, "secretRef")
	}
}

// source reads name (and optional) from the object at path of v.
func (n *needs) source(v map[string]any, gk schema.GroupKind, at, field string, path ...string) {
	m, found, _ := unstructured.NestedFieldNoCopy(v, path...)
	s, ok := m.(map[string]any)
	if !found || !ok {
		return
	}
	name, _ := s[field].(string)
	optional, _ := s["optional"].(bool)
	n.add(gk, name, at+"."+field, optional)
}

func (n *needs) container(field string, c map[string]any) {
	for _, e := range elements(c, "env") {
		n.source(e, kindSecret, field+".env.valueFrom.secretKeyRef", "name", "valueFrom", "secretKeyRef")
		n.source(e, kindConfigMap, field+".env.valueFrom.configMapKeyRef", "name", "valueFrom", "configMapKeyRef")
	}
	for _, e := range elements(c, "envFrom") {
		n.source(e, kindSecret, field+".envFrom.secretRef", "name", "secretRef")
		n.source(e, kindConfigMap, field+".envFrom.configMapRef", "name", "configMapRef")
	}
}
