// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The number of a closed descriptor is soon that of another file, perhaps of another tenant.
func TestClosedFileIsNotRead(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"mine": "mine", "secret": "secret"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	v, err := OpenTree(root, Options{CutUnixNano: 1})
	if err != nil {
		t.Fatal(err)
	}
	var n Node
	n.Path = "mine"
	c, err := v.OpenListed(&n)
	if err != nil {
		t.Fatal(err)
	}
	was := c.(*file).fd
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	secret, err := os.Open(filepath.Join(folder, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if int(secret.Fd()) != was {
		t.Logf("the number %d was given to another file", was)
	}
	buf := make([]byte, 16)
	if n, err := c.ReadAt(buf, 0); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if _, _, err := c.NextData(0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("next data: %v", err)
	}
	if err := c.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}
