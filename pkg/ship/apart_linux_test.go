// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

func TestCheckApart(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/inner/deep", "b", "sibling", "sib"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	must(t, os.Symlink(filepath.Join(dir, "a/inner"), filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "a/image"), nil, 0o644))
	for _, c := range []struct{ name, source, target, state, want string }{
		{"apart", "a", "b", "state", ""},
		{"names with a common beginning", "sib", "sibling", "sibl", ""},
		{"a target that does not exist", "a", "new", "state", ""},
		{"the same", "a", "a", "state", "are the same"},
		{"the same through a link", "a/inner", "link", "state", "are the same"},
		{"the source inside the target", "a/inner/deep", "a", "state", "is inside target"},
		{"the target inside the source", "a", "a/inner", "state", "is inside source"},
		{"the target inside the source through a link", "a", "link", "state", "is inside source"},
		{"a target inside the source that does not exist", "a", "a/x/y", "state", "is inside source"},
		{"an image file inside the source", "a", "a/image", "state", "is inside source"},
		{"the state inside the source", "a", "b", "a/state", "is inside source"},
		{"the state inside the target", "a", "b", "b/x/state", "is inside target"},
		{"the state is the target", "a", "b", "b", "is inside target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ship.CheckApart(filepath.Join(dir, c.source), filepath.Join(dir, c.target), filepath.Join(dir, c.state))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.Of(err) != fault.TargetUnsupported):
				t.Errorf("%v instead of %q", err, c.want)
			}
		})
	}
	t.Run("the target inside the source through a bind mount", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root mounts")
		}
		point := filepath.Join(dir, "sib")
		must(t, unix.Mount(filepath.Join(dir, "a/inner"), point, "", unix.MS_BIND, ""))
		defer func() { _ = unix.Unmount(point, unix.MNT_DETACH) }()
		if err := ship.CheckApart(filepath.Join(dir, "a"), point, filepath.Join(dir, "state")); err == nil {
			t.Error("accepted")
		}
	})
}

// TestTwoReceiversOfOneTarget: the second one is refused before it writes.
func TestTwoReceiversOfOneTarget(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	shiptest.At(t, p.Source).File("file", []byte("first"))
	other := shiptest.NewPair(t)
	other.Target = p.Target
	shiptest.At(t, other.Source).File("file", []byte("second"))
	shiptest.At(t, other.Source).File("another", []byte("second"))
	p.Recv.BeforeVerify = func(ctx context.Context) error {
		if out := other.Try(ctx); fault.Of(out.RecvErr) != fault.StateBusy {
			t.Errorf("the second receiver: %v", out.RecvErr)
		}
		return nil
	}
	p.Mirror()
	p.Recv.BeforeVerify = nil
	other.Mirror()
}
