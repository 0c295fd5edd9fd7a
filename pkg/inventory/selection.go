// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Selection selects the objects to migrate. The zero value selects all.
type Selection struct {
	// Labels selects objects by label; nil selects all.
	Labels labels.Selector
	// Include has the types and objects to migrate; empty means all. Exclude has
	// those not to migrate, and wins.
	Include []Pattern
	Exclude []Pattern
}

// Pattern is TYPE or TYPE/NAME on the command line. TYPE is a resource, its singular,
// short name or kind, with or without the group after a dot.
type Pattern struct{ Type, Name string }

// ParsePattern reads TYPE or TYPE/NAME.
func ParsePattern(s string) (Pattern, error) {
	typ, name, found := strings.Cut(s, "/")
	if typ == "" || (found && name == "") || strings.Contains(name, "/") {
		return Pattern{}, fmt.Errorf("invalid selection %q: must be TYPE or TYPE/NAME", s)
	}
	return Pattern{Type: strings.ToLower(typ), Name: name}, nil
}

// resolve expands singulars and short names as kubectl does. A type that the cluster
// does not serve is an error.
func (s Selection) resolve(served Served) (Selection, error) {
	var err error
	if s.Include, err = served.expand(s.Include); err != nil {
		return s, err
	}
	s.Exclude, err = served.expand(s.Exclude)
	return s, err
}

func (s Served) expand(patterns []Pattern) ([]Pattern, error) {
	var out []Pattern
	for _, p := range patterns {
		typ, found := s.typeNamed(p.Type)
		if !found {
			return nil, fmt.Errorf("the source does not have a namespaced resource type %q (see kubectl api-resources --namespaced)", p.Type)
		}
		out = append(out, Pattern{Type: typ, Name: p.Name})
	}
	return out, nil
}

// typeNamed returns a type that Match understands: the name itself, if Match takes it
// for a type that is served, in one group or several; for a singular or short name the
// type of the first group that has it.
func (s Served) typeNamed(name string) (string, bool) {
	types := s.namespacedTypes()
	for _, t := range types {
		if (Pattern{Type: name}).Match(t.ref) {
			return name, true
		}
	}
	for _, t := range types {
		if slices.Contains(t.aliases, name) {
			return t.ref.Resource + "." + t.ref.Group, true
		}
	}
	return "", false
}

// servedType is a namespaced type at one version, with its singular and short names.
type servedType struct {
	ref     Ref
	aliases []string
}

func (s Served) namespacedTypes() []servedType {
	var out []servedType
	for _, g := range s.Groups {
		for _, v := range g.Versions {
			for _, r := range s.Resources[schema.GroupVersion{Group: g.Name, Version: v.Version}] {
				if r.Namespaced && !strings.Contains(r.Name, "/") {
					ref := Ref{Group: g.Name, Version: v.Version, Resource: r.Name, Kind: r.Kind}
					out = append(out, servedType{ref, append(slices.Clone(r.ShortNames), r.SingularName)})
				}
			}
		}
	}
	return out
}

// Match is true when p selects r.
func (p Pattern) Match(r Ref) bool {
	if p.Name != "" && p.Name != r.Name {
		return false
	}
	for _, name := range []string{strings.ToLower(r.Resource), strings.ToLower(r.Kind)} {
		if p.Type == name || p.Type == name+"."+r.Group || p.Type == name+"."+r.Version+"."+r.Group {
			return true
		}
	}
	return false
}

// matchKind is true when p has the type k, with or without a name.
func (p Pattern) matchKind(k Kind) bool {
	return Pattern{Type: p.Type}.Match(Ref{Group: k.GVR.Group, Version: k.GVR.Version, Resource: k.GVR.Resource, Kind: k.Kind})
}

// excludes is true when the selection excludes all objects of the kind.
func (s Selection) excludes(k Kind) bool {
	return slices.ContainsFunc(s.Exclude, func(p Pattern) bool { return p.Name == "" && p.matchKind(k) })
}

// includes is true when objects of the kind can be selected directly.
func (s Selection) includes(k Kind) bool {
	return len(s.Include) == 0 || slices.ContainsFunc(s.Include, func(p Pattern) bool { return p.matchKind(k) })
}

// everything is true for the zero value.
func (s Selection) everything() bool {
	return s.Labels == nil && len(s.Include) == 0 && len(s.Exclude) == 0
}

// choice has the objects that a selection takes, with the reason.
type choice struct {
	all     bool
	because map[*Object]string
	without map[*Object]string
}

func (c choice) apply(o *Object) {
	if c.all {
		return
	}
	if why, out := c.without[o]; out {
		o.Verdict, o.Reason, o.Detail = Skip, ReasonNotSelected, why
		return
	}
	why, in := c.because[o]
	if !in {
		o.Verdict, o.Reason, o.Detail = Skip, ReasonNotSelected, ""
		return
	}
	o.Detail = why
}

// choose takes the objects that match and their dependencies. Excluded objects are
// never taken; the plan warns about the objects that need them.
func (s Selection) choose(inv *Inventory) choice {
	if s.everything() {
		return choice{all: true}
	}
	c := choice{because: map[*Object]string{}, without: map[*Object]string{}}
	var queue []*Object
	for _, o := range inv.Objects {
		switch {
		case matchAny(s.Exclude, o.Ref):
			c.without[o] = "excluded"
		case s.matches(o):
			c.because[o] = ""
			queue = append(queue, o)
		}
	}
	for len(queue) > 0 {
		o := queue[0]
		queue = queue[1:]
		for _, n := range inv.requires(o) {
			if _, in := c.because[n]; in {
				continue
			}
			if _, out := c.without[n]; out {
				continue
			}
			c.because[n] = "needed by " + o.Ref.String()
			queue = append(queue, n)
		}
	}
	return c
}

func (s Selection) matches(o *Object) bool {
	if s.Labels != nil && !s.Labels.Matches(labels.Set(o.Labels)) {
		return false
	}
	return len(s.Include) == 0 || matchAny(s.Include, o.Ref)
}

func matchAny(patterns []Pattern, r Ref) bool {
	for _, p := range patterns {
		if p.Match(r) {
			return true
		}
	}
	return false
}

// requires returns the dependencies of o: its references, the PVCs of a StatefulSet,
// and its owner.
func (inv *Inventory) requires(o *Object) []*Object {
	var out []*Object
	for _, n := range o.Needs {
		if t := inv.Find(n.ID); t != nil {
			out = append(out, t)
		}
	}
	if o.Ref.GroupKind() == kindStatefulSet {
		out = append(out, inv.claimsOf(o)...)
	}
	if owner := inv.owner(o); owner != nil {
		out = append(out, owner)
	}
	return out
}
