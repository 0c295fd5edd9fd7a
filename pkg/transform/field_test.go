// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The cases of docs/field-cases.md about single objects.

func parsed(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace("shop")
	return u
}

func transformed(t *testing.T, text, target string) string {
	t.Helper()
	u, _, err := Object(parsed(t, text), shop(target))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestRepeatedKeysOfLists(t *testing.T) {
	pod := func(fields string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {" + fields + "}}}}"
	}
	for name, c := range map[string]struct{ fields, want, err string }{
		"host aliases are merged": {
			fields: "hostAliases: [{ip: 192.0.2.10, hostnames: [a, b]}, {ip: 192.0.2.11, hostnames: [c]}, {ip: 192.0.2.10, hostnames: [d]}], containers: [{name: a}]",
			want:   `[{"hostnames":["a","b","d"],"ip":"192.0.2.10"},{"hostnames":["c"],"ip":"192.0.2.11"}]`,
		},
		"a port with two names": {
			fields: "containers: [{name: app, ports: [{name: http, containerPort: 8080}, {name: metrics, containerPort: 8080}]}]",
			err:    "spec.template.spec.containers[app].ports has the port 8080/TCP twice (http, metrics)",
		},
		"the same port twice is one": {
			fields: "containers: [{name: app, ports: [{name: http, containerPort: 8080}, {name: http, containerPort: 8080}]}]",
			want:   `"ports":[{"containerPort":8080,"name":"http"}]`,
		},
		"a port with and without a name": {
			fields: "containers: [{name: app, ports: [{name: http, containerPort: 8080}, {containerPort: 8080, protocol: TCP}]}]",
			want:   `"ports":[{"containerPort":8080,"name":"http","protocol":"TCP"}]`,
		},
		"of environment variables the last one counts": {
			fields: "containers: [{name: app, env: [{name: A, value: one}, {name: A, value: two}]}]",
			want:   `"env":[{"name":"A","value":"two"}]`,
		},
		"an environment variable that extends itself": {
			fields: "containers: [{name: app, env: [{name: PATH, value: /bin}, {name: PATH, value: '$(PATH):/opt/bin'}]}]",
			err:    "env sets PATH twice",
		},
		"a variable between that uses the first value": {
			fields: "containers: [{name: app, env: [{name: A, value: x}, {name: B, value: '$(A)'}, {name: A, value: y}]}]",
			err:    "env sets A twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Object(parsed(t, pod(c.fields)), shop("shop"))
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
			default:
				if got := transformed(t, pod(c.fields), "shop"); !strings.Contains(got, c.want) {
					t.Errorf("%s does not have %s", got, c.want)
				}
			}
		})
	}
}

func TestDefaultsThatDependOnOtherFields(t *testing.T) {
	job := "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {backoffLimit: 6, %s template: {spec: {containers: [{name: a, image: %q, imagePullPolicy: %s}]}}}}"
	if got := transformed(t, fmt.Sprintf(job, "", "x:1", "Never"), "shop"); strings.Contains(got, "backoffLimit") {
		t.Errorf("the default backoffLimit is kept: %s", got)
	}
	if got := transformed(t, fmt.Sprintf(job, "backoffLimitPerIndex: 1, completionMode: Indexed,", "x:1", "Never"), "shop"); !strings.Contains(got, `"backoffLimit":6`) {
		t.Errorf("backoffLimit is lost, its default is another one with backoffLimitPerIndex: %s", got)
	}
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for image, policy := range map[string]string{
		"x": "Always", "x:latest": "Always", "x:1": "IfNotPresent", "x" + digest: "IfNotPresent", "x:1" + digest: "IfNotPresent",
		"x:latest" + digest: "Always", "host:5000/x": "Always", "host:5000/x:1": "IfNotPresent",
	} {
		if got := defaultPullPolicy(image); got != policy {
			t.Errorf("default pull policy of %s: %s, want %s", image, got, policy)
		}
	}
}

func TestNamesOfTheSourceNamespace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"the group of all ServiceAccounts": {
			"{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, subjects: [{kind: Group, name: 'system:serviceaccounts:shop'}]}",
			`"name":"system:serviceaccounts:red"`,
		},
		"a ServiceAccount as a user": {
			"{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, subjects: [{kind: User, name: 'system:serviceaccount:shop:robot'}, {kind: User, name: 'system:serviceaccount:other:robot'}]}",
			`[{"kind":"User","name":"system:serviceaccount:red:robot"},{"kind":"User","name":"system:serviceaccount:other:robot"}]`,
		},
		"expressions of a NetworkPolicy": {
			"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [monitoring, shop]}]}}]}]}}",
			`"values":["monitoring","red"]`,
		},
		"other expressions stay": {
			"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [shop]}]}}]}]}}",
			`"values":["shop"]`,
		},
		"a generated host of a Route": {
			"{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: a, annotations: {openshift.io/host.generated: 'true'}}, spec: {host: a-shop.apps.old.example.com, to: {name: a}}}",
			`"spec":{"to":{"name":"a"}}`,
		},
		"a chosen host of a Route stays": {
			"{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: a}, spec: {host: portal.example.com, to: {name: a}}}",
			`"host":"portal.example.com"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := transformed(t, c.text, "red"); !strings.Contains(got, c.want) {
				t.Errorf("%s does not have %s", got, c.want)
			}
		})
	}
}

func TestHelmManifestsFollowTheNamespace(t *testing.T) {
	const manifest = "---\n# Source: x\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: shop # here\n  labels:\n    namespace: shop\ndata:\n  namespace: shop\n---\nmetadata:\n    namespace: \"shop\"\n---\nmetadata:\n  namespace: other\n"
	const want = "---\n# Source: x\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: red # here\n  labels:\n    namespace: shop\ndata:\n  namespace: shop\n---\nmetadata:\n    namespace: \"red\"\n---\nmetadata:\n  namespace: other\n"
	raw, err := json.Marshal(map[string]any{
		"name": "shop", "namespace": "shop", "manifest": manifest, "hooks": []map[string]any{{"name": "h", "manifest": manifest}},
	})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := moveRelease(pack(raw), false, "shop", "red")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := unpack([]byte(moved))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Namespace, Manifest string
		Hooks               []struct{ Name, Manifest string }
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "red" || got.Manifest != want || len(got.Hooks) != 1 || got.Hooks[0].Manifest != want || got.Hooks[0].Name != "h" {
		t.Errorf("got %+v, want the manifest %q", got, want)
	}
}
