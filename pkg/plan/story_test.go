// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// story is a namespace in YAML and what a plan makes of it, without a cluster:
// everything but the observing is pure.
type story struct {
	t        *testing.T
	source   string
	request  Request
	facts    Facts
	observed func(*Draft) Observation
	// notServed are kinds that the target does not serve.
	notServed []string
}

func tell(t *testing.T, source string) *story {
	t.Helper()
	return &story{
		t: t, source: source,
		request: Request{SourceNamespace: "shop", TargetNamespace: "shop", Mode: v1alpha1.ModeStandby},
		facts: Facts{
			ClusterID: "cluster-b", Namespace: "shop",
			Classes: Known[Class]{Known: true, List: []Class{{Name: "fast", Provisioner: "csi.example.com", Default: true}}},
		},
		observed: func(*Draft) Observation { return Observation{} },
	}
}

func (s *story) inventory() *inventory.Inventory {
	s.t.Helper()
	var objects []*inventory.Object
	for i, doc := range bytes.Split([]byte(s.source), []byte("\n---")) {
		raw, err := yaml.YAMLToJSON(doc)
		if err != nil {
			s.t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			s.t.Fatal(err)
		}
		u.SetNamespace("shop")
		if u.GetUID() == "" {
			u.SetUID(types.UID(fmt.Sprintf("uid-%d", i)))
		}
		gvk := u.GroupVersionKind()
		k := inventory.Kind{
			GVR:      gvk.GroupVersion().WithResource(plural(gvk.Kind)),
			Kind:     gvk.Kind,
			OnTarget: !slices.Contains(s.notServed, gvk.Kind),
		}
		o, err := inventory.NewObject(k, u)
		if err != nil {
			s.t.Fatal(err)
		}
		objects = append(objects, o)
	}
	inv := inventory.NewInventory("cluster-a", "shop", objects)
	inventory.Judge(inv, s.request.Selection)
	return inv
}

// plural is right for the kinds of these tests.
func plural(kind string) string {
	k := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(k, "s"):
		return k + "es"
	case strings.HasSuffix(k, "y"):
		return k[:len(k)-1] + "ies"
	}
	return k + "s"
}

func (s *story) plan() *Plan {
	s.t.Helper()
	d, err := NewDraft(s.inventory(), s.facts, s.request)
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := Build(d, s.observed(d))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// item finds an object by kubectl's name for it.
func (s *story) item(p *Plan, name string) Item {
	s.t.Helper()
	for _, i := range p.Items {
		if i.Source.String() == name {
			return i
		}
	}
	s.t.Fatalf("the plan has no %s", name)
	return Item{}
}

// written is the object that the target gets.
func (s *story) written(p *Plan, name string) *unstructured.Unstructured {
	s.t.Helper()
	i := s.item(p, name)
	if i.Verdict != inventory.Move {
		s.t.Fatalf("%s does not move: %s %s %s", name, i.Verdict, i.Reason, i.Detail)
	}
	u, err := i.Object()
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

func (s *story) skipped(p *Plan, name string, want inventory.Reason) {
	s.t.Helper()
	if i := s.item(p, name); i.Verdict != inventory.Skip || i.Reason != want {
		s.t.Errorf("%s: %s %s, want Skip %s", name, i.Verdict, i.Reason, want)
	}
}

func (s *story) moves(p *Plan, names ...string) {
	s.t.Helper()
	for _, n := range names {
		s.written(p, n)
	}
}

// gone checks that fields of the written object are not there.
func (s *story) gone(u *unstructured.Unstructured, paths ...string) {
	s.t.Helper()
	for _, p := range paths {
		if v, found, _ := unstructured.NestedFieldNoCopy(u.Object, strings.Split(p, ".")...); found {
			s.t.Errorf("%s/%s still has %s: %v", u.GetKind(), u.GetName(), p, v)
		}
	}
}

// has checks one field of the written object.
func (s *story) has(u *unstructured.Unstructured, path string, want any) {
	s.t.Helper()
	got, found, _ := unstructured.NestedFieldNoCopy(u.Object, strings.Split(path, ".")...)
	if !found || fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s/%s: %s is %v (found %v), want %v", u.GetKind(), u.GetName(), path, got, found, want)
	}
}

// tells checks that a list of findings has one of the code whose text contains
// every one of the words.
func (s *story) tells(list []Finding, code Code, words ...string) {
	s.t.Helper()
	for _, f := range list {
		if f.Code == code && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f.String(), w) }) {
			return
		}
	}
	s.t.Errorf("no finding %s with %q in %v", code, words, list)
}

func (s *story) silent(list []Finding, code Code) {
	s.t.Helper()
	for _, f := range list {
		if f.Code == code {
			s.t.Errorf("unexpected finding: %s: %s", code, f)
		}
	}
}

// refused answers every dry-run of the named object with a problem.
func refused(name string, s TargetState) func(*Draft) Observation {
	return func(d *Draft) Observation {
		out := Observation{}
		for _, i := range d.items {
			if i.Target != nil && i.Source.String() == name {
				out[i.Target.ID()] = s
			}
		}
		return out
	}
}

// changeOf keeps the tests from naming the package of changes.
type changeOf = transform.Change

func nodePorts(u *unstructured.Unstructured) []int64 {
	ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
	var out []int64
	for _, p := range ports {
		if n, found := p.(map[string]any)["nodePort"].(int64); found {
			out = append(out, n)
		}
	}
	return out
}

func definitionsOf(names ...string) map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for _, n := range names {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
		u.SetName(n)
		out[n] = u
	}
	return out
}
