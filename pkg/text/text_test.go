// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for name, c := range map[string]struct{ in, line, lines string }{
		"text that prints":    {"größe 5 – ok", "größe 5 – ok", "größe 5 – ok"},
		"a terminal sequence": {"a\x1b[31mb", `a\x1b[31mb`, `a\x1b[31mb`},
		"a bidi override":     {"a\u202eb", `a\u202eb`, `a\u202eb`},
		"bytes, not UTF-8":    {"a\xffb", `a\xffb`, `a\xffb`},
		"a forged line":       {"x\nhint: y\tz", `x\nhint: y\tz`, "x\nhint: y\tz"},
		"a carriage return":   {"x\ry", `x\ry`, `x\ry`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(c.in); got != c.line {
				t.Errorf("Line: %q, want %q", got, c.line)
			}
			if got := Lines(c.in); got != c.lines {
				t.Errorf("Lines: %q, want %q", got, c.lines)
			}
		})
	}
}

func TestBounded(t *testing.T) {
	if got := Bounded("short", 10); got != "short" {
		t.Errorf("%q", got)
	}
	long := Bounded(strings.Repeat("é\x1b", 1000), 101)
	if !utf8.ValidString(long) || !strings.HasSuffix(long, " …") || len(long) > 110 {
		t.Errorf("%d bytes: %q", len(long), long)
	}
}
