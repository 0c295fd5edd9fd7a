// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
)

func shop(target string) Options {
	return Options{Source: ref.Namespace{ClusterID: "cluster-a", Namespace: "shop"}, Target: ref.Namespace{ClusterID: "cluster-b", Namespace: target}}
}

func TestAHelmReleaseFollowsItsNamespace(t *testing.T) {
	doc := `{"name":"web","info":{"first_deployed":"2020"},"version":1234567890123456789,"namespace":"shop","manifest":"kind: X"}`
	for _, kind := range []string{"Secret", "ConfigMap"} {
		packed := pack([]byte(doc))
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: r, namespace: shop, labels: {owner: helm}}\ndata: {release: " + packed + "}"
		if kind == "Secret" {
			moved, err := moveRelease(encode(packed), true, "nowhere", "else")
			if err != nil || moved != encode(packed) {
				t.Fatalf("a release of another namespace was changed: %v", err)
			}
			text = "apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata: {name: r, namespace: shop}\ndata: {release: " + encode(packed) + "}"
		}
		u, changes, err := Object(decode(t, []byte(text)), shop("other"))
		if err != nil {
			t.Fatal(err)
		}
		got, _, _ := unstructured.NestedString(u.Object, "data", "release")
		if kind == "Secret" {
			got = decodeBase64(t, got)
		}
		out, err := unpack([]byte(got))
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal([]byte(doc), &before), json.Unmarshal(out, &after)); err != nil {
			t.Fatal(err)
		}
		if string(after["namespace"]) != `"other"` || string(after["version"]) != string(before["version"]) || string(after["manifest"]) != string(before["manifest"]) {
			t.Errorf("%s: %s", kind, out)
		}
		if !hasNotable(changes, "data.release") {
			t.Errorf("%s: nobody is told: %v", kind, changes)
		}
		same, _, err := Object(decode(t, []byte(text)), shop("shop"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := unstructured.NestedString(same.Object, "data", "release"); !strings.Contains(text, got) {
			t.Errorf("%s: changed although the namespace is the same", kind)
		}
	}
}

