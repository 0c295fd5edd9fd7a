//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// inBlue writes objects into blue on lab-a and removes whatever of that name is
// on either cluster when the test ends.
func inBlue(t *testing.T, text string) {
	t.Helper()
	a, b := as(t, "lab-a"), as(t, "lab-b")
	made := write(t, a, "blue", text)
	t.Cleanup(func() {
		for _, c := range []*cluster.Cluster{a, b} {
			for _, u := range made {
				gvr, _, err := c.ResourceFor(u.GroupVersionKind())
				if err != nil {
					t.Error(err)
					continue
				}
				bg := metav1.DeletePropagationBackground
				err = c.Resource(gvr, "blue").Delete(withoutCancel(t), u.GetName(), metav1.DeleteOptions{PropagationPolicy: &bg})
				if err != nil && !apierrors.IsNotFound(err) {
					t.Error(err)
				}
			}
		}
	})
}

// ours narrows a run to what a test made, because blue may hold more.
func ours(t *testing.T) inventory.Selection {
	t.Helper()
	include := []inventory.Pattern{}
	for _, name := range []string{
		"resourcequotas/e2e-quota", "limitranges/e2e-limits", "roles/e2e-small", "roles/e2e-big", "endpointslices/e2e-slice",
		"configmaps/e2e-conf", "deployments/e2e-forbidden", "deployments/e2e-account", "deployments/e2e-fine",
	} {
		p, err := inventory.ParsePattern(name)
		if err != nil {
			t.Fatal(err)
		}
		include = append(include, p)
	}
	return inventory.Selection{Include: include}
}

func blueRequest(t *testing.T) plan.Request {
	return plan.Request{SourceNamespace: "blue", TargetNamespace: "blue", Selection: ours(t)}
}

// TestWhatAUserMayNotWriteIsForAnAdministrator: with nothing but the rights of
// the role admin in the namespace.
func TestWhatAUserMayNotWriteIsForAnAdministrator(t *testing.T) {
	inBlue(t, `
apiVersion: v1
kind: ResourceQuota
metadata: {name: e2e-quota}
spec: {hard: {configmaps: "1000"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: e2e-limits}
spec: {limits: [{type: Container, max: {cpu: "64"}}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: e2e-small}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: e2e-big}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e2e-slice}
addressType: IPv4
endpoints: [{addresses: [192.0.2.11]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: e2e-conf}`)
	src, dst := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	p := makePlan(t, src, dst, blueRequest(t))
	want := map[string]inventory.Verdict{
		"resourcequota/e2e-quota": inventory.NeedsAdmin, "limitrange/e2e-limits": inventory.NeedsAdmin,
		"role.rbac.authorization.k8s.io/e2e-big": inventory.NeedsAdmin, "role.rbac.authorization.k8s.io/e2e-small": inventory.Move,
		"endpointslice.discovery.k8s.io/e2e-slice": inventory.NeedsAdmin, "configmap/e2e-conf": inventory.Move,
	}
	for _, i := range p.Items {
		if v, named := want[i.Source.String()]; named {
			if i.Verdict != v {
				t.Errorf("%s: %s %s %s, want %s", i.Source, i.Verdict, i.Reason, i.Detail, v)
			}
			delete(want, i.Source.String())
		}
	}
	if len(want) > 0 {
		t.Errorf("the plan does not mention %v", want)
	}
	if p.Blocked() {
		t.Errorf("what is for an administrator blocks the others: %v", p.Blockers)
	}
	if len(p.Manifests) != 4 {
		t.Errorf("%d manifests, want 4: %v", len(p.Manifests), p.Manifests)
	}
	set, err := apply.Apply(t.Context(), dst, p.Objects(plan.StageStandby), apply.Options{})
	if err != nil || set.Err() != nil || set.Count(apply.Created) != 2 {
		t.Errorf("%+v %v", set, err)
	}

	code, stdout, stderr := motion(t, "plan", "--context", "lab-a-blue", "--to-context", "lab-b-blue", "--include", "roles/e2e-big", "-o", "json")
	if code != 3 {
		t.Errorf("exit status %d, want 3: %s", code, stderr)
	}
	var shown struct {
		Manifests []map[string]any `json:"needsAdminManifests"`
	}
	if err := json.Unmarshal([]byte(stdout), &shown); err != nil || len(shown.Manifests) != 1 || shown.Manifests[0]["kind"] != "Role" {
		t.Errorf("%v in %s", err, stdout)
	}
}

