// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// listed iterates over records with these paths.
type listed []string

func (l *listed) Next() (Record, error) {
	if len(*l) == 0 {
		return Record{}, io.EOF
	}
	r := Record{Entry: tree.Entry{Path: (*l)[0]}}
	*l = (*l)[1:]
	return r, nil
}

func (*listed) Close() error { return nil }

func records(paths string) Iterator {
	l := listed(strings.Fields(paths))
	return &l
}

func TestJoin(t *testing.T) {
	for _, c := range []struct{ left, right, want string }{
		{"", "", ""},
		{"a b", "", "a< b<"},
		{"", "a b", "a> b>"},
		{"a c d", "b c e", "a< b> c<> d< e>"},
		{"c", "a b c", "a> b> c<>"},
	} {
		t.Run(fmt.Sprintf("%q with %q", c.left, c.right), func(t *testing.T) {
			join := JoinRecords(records(c.left), NewCursor(records(c.right)))
			var got []string
			for {
				p, err := join.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				text := p.Path
				if p.OnLeft {
					text += "<"
				}
				if p.Right != nil {
					text += ">"
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestCursorUntilStopsBeforeThePath(t *testing.T) {
	c := NewCursor(records("a b c d"))
	var got string
	add := func(r *Record) error { got += r.Entry.Path; return nil }
	if err := c.Until("c", false, add); err != nil || got != "ab" {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.Until("", true, add); err != nil || got != "abcd" {
		t.Errorf("%q, %v", got, err)
	}
}
