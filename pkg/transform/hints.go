// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// hints reports strings with the DNS name of a Service of the source namespace. They
// are not changed: only the application knows their meaning.
func (r *transformation) hints() {
	if !r.renamed() {
		return
	}
	secret := r.gk.Group == "" && r.gk.Kind == "Secret"
	for _, field := range sortedKeys(r.o) {
		if field == "metadata" {
			continue
		}
		r.hintsIn(r.o[field], field, secret)
	}
}

// maxHints is the maximum of reported strings of one object.
const maxHints = 20

func (r *transformation) hintsIn(v any, at string, secret bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			r.hintsIn(v[k], at+"."+k, secret)
		}
	case []any:
		for i, e := range v {
			r.hintsIn(e, fmt.Sprintf("%s[%d]", at, i), secret)
		}
	case string:
		if secret && strings.HasPrefix(at, "data.") {
			plain, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				return
			}
			v = string(plain)
		}
		r.hint(v, at, secret)
	}
}

func (r *transformation) hint(s, at string, secret bool) {
	name := serviceName(s, r.opts.Source.Namespace, r.opts.Services)
	if name == "" {
		return
	}
	if n := len(r.changes); n > maxHints && r.changes[n-1].Why == hintReason {
		return
	}
	c := Change{Path: at, From: name, To: name, Why: hintReason, Notable: true}
	if secret {
		c.From, c.To = "", ""
	}
	r.note(c)
}

const hintReason = "references a Service in the source namespace, not changed"

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// serviceName returns the first DNS name in s of a Service in namespace: either
// one of the known services followed by the namespace (db.shop), or any name
// followed by it and svc (db.shop.svc).
func serviceName(s, namespace string, services map[string]bool) string {
	for from := 0; ; {
		i := strings.Index(s[from:], "."+namespace)
		if i < 0 {
			return ""
		}
		at := from + i
		end := at + 1 + len(namespace)
		from = end
		label := lastLabel(s[:at])
		if label == "" || end < len(s) && nameByte(s[end]) {
			continue
		}
		rest := s[end:]
		switch {
		case strings.HasPrefix(rest, ".svc") && (len(rest) == 4 || !nameByte(rest[4])):
			return label + "." + namespace + ".svc"
		case services[label] && !strings.HasPrefix(rest, "."):
			return label + "." + namespace
		}
	}
}

// lastLabel is the DNS label that s ends with.
func lastLabel(s string) string {
	i := len(s)
	for i > 0 && nameByte(s[i-1]) {
		i--
	}
	return s[i:]
}

func nameByte(b byte) bool {
	return b == '-' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}
