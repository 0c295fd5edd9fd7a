// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// installed are agents of a version, which the pods' label says, or their image's tag.
func installed(label, tag string) *appsv1.DaemonSet {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: deploy.DefaultNamespace, Name: deploy.AgentName}}
	if label != "" {
		ds.Spec.Template.Labels = map[string]string{deploy.VersionLabel: label}
	}
	ds.Spec.Template.Spec.Containers = []corev1.Container{{Name: deploy.AgentName, Image: "registry.example.com:5000/agent:" + tag}}
	ds.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, NumberAvailable: 3, UpdatedNumberScheduled: 3}
	return ds
}

func TestAgentsOfAnotherVersionFailTheCheckAndItIsSaidWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		agents *appsv1.DaemonSet
		want   Verdict
	}{
		"the same":                        {installed("v0.2.0", "v0.2.0"), OK},
		"the same, of a mirrored image":   {installed("v0.2.0", "mirrored"), OK},
		"the same, installed by GitOps":   {installed("", "v0.2.0"), OK},
		"older":                           {installed("v0.1.0", "v0.1.0"), Failed},
		"newer":                           {installed("v0.3.0", "v0.3.0"), Failed},
		"another one, installed by hand":  {installed("", "v0.1.0"), Failed},
		"the image's tag does not decide": {installed("v0.1.0", "v0.2.0"), Failed},
	} {
		t.Run(name, func(t *testing.T) {
			check := &Check{Version: "v0.2.0"}
			check.agents(t.Context(), &cluster.Cluster{Name: "west", Kube: fake.NewClientset(c.agents)})
			h := check.report.Hops[0]
			if h.Verdict != c.want {
				t.Errorf("%+v", h)
			}
			if c.want == Failed && (!strings.Contains(h.Message, "this plugin is v0.2.0") || !strings.Contains(h.Next, "kubectl motion agent upgrade")) {
				t.Errorf("it is not said which differ, or what to do: %+v", h)
			}
		})
	}
}

// brought are the definitions that this plugin brings, each changed by f.
func brought(t *testing.T, f func(*unstructured.Unstructured)) []runtime.Object {
	t.Helper()
	manifests, err := deploy.Manifests(deploy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out []runtime.Object
	for _, m := range manifests {
		if m.GetKind() == "CustomResourceDefinition" {
			f(m)
			out = append(out, m)
		}
	}
	return out
}

func TestDefinitionsOfAnotherVersionFailTheCheck(t *testing.T) {
	kinds := map[schema.GroupVersionResource]string{definitions: "CustomResourceDefinitionList"}
	for name, c := range map[string]struct {
		there []runtime.Object
		want  string // in the message; empty: ok
	}{
		"the same": {brought(t, func(m *unstructured.Unstructured) {
			// What the API server and others add is none of it.
			m.SetLabels(map[string]string{"team": "platform"})
			_ = unstructured.SetNestedField(m.Object, "None", "spec", "conversion", "strategy")
		}), ""},
		"one with another field": {brought(t, func(m *unstructured.Unstructured) {
			if m.GetName() != "migrations.kubectl-motion.dev" {
				return
			}
			versions, _, _ := unstructured.NestedSlice(m.Object, "spec", "versions")
			_ = unstructured.SetNestedField(versions[0].(map[string]any), "string", "schema", "openAPIV3Schema", "properties", "later", "type")
			_ = unstructured.SetNestedSlice(m.Object, versions, "spec", "versions")
		}), "migrations.kubectl-motion.dev"},
		"one that is missing": {brought(t, func(*unstructured.Unstructured) {})[1:], "clusterpairs.kubectl-motion.dev"},
	} {
		t.Run(name, func(t *testing.T) {
			check := &Check{}
			check.kinds(t.Context(), &cluster.Cluster{Name: "west", Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, c.there...)})
			h := check.report.Hops[0]
			if (h.Verdict == OK) != (c.want == "") || !strings.Contains(h.Message, c.want) {
				t.Errorf("%+v", h)
			}
			if c.want != "" && !strings.Contains(h.Next, "kubectl motion agent upgrade") {
				t.Errorf("it is not said what to do: %+v", h)
			}
		})
	}
}
