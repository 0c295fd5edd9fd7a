// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// served describes a cluster: group/version to resources, groups in order.
func served(order []string, resources map[string][]metav1.APIResource) Served {
	s := Served{Resources: map[schema.GroupVersion][]metav1.APIResource{}}
	groups := map[string]*metav1.APIGroup{}
	for _, text := range order {
		gv, err := schema.ParseGroupVersion(text)
		if err != nil {
			panic(err)
		}
		g := groups[gv.Group]
		if g == nil {
			g = &metav1.APIGroup{Name: gv.Group}
			groups[gv.Group] = g
			s.Groups = append(s.Groups, g)
		}
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: text, Version: gv.Version})
		s.Resources[gv] = resources[text]
	}
	return s
}

func namespaced(name, kind string, verbs ...string) metav1.APIResource {
	if len(verbs) == 0 {
		verbs = []string{"get", "list", "create", "patch", "delete"}
	}
	return metav1.APIResource{Name: name, Kind: kind, Namespaced: true, Verbs: verbs}
}

func TestAKindIsReadAtTheVersionThatTheTargetPrefersAndTheSourceServesToo(t *testing.T) {
	r := map[string][]metav1.APIResource{}
	for _, gv := range []string{"x.io/v1", "x.io/v2", "x.io/v3", "y.io/v1beta1", "y.io/v1"} {
		r[gv] = []metav1.APIResource{namespaced("things", "Thing")}
	}
	src := served([]string{"x.io/v1", "x.io/v2", "y.io/v1beta1"}, r)
	dst := served([]string{"x.io/v3", "x.io/v2", "x.io/v1", "y.io/v1"}, r)
	kinds, _ := Kinds(src, dst)
	if len(kinds) != 2 {
		t.Fatalf("kinds %v", kinds)
	}
	if k := kinds[0]; k.GVR.Version != "v2" || !k.OnTarget {
		t.Errorf("x.io: %+v, want v2, which both serve", k)
	}
	if k := kinds[1]; k.OnTarget || k.GVR.Version != "v1beta1" || !slices.Equal(k.TargetVersions, []string{"v1"}) {
		t.Errorf("y.io: %+v, want what the source serves, not on the target", k)
	}
}

func TestWhatNobodyWritesIsPassedOverByName(t *testing.T) {
	src := served([]string{"v1", "metrics.k8s.io/v1beta1", "coordination.k8s.io/v1", "events.k8s.io/v1"}, map[string][]metav1.APIResource{
		"v1": {
			namespaced("configmaps", "ConfigMap"), namespaced("events", "Event"), namespaced("pods/log", "Pod"),
			{Name: "nodes", Kind: "Node", Verbs: []string{"list", "create"}},
			namespaced("bindings", "Binding", "create"),
		},
		"metrics.k8s.io/v1beta1": {namespaced("pods", "PodMetrics", "get", "list")},
		"coordination.k8s.io/v1": {namespaced("leases", "Lease")},
		"events.k8s.io/v1":       {namespaced("events", "Event")},
	})
	kinds, passed := Kinds(src, src)
	if len(kinds) != 1 || kinds[0].GVR.Resource != "configmaps" {
		t.Errorf("kinds %v, want configmaps only", kinds)
	}
	var names []string
	for _, p := range passed {
		names = append(names, p.Resource+"."+p.Group)
		if p.Why == "" {
			t.Errorf("%s is passed over without a reason", p.Resource)
		}
	}
	if want := []string{"events.", "pods.metrics.k8s.io", "leases.coordination.k8s.io", "events.events.k8s.io"}; !slices.Equal(names, want) {
		t.Errorf("passed over %v, want %v", names, want)
	}
}

