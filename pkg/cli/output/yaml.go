// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"slices"

	"sigs.k8s.io/yaml"
)

// pieceBytes is how much JSON is made YAML at once. The conversion takes twenty
// times its input, and a plan of twenty thousand objects has 20 MiB.
const pieceBytes = 256 << 10

// writeYAML writes v as sigs.k8s.io/yaml does, with the keys of objects in order,
// but piece by piece.
func writeYAML(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	raw = withoutControls(raw)
	y := &yamlWriter{w: bufio.NewWriter(w), piece: pieceBytes}
	y.value(raw, "", "")
	if y.err != nil {
		return y.err
	}
	return y.w.Flush()
}

// yamlWriter keeps the first error and does nothing after it.
type yamlWriter struct {
	w     *bufio.Writer
	piece int
	err   error
}

// value writes a value of JSON without white space: first is in front of its
// first line, rest in front of the others.
func (y *yamlWriter) value(raw []byte, first, rest string) {
	switch {
	case !y.large(raw):
		y.convert(raw, first, rest)
	case raw[0] == '{':
		y.object(raw, first, rest)
	default:
		y.list(raw, first, rest)
	}
}

// large values are taken apart; empty ones cannot be.
func (y *yamlWriter) large(raw []byte) bool {
	return len(raw) > max(y.piece, len("{}")) && (raw[0] == '{' || raw[0] == '[')
}

func (y *yamlWriter) object(raw []byte, first, rest string) {
	fields := parts(raw)
	slices.SortFunc(fields, func(a, b []byte) int { return bytes.Compare(keyOf(a), keyOf(b)) })
	for _, f := range fields {
		y.field(f, first, rest)
		first = rest
	}
}

// field writes "key":value.
func (y *yamlWriter) field(field []byte, first, rest string) {
	key := keyOf(field)
	value := field[len(key)+1:]
	name, plain := yamlKey(key)
	if !y.large(value) || !plain {
		y.convert(slices.Concat([]byte("{"), field, []byte("}")), first, rest)
		return
	}
	y.print(first, name, "\n")
	if value[0] == '{' {
		rest += "  "
	}
	y.value(value, rest, rest)
}

// yamlKey is a key with its colon; plain is false for one that is too long to stand
// before it.
func yamlKey(key []byte) (name string, plain bool) {
	text, err := yaml.JSONToYAML(slices.Concat([]byte("{"), key, []byte(":null}")))
	name, plain = string(bytes.TrimSuffix(text, []byte(" null\n"))), bytes.HasSuffix(text, []byte(": null\n"))
	return name, plain && err == nil && text[0] != '?'
}

func (y *yamlWriter) list(raw []byte, first, rest string) {
	batch := []byte("[")
	flush := func() {
		if len(batch) > 1 {
			batch[len(batch)-1] = ']'
			y.convert(batch, first, rest)
			batch, first = batch[:1], rest
		}
	}
	for _, e := range parts(raw) {
		if y.large(e) {
			flush()
			y.value(e, first+"- ", rest+"  ")
			first = rest
			continue
		}
		if len(batch)+len(e) > y.piece {
			flush()
		}
		batch = append(append(batch, e...), ',')
	}
	flush()
}

// convert writes a value in one piece.
func (y *yamlWriter) convert(raw []byte, first, rest string) {
	if y.err != nil {
		return
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		y.err = err
		return
	}
	for line := range bytes.Lines(text) {
		if len(line) > 1 { // an empty line of a text needs no indentation
			y.print(first)
		}
		y.print(string(line))
		first = rest
	}
}

func (y *yamlWriter) print(texts ...string) {
	for _, s := range texts {
		if y.err == nil {
			_, y.err = y.w.WriteString(s)
		}
	}
}

// parts takes an object or a list of JSON without white space apart at its commas.
// What it returns are parts of raw.
func parts(raw []byte) [][]byte {
	var out [][]byte
	depth, from := 0, 1
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i += stringLen(raw[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 1 {
				out = append(out, raw[from:i])
				from = i + 1
			}
		}
	}
	if end := len(raw) - 1; end > from {
		out = append(out, raw[from:end])
	}
	return out
}

// keyOf is the key that a field begins with, in its quotes.
func keyOf(field []byte) []byte { return field[:stringLen(field)] }

// stringLen is the length of the string that raw begins with, quotes included.
func stringLen(raw []byte) int {
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}
