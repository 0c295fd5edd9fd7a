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

// Selection narrows what moves. The zero value selects everything.
type Selection struct {
	// Labels selects objects by label; nil selects all.
	Labels labels.Selector
	// Include names types, or single objects, that move; empty means all.
	// Exclude names those that do not, and wins.
	Include []Pattern
	Exclude []Pattern
}

// Pattern is TYPE or TYPE/NAME as people write it on the command line. TYPE is
// a resource, singular, kind, or any of these with the group after a dot.
type Pattern struct{ Type, Name string }

// ParsePattern reads TYPE or TYPE/NAME.
func ParsePattern(s string) (Pattern, error) {
	typ, name, found := strings.Cut(s, "/")
	if typ == "" || (found && name == "") || strings.Contains(name, "/") {
		return Pattern{}, fmt.Errorf("%q is neither TYPE nor TYPE/NAME", s)
	}
	return Pattern{Type: strings.ToLower(typ), Name: name}, nil
}

// resolve spells out the short names and singulars of what the cluster serves, as
// kubectl does. A type that it does not serve is an error: nobody means to select
// nothing.
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
			return nil, fmt.Errorf("the source serves no namespaced type %q (kubectl api-resources --namespaced lists them)", p.Type)
		}
		out = append(out, Pattern{Type: typ, Name: p.Name})
	}
	return out, nil
}

// typeNamed finds what a name means. One that Match takes as it is stays, also
// when it means kinds of several groups; a short name means the first that has it.
func (s Served) typeNamed(name string) (string, bool) {
	short := ""
	for _, g := range s.Groups {
		for _, v := range g.Versions {
			for _, r := range s.Resources[schema.GroupVersion{Group: g.Name, Version: v.Version}] {
				if !r.Namespaced || strings.Contains(r.Name, "/") {
					continue
				}
				if (Pattern{Type: name}).Match(Ref{Group: g.Name, Version: v.Version, Resource: r.Name, Kind: r.Kind}) {
					return name, true
				}
				if short == "" && (r.SingularName == name || slices.Contains(r.ShortNames, name)) {
					short = r.Name + "." + g.Name
				}
			}
		}
	}
	return short, short != ""
}

// Match says whether p names r.
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

// matchKind says whether p names the kind, with or without an object's name.
func (p Pattern) matchKind(k Kind) bool {
	return Pattern{Type: p.Type}.Match(Ref{Group: k.GVR.Group, Version: k.GVR.Version, Resource: k.GVR.Resource, Kind: k.Kind})
}

// excludes says whether the selection excludes the kind as a whole.
func (s Selection) excludes(k Kind) bool {
	return slices.ContainsFunc(s.Exclude, func(p Pattern) bool { return p.Name == "" && p.matchKind(k) })
}

// includes says whether objects of the kind may be selected by themselves.
func (s Selection) includes(k Kind) bool {
	return len(s.Include) == 0 || slices.ContainsFunc(s.Include, func(p Pattern) bool { return p.matchKind(k) })
}

// everything says whether the selection is the zero one.
func (s Selection) everything() bool {
	return s.Labels == nil && len(s.Include) == 0 && len(s.Exclude) == 0
}

// choice is which objects a selection takes, and why.
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

// choose takes the objects that match, and what they need, transitively. An
// excluded object never comes along; the plan warns about whoever needs it.
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

// requires returns what o cannot do without: what it names, the claims of a
// StatefulSet, and its owner (an owned object moves by its owner moving).
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
