// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
)

// The table is mapped: a hole in it that cannot be filled would end the process.
func TestHardlinkTableOnAFullFilesystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: no filesystem can be mounted here")
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1M"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	links := NewLinks(dir)
	defer links.Close()
	for i := range uint64(1 << 20) {
		_, err := links.First(1, i+1, fmt.Sprint(i))
		if fault.Of(err) == fault.StateFull {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("a million links fit into 1 MiB")
}
