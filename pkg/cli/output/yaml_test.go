// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// thing makes a value of JSON with everything that is awkward in YAML.
func thing(r *rand.Rand, depth int) any {
	words := []string{
		"", "yes", "null", "1e3", "- a", "a: b", "#x", "two\nlines\n", "\n\nblank\n\n  and indented\n", " led", "tab\t", "quo\"te\\", "{}", "[,]", "ünï\u202e", "x\x00y",
		strings.Repeat("long with spaces ", 20), strings.Repeat("k", 140), "? q", "~",
	}
	switch n := r.IntN(9); {
	case depth == 0 || n < 3:
		return []any{words[r.IntN(len(words))], float64(r.IntN(1000)), r.IntN(2) == 0, nil, map[string]any{}, []any{}}[r.IntN(6)]
	case n < 6:
		m := map[string]any{}
		for range r.IntN(6) {
			m[words[r.IntN(len(words))]] = thing(r, depth-1)
		}
		return m
	default:
		list := []any{}
		for range r.IntN(6) {
			list = append(list, thing(r, depth-1))
		}
		return list
	}
}

// TestYAMLInPiecesSaysWhatYAMLInOnePieceSays, whatever the size of the pieces.
func TestYAMLInPiecesSaysWhatYAMLInOnePieceSays(t *testing.T) {
	for seed := range uint64(400) {
		want := thing(rand.New(rand.NewPCG(seed, 1)), 5)
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []int{1, 20, 100, 1 << 20} {
			var b bytes.Buffer
			y := &yamlWriter{w: bufio.NewWriter(&b), piece: piece}
			y.value(raw, "", "")
			if y.err != nil || y.w.Flush() != nil {
				t.Fatalf("seed %d, pieces of %d: %v", seed, piece, y.err)
			}
			var got any
			if err := yaml.Unmarshal(b.Bytes(), &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, pieces of %d: %v\n%s\nof %s", seed, piece, err, b.String(), raw)
			}
		}
	}
}

// TestASmallResultLooksAsKubectlWouldPrintIt.
func TestASmallResultLooksAsKubectlWouldPrintIt(t *testing.T) {
	v := map[string]any{"b": []any{map[string]any{"x": 1, "a": "two\nlines"}, "c"}, "a": map[string]any{"z": nil}}
	want, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeYAML(&b, v); err != nil || b.String() != string(want) {
		t.Errorf("%v: %s, want %s", err, b.String(), want)
	}
	var pieces bytes.Buffer
	y := &yamlWriter{w: bufio.NewWriter(&pieces), piece: 1}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if y.value(raw, "", ""); y.w.Flush() != nil || pieces.String() != string(want) {
		t.Errorf("in pieces: %s, want %s", pieces.String(), want)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestAnErrorOfTheWriterIsNotLost.
func TestAnErrorOfTheWriterIsNotLost(t *testing.T) {
	var list []string
	for i := range 100000 {
		list = append(list, fmt.Sprint("entry ", i))
	}
	if err := writeYAML(full{}, list); err == nil || err.Error() != "no space left" {
		t.Errorf("error %v", err)
	}
}
