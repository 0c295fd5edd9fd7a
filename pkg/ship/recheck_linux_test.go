// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"os"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// changingSource changes once, when everything was read.
type changingSource struct {
	*fsread.Tree
	change func()
}

func (s *changingSource) Resync() error {
	s.change()
	return s.Tree.Resync()
}

// TestAChangeBehindTheReader: what changes after it was read is not verified, and the next sync
// sends it.
func TestAChangeBehindTheReader(t *testing.T) {
	for name, change := range map[string]func(*shiptest.Maker){
		"nothing":            nil,
		"a moved name":       func(m *shiptest.Maker) { m.Must(os.Rename(m.Path("z/token"), m.Path("a/token"))) },
		"a new name":         func(m *shiptest.Maker) { m.File("a/new", nil) },
		"a new directory":    func(m *shiptest.Maker) { m.Dir("a/new") },
		"a removed name":     func(m *shiptest.Maker) { m.Remove("a/file") },
		"a write in place":   func(m *shiptest.Maker) { m.Write("a/file", 3, []byte("new")) },
		"a mode":             func(m *shiptest.Maker) { m.Mode("a/file", 0o600) },
		"a directory's mode": func(m *shiptest.Maker) { m.Mode("a", 0o700) },
		"an attribute":       func(m *shiptest.Maker) { m.Xattr("a/file", "user.x", "new") },
		"a symlink":          func(m *shiptest.Maker) { m.Remove("link"); m.Symlink("link", "z") },
		"a link":             func(m *shiptest.Maker) { m.Link("a/second", "a/file") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := shiptest.NewPair(t)
			m := shiptest.At(t, p.Source)
			m.Dir("a")
			m.Dir("z")
			m.File("a/file", []byte("content"))
			m.File("z/token", []byte("token"))
			m.Symlink("link", "a")
			live := true
			p.OpenSource = func() (ship.Source, func()) {
				root, err := os.Open(p.Source)
				must(t, err)
				s, err := fsread.OpenTree(root, fsread.Options{Live: live})
				must(t, err)
				return &changingSource{s, func() {
					if change != nil {
						change(m)
					}
				}}, func() { _ = root.Close() }
			}
			out := p.Ship()
			if verified := out.Sent.Verified && out.Received.Verified; verified != (change == nil) {
				t.Errorf("verified: %v", verified)
			}
			if counted := out.Sent.ChangedDuringRead > 0; counted != (change != nil) {
				t.Errorf("%d entries changed during read", out.Sent.ChangedDuringRead)
			}
			change = nil
			p.Mirror()

			live = false
			change = func(m *shiptest.Maker) { m.File("late", []byte("late")) }
			if out := p.Try(t.Context()); fault.Of(out.SendErr) != fault.SourceChanged || out.Received.Verified {
				t.Errorf("a source that must not change: %v", out.SendErr)
			}
			change = nil
			p.Mirror()
		})
	}
}

// TestWhatIsNotSettledCountsAsChanged: a page may have been dirty when it was read, and a store to
// it through a mapping advances no timestamp.
func TestWhatIsNotSettledCountsAsChanged(t *testing.T) {
	t.Parallel()
	p := shiptest.NewPair(t)
	m := shiptest.At(t, p.Source)
	m.File("file", []byte("content"))
	write := func() {}
	trusted := false
	p.OpenSource = func() (ship.Source, func()) {
		root, err := os.Open(p.Source)
		must(t, err)
		s, err := fsread.OpenTree(root, fsread.Options{Live: true})
		must(t, err)
		trusted = s.Info().Trusted
		write() // after the cut, and before it is read
		return s, func() { _ = root.Close() }
	}
	p.Mirror()
	if !trusted {
		t.Log("ctime is not known to be kept on this filesystem")
		return
	}
	write = func() { m.Write("file", 0, []byte("CONTENT")) }
	if out := p.Ship(); out.Received.Verified || out.Sent.ChangedDuringRead != 1 || out.Sent.FirstChangedPath != tree.Join("", "file") {
		t.Errorf("%+v", out.Sent)
	}
	write = func() {}
	p.Mirror()
}
