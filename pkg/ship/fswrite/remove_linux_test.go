// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// However many entries a directory has, and however many of them are directories, only so
// many names are held while it is removed.
func TestADirectoryOfAnySizeIsRemovedWithinBoundedMemory(t *testing.T) {
	folder := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range removeAhead + 2000 {
		sub := filepath.Join(folder, "wide", fmt.Sprintf("dir-%d", i))
		must(os.MkdirAll(sub, 0o755))
		must(os.Symlink("x", filepath.Join(sub, "link")))
		must(os.Symlink("x", filepath.Join(folder, "wide", fmt.Sprintf("link-%d", i))))
	}
	deep := filepath.Join(folder, "wide", "dir-7")
	for range 100 {
		deep = filepath.Join(deep, "deeper")
	}
	must(os.MkdirAll(deep, 0o755))
	root, err := os.Open(folder)
	must(err)
	defer root.Close()
	target, err := OpenTree(root, Options{})
	must(err)
	defer target.Close()
	r := &remover{t: target, pending: []string{"wide"}}
	for more := true; more; {
		more, err = r.step()
		must(err)
		if n := len(r.pending); n > removeAhead+100 {
			t.Fatalf("%d names are held", n)
		}
	}
	if _, err := os.Lstat(filepath.Join(folder, "wide")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
