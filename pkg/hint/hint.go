// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package hint attaches to an error what the user can do about it, apart from the
// error's text: that text may contain what others wrote, which must never look like
// a hint of ours.
package hint

import (
	"fmt"
	"regexp"
	"strings"
)

// Error is an error with a hint.
type Error struct {
	Err  error
	Hint string
}

// New adds a hint, which is a sentence in the imperative or a command to run. Quote
// with Shell what goes into a command.
func New(err error, format string, args ...any) error {
	return &Error{Err: err, Hint: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Err.Error() }

// Hints returns the one hint.
func (e *Error) Hints() []string { return []string{e.Hint} }

// Unwrap returns the error without the hint.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the hints of an error and of all that it wraps, each once: those of New,
// and of types that have a method Hints.
func Of(err error) []string {
	var out []string
	collect(err, map[string]bool{}, &out)
	return out
}

func collect(err error, seen map[string]bool, out *[]string) {
	if e, ok := err.(interface{ Hints() []string }); ok {
		for _, h := range e.Hints() {
			if h != "" && !seen[h] {
				seen[h] = true
				*out = append(*out, h)
			}
		}
	}
	switch e := err.(type) { //nolint:errorlint // each error of the tree is visited
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			collect(next, seen, out)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			collect(next, seen, out)
		}
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// Shell quotes words for a POSIX shell and joins them: a command that the user can
// paste, even if others chose the words.
func Shell(words ...string) string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		if !plainWord.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}
