// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds with their own rules.
var (
	kindPod           = schema.GroupKind{Kind: "Pod"}
	kindService       = schema.GroupKind{Kind: "Service"}
	kindSecret        = schema.GroupKind{Kind: "Secret"}
	kindConfigMap     = schema.GroupKind{Kind: "ConfigMap"}
	kindClaim         = schema.GroupKind{Kind: "PersistentVolumeClaim"}
	kindEndpoints     = schema.GroupKind{Kind: "Endpoints"}
	kindSlice         = schema.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}
	kindAccount       = schema.GroupKind{Kind: "ServiceAccount"}
	kindQuota         = schema.GroupKind{Kind: "ResourceQuota"}
	kindDeployment    = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	kindReplicaSet    = schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}
	kindDaemonSet     = schema.GroupKind{Group: "apps", Kind: "DaemonSet"}
	kindReplication   = schema.GroupKind{Kind: "ReplicationController"}
	kindStatefulSet   = schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
	kindRevision      = schema.GroupKind{Group: "apps", Kind: "ControllerRevision"}
	kindJob           = schema.GroupKind{Group: "batch", Kind: "Job"}
	kindCronJob       = schema.GroupKind{Group: "batch", Kind: "CronJob"}
	kindIngress       = schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}
	kindAutoscaler    = schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}
	kindScaledObject  = schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}
	kindRole          = schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "Role"}
	kindRoleBinding   = schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}
	kindSnapshot      = schema.GroupKind{Group: "snapshot.storage.k8s.io", Kind: "VolumeSnapshot"}
	kindGroupSnapshot = schema.GroupKind{Group: "groupsnapshot.storage.k8s.io", Kind: "VolumeGroupSnapshot"}
	kindOldSnapshot   = schema.GroupKind{Group: "volumesnapshot.external-storage.k8s.io", Kind: "VolumeSnapshot"}
	kindOrder         = schema.GroupKind{Group: "acme.cert-manager.io", Kind: "Order"}
	kindChallenge     = schema.GroupKind{Group: "acme.cert-manager.io", Kind: "Challenge"}
	kindCertRequest   = schema.GroupKind{Group: "cert-manager.io", Kind: "CertificateRequest"}
)

// factsOf returns the fields of an object that its verdict depends on.
func factsOf(u *unstructured.Unstructured) facts {
	var f facts
	o := u.Object
	switch u.GroupVersionKind().GroupKind() {
	case kindSecret:
		f.secretType, _, _ = unstructured.NestedString(o, "type")
	case kindService:
		f.selector, f.hasSelector, _ = unstructured.NestedStringMap(o, "spec", "selector")
		f.hasSelector = f.hasSelector && len(f.selector) > 0
	case kindJob:
		f.finished = hasCondition(o, "Complete") || hasCondition(o, "Failed")
	case kindPod:
		f.phase, _, _ = unstructured.NestedString(o, "status", "phase")
		f.finished = f.phase == "Succeeded" || f.phase == "Failed"
	case kindClaim:
		f.phase, _, _ = unstructured.NestedString(o, "status", "phase")
		name, _, _ := unstructured.NestedString(o, "spec", "volumeName")
		f.claim = &claimFacts{volumeName: name}
	case kindEndpoints:
		f.targetRefs = endpointsHaveTargets(o)
	case kindRoleBinding:
		f.usersOnly = usersOnly(o)
	case kindStatefulSet:
		f.claimTemplates = claimTemplateNames(o)
	}
	if !BuiltIn(u.GroupVersionKind().Group) {
		f.final = finalStatus(o)
	}
	if spec := PodSpec(u); spec != nil {
		f.pod = podFactsOf(spec)
	}
	return f
}

func hasCondition(o map[string]any, kind string) bool {
	list, _, _ := unstructured.NestedSlice(o, "status", "conditions")
	return slices.ContainsFunc(list, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == kind && m["status"] == "True"
	})
}

func endpointsHaveTargets(o map[string]any) bool {
	for _, s := range elements(o, "subsets") {
		for _, field := range []string{"addresses", "notReadyAddresses"} {
			for _, a := range elements(s, field) {
				if _, found := a["targetRef"]; found {
					return true
				}
			}
		}
	}
	return false
}

// usersOnly is true when all subjects of a binding are users and groups. The groups
// and user names of ServiceAccounts count as ServiceAccounts.
func usersOnly(o map[string]any) bool {
	subjects := elements(o, "subjects")
	return len(subjects) > 0 && !slices.ContainsFunc(subjects, func(s map[string]any) bool {
		name, _ := s["name"].(string)
		return s["kind"] == kindAccount.Kind || strings.HasPrefix(name, "system:serviceaccount")
	})
}

func claimTemplateNames(o map[string]any) []string {
	var out []string
	for _, t := range elements(o, "spec", "volumeClaimTemplates") {
		if name, _, _ := unstructured.NestedString(t, "metadata", "name"); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// PodSpec returns the pod spec inside u: the spec of a Pod, or that of the template
// of a workload of any kind. It is nil for objects without one. The map is shared
// with u.
func PodSpec(u *unstructured.Unstructured) map[string]any {
	path := PodSpecPath(u)
	if path == nil {
		return nil
	}
	spec, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
	m, _ := spec.(map[string]any)
	return m
}

// PodSpecPath returns the path of the pod spec of u, nil when it has none. Custom
// resources have one at spec.template.spec.containers, as Argo Rollouts and OpenKruise
// sets do.
func PodSpecPath(u *unstructured.Unstructured) []string {
	var path []string
	switch u.GroupVersionKind().GroupKind() {
	case kindPod:
		path = []string{"spec"}
	case kindCronJob:
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	case schema.GroupKind{Kind: "PodTemplate"}:
		path = []string{"template", "spec"}
	default:
		path = []string{"spec", "template", "spec"}
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(u.Object, append(slices.Clone(path), "containers")...); !found {
		return nil
	}
	return path
}

func podFactsOf(spec map[string]any) *podFacts {
	p := &podFacts{}
	p.node, _ = spec["nodeName"].(string)
	for _, v := range elements(spec, "volumes") {
		name, _ := v["name"].(string)
		if _, found := v["ephemeral"]; found {
			p.ephemeral = append(p.ephemeral, name)
		}
		if claim, _, _ := unstructured.NestedString(v, "persistentVolumeClaim", "claimName"); claim != "" {
			p.claims = append(p.claims, claim)
		}
	}
	return p
}

// elements returns the elements of a list of objects, without copying them.
func elements(o map[string]any, path ...string) []map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	list, _ := v.([]any)
	out := make([]map[string]any, 0, len(list))
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
