// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func yamlObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

const liveDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  uid: u
  labels: {x: "y", theirs: "1"}
  managedFields:
  - manager: kube-controller-manager
    operation: Update
    apiVersion: apps/v1
    fieldsType: FieldsV1
    fieldsV1: {"f:status": {}}
  - manager: kubectl-motion
    operation: Apply
    apiVersion: apps/v1
    fieldsType: FieldsV1
    fieldsV1: {"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
      "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}
spec:
  replicas: 0
  revisionHistoryLimit: 10
  template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, protocol: TCP}], terminationMessagePath: /x}]}}`

func TestWhatIsProvablyTheSameIsNotAsked(t *testing.T) {
	const head = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {x: \"y\"}}, spec: "
	for name, c := range map[string]struct {
		sent string
		want bool
	}{
		"just what was applied":               {head + "{replicas: 0, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", true},
		"another value":                       {head + "{replicas: 0, template: {spec: {containers: [{name: c, image: j, ports: [{containerPort: 80}]}]}}}}", false},
		"one field more":                      {head + "{paused: true, replicas: 0, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", false},
		"a field less, which we own":          {head + "{template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", false},
		"a port less, which we own":           {head + "{replicas: 0, template: {spec: {containers: [{name: c, image: i}]}}}}", false},
		"one container more":                  {head + "{replicas: 0, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}, {name: d}]}}}}", false},
		"a label less, which we own":          {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 0, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", false},
		"another version than was applied":    {"{apiVersion: apps/v2, kind: Deployment, metadata: {name: a, labels: {x: \"y\"}}, spec: {replicas: 0, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", false},
		"a value that the server gave itself": {head + "{replicas: 0, revisionHistoryLimit: 10, template: {spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}}}", true},
	} {
		if got := provablySame(yamlObject(t, c.sent), yamlObject(t, liveDeployment)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	handed := yamlObject(t, liveDeployment)
	handed.SetManagedFields(handed.GetManagedFields()[:1])
	if provablySame(yamlObject(t, head+"{replicas: 0}}"), handed) {
		t.Error("nothing is ours any more, and nobody asks the server")
	}
}