func TestAnObjectServedByTwoGroupsIsSeenOnceAndThroughTheBetterOne(t *testing.T) {
	for _, c := range []struct {
		name     string
		k        Kind
		rank     int
		onTarget bool
		want     bool
	}{
		{"the group that the source prefers", Kind{OnTarget: true, rank: 1}, 2, true, true},
		{"not the other one", Kind{OnTarget: true, rank: 3}, 2, true, false},
		{"one that the target serves, whatever the order", Kind{OnTarget: true, rank: 9}, 2, false, true},
		{"not one that it does not", Kind{rank: 1}, 2, true, false},
	} {
		if got := better(c.k, c.rank, c.onTarget); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestForbiddenAndUnavailableAreNotExamined(t *testing.T) {
	inv := &Inventory{}
	gr := schema.GroupResource{Group: "x.io", Resource: "things"}
	k := Kind{GVR: gr.WithVersion("v1"), Kind: "Thing"}
	podTemplates := Kind{GVR: schema.GroupVersionResource{Version: "v1", Resource: "podtemplates"}, Kind: "PodTemplate"}
	for _, c := range []struct {
		kind Kind
		err  error
		sel  Selection
		want string
	}{
		{k, apierrors.NewForbidden(gr, "", errors.New("no")), Selection{}, "Forbidden"},
		{k, apierrors.NewServiceUnavailable("down"), Selection{}, "Unavailable"},
		{k, errors.New("broken pipe"), Selection{}, "Failed"},
		{podTemplates, apierrors.NewForbidden(gr, "", errors.New("no")), Selection{}, ""},
		{k, apierrors.NewForbidden(gr, "", errors.New("no")), Selection{Include: []Pattern{{Type: "deployments"}}}, ""},
	} {
		inv.NotExamined, inv.Ignored = nil, nil
		if err := inv.notExamined(t.Context(), c.sel, c.kind, c.err); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want == "" && (len(inv.NotExamined) != 0 || len(inv.Ignored) != 1):
			t.Errorf("%s with %v: %v %v, want passed over", c.kind.Kind, c.err, inv.NotExamined, inv.Ignored)
		case c.want != "" && (len(inv.NotExamined) != 1 || inv.NotExamined[0].Reason != c.want):
			t.Errorf("%s with %v: %v, want %s", c.kind.Kind, c.err, inv.NotExamined, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := inv.notExamined(ctx, Selection{}, k, context.Canceled); err == nil {
		t.Error("an interrupted capture looks like an empty kind")
	}
}

func TestAnExcludedTypeIsNotListedAtAll(t *testing.T) {
	inv := &Inventory{Kinds: []Kind{
		{GVR: schema.GroupVersionResource{Group: "x.io", Version: "v1", Resource: "widgets"}, Kind: "Widget"},
		{GVR: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Kind: "Secret"},
	}}
	inv.excludeKinds(Selection{Exclude: []Pattern{{Type: "widgets.x.io"}, {Type: "secrets", Name: "one"}}})
	if len(inv.Kinds) != 1 || inv.Kinds[0].Kind != "Secret" || len(inv.Ignored) != 1 {
		t.Errorf("kinds %v, passed over %v", inv.Kinds, inv.Ignored)
	}
}

func TestAPageGetsSmallerWhenObjectsAreLarge(t *testing.T) {
	for _, c := range []struct {
		n, weight int
		want      int64
	}{
		{50, 50 << 20, 8}, {50, 50 << 10, 500}, {1, 64 << 20, 1}, {0, 0, firstPage},
	} {
		if got := PageSize(c.n, c.weight); got != c.want {
			t.Errorf("after %d objects of %d bytes the next page is %d, want %d", c.n, c.weight, got, c.want)
		}
	}
}

func TestPatternsNameTypesAsKubectlDoes(t *testing.T) {
	r := Ref{Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Name: "web"}
	for text, want := range map[string]bool{
		"deployments": true, "deployment": true, "Deployment": true, "deployments.apps": true, "deployment.v1.apps": true,
		"deployments/web": true, "deployments.apps/web": true, "deployments/db": false, "deployments.extensions": false, "pods": false,
	} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(r); got != want {
			t.Errorf("%s matches %v: %v", text, r, got)
		}
	}
	for _, text := range []string{"", "/web", "deployments/", "a/b/c"} {
		if _, err := ParsePattern(text); err == nil {
			t.Errorf("%q is taken for a pattern", text)
		}
	}
}

func TestTheRootOfOwnersInACircleIsFound(t *testing.T) {
	a := &Object{Ref: Ref{Kind: "A", Name: "a", UID: "a"}, Owners: []metav1.OwnerReference{{UID: "b"}}}
	b := &Object{Ref: Ref{Kind: "B", Name: "b", UID: "b"}, Owners: []metav1.OwnerReference{{UID: "a"}}}
	inv := NewInventory("c", "n", []*Object{a, b})
	if inv.Root(a) == nil {
		t.Error("no root")
	}
}

func TestTheControllingOwnerIsTheOneThatCounts(t *testing.T) {
	yes := true
	one := &Object{Ref: Ref{Kind: "A", Name: "one", UID: "one"}}
	two := &Object{Ref: Ref{Kind: "A", Name: "two", UID: "two"}}
	o := &Object{Ref: Ref{Kind: "B", Name: "o", UID: "o"}, Owners: []metav1.OwnerReference{{UID: "one"}, {UID: "two", Controller: &yes}}}
	if got := NewInventory("c", "n", []*Object{one, two, o}).Root(o); got != two {
		t.Errorf("the root is %s", got.Ref)
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	for _, r := range Reasons() {
		if r.Explanation() == "" {
			t.Errorf("%s has no explanation", r)
		}
	}
	if len(explanations()) != len(Reasons()) {
		t.Errorf("%d explanations for %d reasons", len(explanations()), len(Reasons()))
	}
}

func TestNeedsAreFoundWhereverAPodSpecNamesThem(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rollouts.example.com/v1", "kind": "Rollout",
		"metadata": map[string]any{"name": "web", "uid": "u"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"serviceAccountName": "sa",
			"imagePullSecrets":   []any{map[string]any{"name": "pull"}},
			"volumes": []any{
				map[string]any{"name": "a", "secret": map[string]any{"secretName": "s1"}},
				map[string]any{"name": "b", "configMap": map[string]any{"name": "c1", "optional": true}},
				map[string]any{"name": "c", "projected": map[string]any{"sources": []any{map[string]any{"secret": map[string]any{"name": "s2"}}}}},
				map[string]any{"name": "d", "persistentVolumeClaim": map[string]any{"claimName": "data"}},
				map[string]any{"name": "e", "csi": map[string]any{"nodePublishSecretRef": map[string]any{"name": "s3"}}},
			},
			"initContainers": []any{map[string]any{"name": "i", "envFrom": []any{map[string]any{"secretRef": map[string]any{"name": "s4"}}}}},
			"containers": []any{map[string]any{"name": "c", "env": []any{
				map[string]any{"name": "X", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "c1", "key": "k"}}},
			}}},
		}}},
	}}
	u.SetUID(types.UID("u"))
	got := map[string]bool{}
	for _, n := range needsOf(u) {
		got[n.ID.String()] = n.Optional
	}
	want := map[string]bool{
		"serviceaccount/sa": false, "secret/pull": true, "secret/s1": false, "configmap/c1": false, "secret/s2": false,
		"persistentvolumeclaim/data": false, "secret/s3": false, "secret/s4": false,
	}
	for name, optional := range want {
		if o, found := got[name]; !found || o != optional {
			t.Errorf("%s: found %v, optional %v, want optional %v", name, found, o, optional)
		}
	}
	if len(got) != len(want) {
		t.Errorf("needs %v", got)
	}
}

