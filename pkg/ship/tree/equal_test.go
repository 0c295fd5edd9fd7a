// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"testing"
)

func TestEqualBodyAgreesWithTheEncoding(t *testing.T) {
	changes := map[string]func(e *Entry){
		"nothing": func(*Entry) {}, "mode": func(e *Entry) { e.Mode++ }, "uid": func(e *Entry) { e.UID++ }, "gid": func(e *Entry) { e.GID++ },
		"mtime": func(e *Entry) { e.MTime.Nsec++ }, "flags": func(e *Entry) { e.Flags ^= NoDump }, "size": func(e *Entry) { e.Size++ },
		"content": func(e *Entry) { e.Content[31]++ }, "link": func(e *Entry) { e.Link += "x" }, "rdev": func(e *Entry) { e.Rdev++ },
		"allocated": func(e *Entry) { e.Allocated = !e.Allocated }, "path": func(e *Entry) { e.Path += "x" },
		"one attribute less": func(e *Entry) { e.Xattrs = nil },
		"a value":            func(e *Entry) { e.Xattrs = []Xattr{{"user.a", "2"}} },
	}
	for kind := Dir; kind <= Image; kind++ {
		for name, change := range changes {
			a := Entry{Path: "p", Kind: kind, Mode: 0o644, Size: 5, Link: "l", Xattrs: []Xattr{{"user.a", "1"}}}
			b := a
			change(&b)
			want := bytes.Equal(AppendBody(nil, &a), AppendBody(nil, &b))
			if got := EqualBody(&a, &b); got != want {
				t.Errorf("%s, %s: %v, the encodings say %v", kind, name, got, want)
			}
		}
		a, b := Entry{Kind: kind}, Entry{Kind: kind%Image + 1}
		if EqualBody(&a, &b) {
			t.Errorf("%s equals %s", a.Kind, b.Kind)
		}
	}
}
