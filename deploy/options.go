// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"net"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

// Patches of the agents' DaemonSet.
const (
	blockFile    = "block/agent.yaml"
	preserveFile = "preserve/agent.yaml"
)

// HasPreserve reports whether an agent's container was installed with
// Options.PreserveSpecialFiles.
func HasPreserve(c *corev1.Container) bool {
	return c.Name == AgentName && c.SecurityContext != nil && c.SecurityContext.Capabilities != nil &&
		slices.Contains(c.SecurityContext.Capabilities.Add, "SYS_ADMIN")
}

// patchAgent patches the agents' DaemonSet as kustomize does.
func patchAgent(agent *unstructured.Unstructured, file string) error {
	patch, err := read(file)
	if err != nil {
		return err
	}
	if agent.GetKind() != "DaemonSet" || len(patch) != 1 {
		return fmt.Errorf("not a patch of %s %s", agent.GetKind(), agent.GetName())
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(appsv1.DaemonSet{})
	if err != nil {
		return err
	}
	agent.Object, err = strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(agent.Object, patch[0].Object, meta)
	return err
}

// apply replaces the defaults in the files by the options' values.
func (o Options) apply(obj *unstructured.Unstructured) error {
	if obj.GetNamespace() == DefaultNamespace {
		obj.SetNamespace(o.Namespace)
	}
	switch obj.GetKind() {
	case "Namespace":
		obj.SetName(o.Namespace)
	case "RoleBinding", "ClusterRoleBinding":
		if obj.GetName() == RelayRole {
			return o.applyToRelayUsers(obj)
		}
		return eachIn(obj, func(subject map[string]any) {
			if subject["namespace"] == DefaultNamespace {
				subject["namespace"] = o.Namespace
			}
		}, "subjects")
	case "ValidatingAdmissionPolicy":
		return o.applyToPolicy(obj)
	case "Service":
		return o.applyToService(obj)
	case "StatefulSet":
		return eachIn(obj, func(container map[string]any) {
			container["image"] = o.AgentImage
		}, "spec", "template", "spec", "containers")
	case "CronJob":
		return eachIn(obj, func(container map[string]any) {
			container["image"] = o.AgentImage
		}, "spec", "jobTemplate", "spec", "template", "spec", "containers")
	case "DaemonSet":
		return o.applyToAgent(obj)
	}
	return nil
}

// applyToPolicy names our ServiceAccounts by the agents' namespace.
func (o Options) applyToPolicy(obj *unstructured.Unstructured) error {
	const prefix = "system:serviceaccount:"
	for _, field := range []string{"variables", "matchConditions"} {
		if _, found, _ := unstructured.NestedSlice(obj.Object, "spec", field); !found {
			continue
		}
		err := eachIn(obj, func(m map[string]any) {
			if text, ok := m["expression"].(string); ok {
				m["expression"] = strings.ReplaceAll(text, prefix+DefaultNamespace+":", prefix+o.Namespace+":")
			}
		}, "spec", field)
		if err != nil {
			return err
		}
	}
	return nil
}

// applyToService sets how other clusters reach the agents.
func (o Options) applyToService(obj *unstructured.Unstructured) error {
	for _, e := range o.Endpoints {
		if _, _, err := net.SplitHostPort(e); err != nil || strings.ContainsAny(e, ", ") {
			return fmt.Errorf("invalid endpoint %q: must be host:port", e)
		}
	}
	if len(o.Endpoints) > 0 {
		annotations := obj.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1alpha1.AnnotationEndpoints] = strings.Join(o.Endpoints, ",")
		obj.SetAnnotations(annotations)
	}
	if o.LoadBalancer {
		return unstructured.SetNestedField(obj.Object, "LoadBalancer", "spec", "type")
	}
	return nil
}

// applyToRelayUsers sets the groups that may reach the relay.
func (o Options) applyToRelayUsers(obj *unstructured.Unstructured) error {
	if len(o.RelayGroups) == 0 {
		return nil
	}
	var subjects []any
	for _, g := range o.RelayGroups {
		subjects = append(subjects, map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": g})
	}
	return unstructured.SetNestedSlice(obj.Object, subjects, "subjects")
}

func (o Options) applyToAgent(obj *unstructured.Unstructured) error {
	err := unstructured.SetNestedField(obj.Object, version.Get().Version, "spec", "template", "metadata", "labels", VersionLabel)
	if err != nil {
		return err
	}
	err = eachIn(obj, func(container map[string]any) {
		container["image"] = o.AgentImage
	}, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	return eachIn(obj, func(volume map[string]any) {
		host, ok := volume["hostPath"].(map[string]any)
		if !ok {
			return
		}
		if p, ok := host["path"].(string); ok && strings.HasPrefix(p, DefaultKubeletRoot+"/") {
			host["path"] = o.KubeletRoot + strings.TrimPrefix(p, DefaultKubeletRoot)
		}
	}, "spec", "template", "spec", "volumes")
}

// eachIn changes the members of a list of objects.
func eachIn(obj *unstructured.Unstructured, change func(map[string]any), fields ...string) error {
	list, found, err := unstructured.NestedSlice(obj.Object, fields...)
	if err != nil || !found {
		return fmt.Errorf("%s must be a list: %w", strings.Join(fields, "."), err)
	}
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			change(m)
		}
	}
	return unstructured.SetNestedSlice(obj.Object, list, fields...)
}
