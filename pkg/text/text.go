// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package text escapes text that comes from a cluster, its users or its volumes,
// before it is shown to a person.
//
// Such text may hold anything: terminal control sequences, bidirectional overrides
// that reorder what is read, bytes that are not UTF-8, line feeds that imitate a line
// of this program. What does not print is escaped as in a Go string, so that nothing
// is lost and nothing is interpreted.
package text

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line escapes s as a part of one line: line feeds and tabs are escaped, too.
func Line(s string) string { return escape(s, "", math.MaxInt) }

// Lines escapes s as text of several lines: line feeds and tabs are kept.
func Lines(s string) string { return escape(s, "\n\t", math.MaxInt) }

// Bounded is Line, ended by an ellipsis after about limit bytes of output.
func Bounded(s string, limit int) string { return escape(s, "", limit) }

func escape(s, keep string, limit int) string {
	var b strings.Builder
	for len(s) > 0 && b.Len() < limit {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	if len(s) > 0 {
		b.WriteString(" …")
	}
	return b.String()
}
