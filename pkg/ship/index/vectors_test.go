// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"encoding/hex"
	"errors"
	cmdline "flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

var update = cmdline.Bool("update", false, "rewrite the test vectors")

// The vectors in testdata/vectors.txt are files of a state; docs/formats.md explains them. They
// change only together with the version in a head's or a run's first line.

var vectorHeads = map[string]Head{"head-of-nothing": {}, "head": someHead()}

// vectorRows are the leaf digests that belong to vectorRun.
var vectorRows = bytes.Repeat([]byte{0xab}, 2*tree.LeafDigestSize)

// vectorRun is a run as a pass writes it: some records and a mark, more of them and another
// mark, which speaks of leaf digests and of a cut.
func vectorRun(t *testing.T) []byte {
	t.Helper()
	create := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	run := create("run")
	w := newWriter(4, run, create("rows"))
	defer w.Close()
	records := vectorRecords()
	for i := range records {
		if i == 2 {
			if _, err := w.checkpoint(7, tree.Time{}); err != nil {
				t.Fatal(err)
			}
			if err := w.AddRows(vectorRows); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.checkpoint(8, tree.Time{Sec: 100, Nsec: 9}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(run.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vectorRecords have a last one whose stamp only the mark's cut settles.
func vectorRecords() []Record {
	records := someRecords()
	last := &records[len(records)-1]
	last.Stamp = tree.Stamp{Ino: 13, CTime: tree.Time{Sec: 99, Nsec: 1}}
	last.Rows = Rows{Run: 4}
	return records
}

func readRun(t *testing.T, data []byte) (m mark, whole bool, records []Record, err error) {
	t.Helper()
	m, whole, ok := lastMark(bytes.NewReader(data))
	if !ok {
		return m, whole, nil, ErrCorrupt
	}
	path := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReader(f, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m, whole, records, nil
		}
		if err != nil {
			return m, whole, records, err
		}
		records = append(records, rec)
	}
}

func vectorFile(t *testing.T) map[string][]byte {
	t.Helper()
	const file = "testdata/vectors.txt"
	if *update {
		var out strings.Builder
		for _, name := range []string{"head-of-nothing", "head"} {
			data, err := encodeHead(vectorHeads[name])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %x\n", name, data)
		}
		fmt.Fprintf(&out, "run %x\n", vectorRun(t))
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if known[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return known
}

func TestTheFilesOfTheStateAreThoseOfTheVectors(t *testing.T) {
	known := vectorFile(t)
	if len(known) != len(vectorHeads)+1 {
		t.Errorf("%d vectors, and %d values", len(known), len(vectorHeads)+1)
	}
	for name, h := range vectorHeads {
		want := known[name]
		if got, err := encodeHead(h); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is written as %q, the vector is %q (%v)", name, got, want, err)
		}
		if got, err := decodeHead(want); err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%s is read as %+v (%v)", name, got, err)
		}
		for n := range want { // what is cut off is always noticed
			if _, err := decodeHead(want[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %d of %d bytes are taken for a head (%v)", name, n, len(want), err)
			}
		}
	}
	want := known["run"]
	if got := vectorRun(t); !bytes.Equal(got, want) {
		t.Errorf("the run is written as\n%x, the vector is\n%x", got, want)
	}
	m, whole, records, err := readRun(t, want)
	settled := vectorRecords()
	settled[len(settled)-1].Stamp.Settled = true
	if err != nil || !whole || !reflect.DeepEqual(records, settled) {
		t.Errorf("the run is read as (whole: %v, %v)\n%+v, not as\n%+v", whole, err, records, settled)
	}
	if m.value != 8 || m.records != 4 || m.rows != int64(len(vectorRows)) || m.cut != (tree.Time{Sec: 100, Nsec: 9}) {
		t.Errorf("its mark is read as %+v", m)
	}
	for n := range want { // a run that is cut off counts up to the mark before
		m, whole, records, err := readRun(t, want[:n])
		if err == nil && (m.value != 7 || !reflect.DeepEqual(records, settled[:2])) || whole && m.value == 8 {
			t.Errorf("of %d of %d bytes of the run %d records count, under the mark %d (%v)", n, len(want), len(records), m.value, err)
		}
	}
}