// TestPodsThatTheTargetRefusesAreFoundBeforeAnythingMoves: the namespace has the
// restricted Pod Security level, which says nothing about Deployments.
func TestPodsThatTheTargetRefusesAreFoundBeforeAnythingMoves(t *testing.T) {
	deployment := func(name, pod string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec: {replicas: 0, selector: {matchLabels: {app: " + name + "}}, template: {metadata: {labels: {app: " + name + "}}, spec: " + pod + "}}"
	}
	const fit = `securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}, containers: [{name: a, image: "lab/web:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]`
	inBlue(t, deployment("e2e-forbidden", `{containers: [{name: a, image: "lab/web:1", securityContext: {privileged: true}}]}`)+
		"\n---\n"+deployment("e2e-account", "{serviceAccountName: e2e-nobody, "+fit+"}")+
		"\n---\n"+deployment("e2e-fine", "{"+fit+"}"))
	src, dst := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeStandby, v1alpha1.ModeStart} {
		r := blueRequest(t)
		r.Mode = mode
		p := makePlan(t, src, dst, r)
		codes := map[string][]plan.Code{}
		for _, f := range p.Blockers {
			codes[f.Object.Name] = append(codes[f.Object.Name], f.Code)
		}
		if !slices.Equal(codes["e2e-forbidden"], []plan.Code{plan.CodePodDenied}) {
			t.Errorf("%s: the privileged pod: %v", mode, codes)
		}
		if got, want := len(codes["e2e-account"]) > 0, mode == v1alpha1.ModeStart; got != want {
			t.Errorf("%s: the missing service account blocks: %v, want %v", mode, got, want)
		}
		if len(codes["e2e-fine"]) > 0 {
			t.Errorf("%s: the pod that fits: %v", mode, codes)
		}
	}
	code, stdout, _ := motion(t, "plan", "--context", "lab-a-blue", "--to-context", "lab-b-blue", "--include", "deployments/e2e-forbidden")
	if code != 4 || !strings.Contains(stdout, "violates PodSecurity") {
		t.Errorf("exit status %d: %s", code, stdout)
	}
	// Nothing of all this has written anything.
	for _, name := range []string{"e2e-forbidden", "e2e-account", "e2e-fine"} {
		gvr := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
		if _, err := dst.Resource(gvr, "blue").Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s is on the target: %v", name, err)
		}
	}
}

// TestForbiddenIsNotEmptyForARealUser: a kind that blue may not list.
func TestForbiddenIsNotEmptyForARealUser(t *testing.T) {
	admin := as(t, "lab-a")
	kinds(t, admin)
	src, dst := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	p := makePlan(t, src, dst, plan.Request{SourceNamespace: "blue"})
	var names []string
	for _, n := range p.NotExamined {
		names = append(names, n.Resource+"."+n.Group+" "+n.Reason)
	}
	if want := []string{"ingresses.corpus.example.com Forbidden", "widgets.corpus.example.com Forbidden"}; !slices.Equal(names, want) {
		t.Errorf("not examined %v, want %v", names, want)
	}
	code, _, _ := motion(t, "plan", "--context", "lab-a-blue", "--to-context", "lab-b-blue", "--include", "configmaps/kube-root-ca.crt")
	if code != 0 {
		t.Errorf("exit status %d although nobody asked for those kinds", code)
	}
	knowingly := inventory.Selection{Exclude: []inventory.Pattern{{Type: "widgets.corpus.example.com"}, {Type: "ingresses.corpus.example.com"}}}
	if p := makePlan(t, src, dst, plan.Request{SourceNamespace: "blue", Selection: knowingly}); len(p.NotExamined) > 0 {
		t.Errorf("not examined although left out knowingly: %v", p.NotExamined)
	}
}