func TestAHelmReleaseThatDoesNotUnpackIsSaid(t *testing.T) {
	u, changes, err := Object(decode(t, []byte("apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata: {name: r, namespace: shop}\ndata: {release: bm90IGd6aXA=}")), shop("other"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(u.Object, "data", "release"); got != "bm90IGd6aXA=" || !hasNotable(changes, "data.release") {
		t.Errorf("%v %v", u.Object, changes)
	}
}

func hasNotable(changes []Change, path string) bool {
	for _, c := range changes {
		if c.Path == path && c.Notable {
			return true
		}
	}
	return false
}

func TestServiceNamesAreRecognisedAndNothingElse(t *testing.T) {
	services := map[string]bool{"db": true, "web": true}
	for text, want := range map[string]string{
		"http://web.shop.svc.cluster.local:80/": "web.shop.svc",
		"db.shop:5432":                          "db.shop",
		"postgres://u@db.shop/app":              "db.shop",
		"unknown.shop.svc":                      "unknown.shop.svc",
		"x.db.shop.svc":                         "db.shop.svc",
		"unknown.shop":                          "",
		"db.shop.example.com":                   "",
		"db.shopping":                           "",
		"shop":                                  "",
		".shop.svc":                             "",
		"db.shop-2 web.shop":                    "web.shop",
	} {
		if got := serviceName(text, "shop", services); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestPatchesAreReadInEveryForm(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, labels: {app: web}}\nspec: {replicas: 1, template: {spec: {containers: [{name: a, image: x}, {name: b, image: y}]}}}"
	widget := "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: web, namespace: shop}\nspec: {parts: [a, b], size: 1}"
	for _, c := range []struct{ name, patch, object, path, want string }{
		{"a json patch", "- target: {kind: Deployment}\n  patch: [{op: replace, path: /spec/replicas, value: 5}]", deployment, "replicas", "5"},
		{"a json patch as text", "- target: {name: w*}\n  patch: |-\n    - op: replace\n      path: /spec/replicas\n      value: 5", deployment, "replicas", "5"},
		{"a kustomization", "patches:\n- target: {labelSelector: app=web}\n  patch: {spec: {replicas: 5}}", deployment, "replicas", "5"},
		{"a strategic merge of a list by name", "kind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: b, image: z}]}}}", deployment, "template", "map[spec:map[containers:[map[image:z name:b] map[image:x name:a]]]]"},
		{"a merge of a custom resource", "kind: Widget\nmetadata: {name: web}\nspec: {parts: [c], size: null}", widget, "parts", "[c]"},
	} {
		patches, err := ParsePatches("p", []byte(c.patch))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		opts := shop("shop")
		opts.Patches = patches
		u, changes, err := Object(decode(t, []byte(c.object)), opts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", c.path)
		if s := strings.ReplaceAll(sprint(got), "\n", ""); s != c.want && !sameContainers(s, c.want) {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
		if !hasNotable(changes, "*") {
			t.Errorf("%s: the patch is not among the changes", c.name)
		}
	}
}

// sameContainers allows either order of a merged list.
func sameContainers(a, b string) bool {
	return len(a) == len(b) && strings.Contains(a, "image:z name:b") && strings.Contains(a, "image:x name:a")
}

func TestPatchesThatMakeNoSenseAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"no target":         "- patch: [{op: remove, path: /a}]",
		"empty target":      "- target: {}\n  patch: [{op: remove, path: /a}]",
		"unknown field":     "- target: {kind: A}\n  ptach: []",
		"no operations":     "- target: {kind: A}\n  patch: []",
		"neither":           "- target: {kind: A}\n  patch: 5",
		"a stray object":    "kind: Deployment",
		"a broken selector": "- target: {labelSelector: 'a=='}\n  patch: {a: b}\n- target: {labelSelector: '!!'}\n  patch: {a: b}",
	} {
		if p, err := ParsePatches("p", []byte(text)); err == nil {
			t.Errorf("%s: taken for %v", name, p)
		}
	}
	opts := shop("shop")
	for _, text := range []string{"- target: {kind: ConfigMap}\n  patch: {metadata: {name: other}}", "- target: {kind: ConfigMap}\n  patch: [{op: remove, path: /nowhere}]"} {
		var err error
		if opts.Patches, err = ParsePatches("p", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Object(decode(t, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}")), opts); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestTheLongestImagePrefixWinsAtABoundary(t *testing.T) {
	images := map[string]string{"old.example.com": "new.example.com", "old.example.com/team": "other.example.com/t", "nginx": "mirror.example.com/nginx"}
	for image, want := range map[string]string{
		"old.example.com/a:1":       "new.example.com/a:1",
		"old.example.com/team/a:1":  "other.example.com/t/a:1",
		"old.example.com/teams/a":   "new.example.com/teams/a",
		"nginx":                     "mirror.example.com/nginx",
		"nginx:1.25":                "mirror.example.com/nginx:1.25",
		"nginx@sha256:aa":           "mirror.example.com/nginx@sha256:aa",
		"nginx-unprivileged":        "nginx-unprivileged",
		"elsewhere.example.com/a:1": "elsewhere.example.com/a:1",
	} {
		opts := shop("shop")
		opts.Images = images
		u, _, err := Object(decode(t, []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [{name: a, image: '"+image+"'}]}")), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := elements(u.Object, "spec", "containers")[0]["image"]; got != want {
			t.Errorf("%s becomes %s, want %s", image, got, want)
		}
	}
}

func TestEntriesNamedTwiceAreMadeOneBecauseApplyRefusesThem(t *testing.T) {
	u, changes, err := Object(decode(t, []byte(`
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec:
  containers:
  - name: a
    image: x
    env: [{name: A, value: "1"}, {name: B, value: "2"}, {name: A, value: "3"}]
    ports: [{containerPort: 80}, {containerPort: 80, protocol: TCP}, {containerPort: 80, protocol: UDP}]`)), shop("shop"))
	if err != nil {
		t.Fatal(err)
	}
	c := elements(u.Object, "spec", "containers")[0]
	if got := sprint(c["env"]); got != "[map[name:B value:2] map[name:A value:3]]" {
		t.Errorf("env %s", got)
	}
	if len(c["ports"].([]any)) != 2 {
		t.Errorf("ports %v", c["ports"])
	}
	if !hasNotable(changes, "spec.containers[a].env") {
		t.Errorf("nobody is told: %v", changes)
	}
}

func TestLimitsThatTheSourceSetAreTakenBack(t *testing.T) {
	u, _, err := Object(decode(t, []byte(`
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, annotations: {kubernetes.io/limit-ranger: "LimitRanger plugin set: cpu, memory request for container a; cpu limit for container a; cpu request for init container i"}}
spec:
  initContainers: [{name: i, image: x, resources: {requests: {cpu: 1m}}}]
  containers: [{name: a, image: x, resources: {requests: {cpu: 1m, memory: 1Mi, ephemeral-storage: 1Gi}, limits: {cpu: 2}}}]`)), shop("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sprint(elements(u.Object, "spec", "containers")[0]["resources"]); got != "map[requests:map[ephemeral-storage:1Gi]]" {
		t.Errorf("resources %s", got)
	}
	if got := elements(u.Object, "spec", "initContainers")[0]["resources"]; got != nil {
		t.Errorf("resources of the init container: %v", got)
	}
}
