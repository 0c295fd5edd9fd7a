// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/shiptest"
)

// exchanged is a source whose owner puts something else in place of the file a after
// it was listed and before it is opened.
type exchanged struct {
	*fsread.Tree
	once sync.Once
	swap func()
}

func (e *exchanged) before(n *fsread.Node) {
	if n.Path == "a" {
		e.once.Do(e.swap)
	}
}

func (e *exchanged) Open(n *fsread.Node) (fsread.Content, error) {
	e.before(n)
	return e.Tree.Open(n)
}

func (e *exchanged) OpenListed(n *fsread.Node) (fsread.Content, error) {
	e.before(n)
	return e.Tree.OpenListed(n)
}

// Whoever owns the source may not have the agent read, as root, what they cannot, nor
// make it wait or read for ever.
func TestAFileSwappedAfterListingIsNotRead(t *testing.T) {
	const secret = "secret"
	instead := func(put func(path string) error) func(string) error {
		return func(path string) error { return errors.Join(os.Remove(path), put(path)) }
	}
	for what, swap := range map[string]func(path string) error{
		"a fifo": instead(func(path string) error { return unix.Mkfifo(path, 0o600) }),
		"a device": instead(func(path string) error {
			return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) // /dev/zero
		}),
		"a link to outside":       instead(func(path string) error { return os.Symlink("../outside", path) }),
		"a link to another entry": instead(func(path string) error { return os.Symlink("b", path) }),
		"a directory":             instead(func(path string) error { return os.Mkdir(path, 0o755) }),
		"another file":            instead(func(path string) error { return os.WriteFile(path, []byte("other"), 0o600) }),
		"less of itself":          func(path string) error { return os.Truncate(path, 5) },
		"less, with a hole": func(path string) error {
			return errors.Join(os.Truncate(path, 5), os.Truncate(path, 60))
		},
	} {
		for size, n := range map[string]int{"small": 100, "large": 1 << 20} {
			t.Run(what+" for a "+size+" file", func(t *testing.T) {
				t.Parallel()
				if what == "a device" && os.Geteuid() != 0 {
					t.Skip("only root makes devices")
				}
				p := shiptest.NewPair(t)
				m := shiptest.At(t, p.Source)
				must(t, os.WriteFile(filepath.Join(filepath.Dir(p.Source), "outside"), bytes.Repeat([]byte(secret), 1<<18), 0o600))
				m.File("a", shiptest.Noise("a", n))
				m.File("b", shiptest.Noise("b", n))
				swapped := false
				p.OpenSource = func() (ship.Source, func()) {
					root, err := os.Open(p.Source)
					must(t, err)
					tree, err := fsread.OpenTree(root, p.Scan)
					must(t, err)
					return &exchanged{Tree: tree, swap: func() {
						swapped = true
						if err := swap(m.Path("a")); err != nil {
							t.Errorf("making it: %v", err)
						}
					}}, func() { _ = root.Close() }
				}
				o := p.Try(context.Background())
				if !swapped {
					t.Fatal("the file was never opened")
				}
				if r := fault.Of(o.SendErr); o.SendErr != nil && r != fault.SourceChanged {
					t.Errorf("the sender ends with %s: %v", r, o.SendErr)
				}
				if o.Received.Verified {
					t.Error("verified all the same")
				}
				must(t, filepath.WalkDir(p.Target, func(path string, d os.DirEntry, err error) error {
					if err != nil || !d.Type().IsRegular() {
						return err
					}
					got, err := os.ReadFile(path)
					if bytes.Contains(got, []byte(secret)) || what == "a device" && len(got) > 0 && len(bytes.Trim(got, "\x00")) == 0 {
						t.Errorf("%s holds what the link or the device led to", path)
					}
					return err
				}))
				p.OpenSource = nil
				p.Mirror()
			})
		}
	}
}
