// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestADirectoryBeyondTheLimitIsReadInOrderWithoutHoldingItsNames(t *testing.T) {
	const total, limit = 20_000, 3000
	folder := t.TempDir()
	var want []string
	for i := range total {
		name := fmt.Sprintf("%x-%d", i*7919%total, i)
		if err := os.Symlink("x", filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	root, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	v, err := OpenTree(root, Options{CutUnixNano: 1})
	if err != nil {
		t.Fatal(err)
	}
	v.maxNames = limit
	d, err := v.ReadDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []string
	for {
		nodes, err := d.Next(1000)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(d.(*dir).names.list); n > limit {
			t.Fatalf("%d names are held", n)
		}
		for i := range nodes {
			got = append(got, nodes[i].Path)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d names of %d, or not in order", len(got), len(want))
	}
}