func TestShortNamesMeanWhatKubectlMeansAndUnknownOnesAreRefused(t *testing.T) {
	core := schema.GroupVersion{Version: "v1"}
	s := Served{
		Groups: []*metav1.APIGroup{{Versions: []metav1.GroupVersionForDiscovery{{Version: "v1"}}}},
		Resources: map[schema.GroupVersion][]metav1.APIResource{core: {
			{Name: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", SingularName: "persistentvolumeclaim", ShortNames: []string{"pvc"}, Namespaced: true},
			{Name: "nodes", Kind: "Node", ShortNames: []string{"no"}},
		}},
	}
	claim := Ref{Version: "v1", Resource: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Name: "data"}
	for _, typ := range []string{"pvc", "persistentvolumeclaim", "persistentvolumeclaims"} {
		sel, err := Selection{Exclude: []Pattern{{Type: typ, Name: "data"}}}.resolve(s)
		if err != nil || !matchAny(sel.Exclude, claim) {
			t.Errorf("%s: %v %v", typ, sel.Exclude, err)
		}
	}
	for _, typ := range []string{"pcv", "no", "nodes"} {
		if _, err := (Selection{Include: []Pattern{{Type: typ}}}).resolve(s); err == nil {
			t.Errorf("%s selects nothing and is not refused", typ)
		}
	}
}
