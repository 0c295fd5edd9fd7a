// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// duplicates removes repeated keys from lists that server-side apply rejects, while a
// plain create accepts them. It only does so where the pod stays the same: host aliases
// of one address are merged, of environment variables the last one counts, equal entries
// are one. Otherwise it returns an error that names the list and the keys.
func (r *transformation) duplicates(at string, spec map[string]any) error {
	r.mergeHostAliases(at, spec)
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range elements(spec, field) {
			in := fmt.Sprintf("%s.%s[%v]", at, field, c["name"])
			if err := extendsItself(in, elements(c, "env")); err != nil {
				return err
			}
			r.lastOf(c, "env", in+".env", func(e map[string]any) any { return e["name"] })
			if err := twoNames(in, elements(c, "ports")); err != nil {
				return err
			}
			r.lastOf(c, "ports", in+".ports", portID)
		}
	}
	r.lastOf(spec, "imagePullSecrets", at+".imagePullSecrets", func(s map[string]any) any { return s["name"] })
	return nil
}

func portID(p map[string]any) any {
	return [2]any{p["containerPort"], protocolOf(p["protocol"])}
}

// twoNames returns an error for ports with the same number and protocol that differ:
// Services and probes may use either name.
func twoNames(in string, ports []map[string]any) error {
	first := map[any]map[string]any{}
	for _, p := range ports {
		id := portID(p)
		other, found := first[id]
		if found && !onePort(other, p) {
			return fmt.Errorf("%s.ports has the port %v/%v twice (%v, %v), which server-side apply rejects: "+
				"remove one entry with --patch or on the source, and use the other name in probes and in targetPort of Services",
				in, p["containerPort"], protocolOf(p["protocol"]), other["name"], p["name"])
		}
		first[id] = p
	}
	return nil
}

// onePort is true when two entries of the same number and protocol are one port. An
// entry without a name gets that of the other.
func onePort(a, b map[string]any) bool {
	for _, f := range []string{"hostPort", "hostIP"} {
		if !reflect.DeepEqual(a[f], b[f]) {
			return false
		}
	}
	switch {
	case a["name"] == nil && b["name"] != nil:
		a["name"] = b["name"]
	case b["name"] == nil && a["name"] != nil:
		b["name"] = a["name"]
	}
	return a["name"] == b["name"]
}

// extendsItself returns an error when a variable that is set twice is expanded between
// its first and its last value, as in PATH=$(PATH):/opt/bin.
func extendsItself(in string, env []map[string]any) error {
	first := map[any]int{}
	for i, e := range env {
		from, again := first[e["name"]]
		if !again {
			first[e["name"]] = i
			continue
		}
		use := fmt.Sprintf("$(%v)", e["name"])
		if slices.ContainsFunc(env[from+1:i+1], func(e map[string]any) bool {
			value, _ := e["value"].(string)
			return strings.Contains(value, use)
		}) {
			return fmt.Errorf("%s.env sets %v twice and expands the first value, which server-side apply cannot write: "+
				"combine both values with --patch or on the source", in, e["name"])
		}
	}
	return nil
}

// mergeHostAliases merges the host names of entries with the same address, in order.
func (r *transformation) mergeHostAliases(at string, spec map[string]any) {
	byIP := map[any]map[string]any{}
	filter(spec, "hostAliases", func(a map[string]any) bool {
		first, found := byIP[a["ip"]]
		if !found {
			byIP[a["ip"]] = a
			return true
		}
		have, _ := first["hostnames"].([]any)
		more, _ := a["hostnames"].([]any)
		first["hostnames"] = append(slices.Clone(have), more...)
		r.note(Change{Path: at + ".hostAliases", From: short(a["ip"]), Why: "entries with the same address are merged"})
		return false
	})
}

// lastOf keeps the last of several entries with the same key.
func (r *transformation) lastOf(o map[string]any, field, at string, key func(map[string]any) any) {
	list := elements(o, field)
	seen := map[any]bool{}
	kept := make([]any, 0, len(list))
	for _, e := range slices.Backward(list) {
		k := key(e)
		if seen[k] {
			r.note(Change{Path: at, From: short(e["name"]), Why: "named twice; the last one counts", Notable: true})
			continue
		}
		seen[k] = true
		kept = append(kept, e)
	}
	if len(kept) < len(list) {
		slices.Reverse(kept)
		o[field] = kept
	}
}
