// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fswrite

import (
	"container/list"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// heldDirs is how many directories stay open.
const heldDirs = 256

// dirs keeps the directories open that were used last. A handle stays good while it is
// held, even when its directory was removed meanwhile: operations in it then fail.
type dirs struct {
	root int

	mu   sync.Mutex
	open map[string]*dirHandle
	idle *list.List // of *dirHandle, used longest ago first
}

type dirHandle struct {
	path  string
	fd    int
	users int
	gone  bool // forgotten: to be closed by the last user
	place *list.Element
}

func newDirs(root int) *dirs {
	return &dirs{root: root, open: map[string]*dirHandle{}, idle: list.New()}
}

// hold opens the directory at path, or gives the open one.
func (d *dirs) hold(path string) (*dirHandle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.open[path]; h != nil {
		if h.users++; h.place != nil {
			d.idle.Remove(h.place)
			h.place = nil
		}
		return h, nil
	}
	d.mu.Unlock()
	fd, err := fsread.OpenBeneath(d.root, path, unix.O_RDONLY|unix.O_DIRECTORY)
	d.mu.Lock()
	if err != nil {
		return nil, err
	}
	if h := d.open[path]; h != nil { // opened concurrently
		_ = unix.Close(fd)
		if h.users++; h.place != nil {
			d.idle.Remove(h.place)
			h.place = nil
		}
		return h, nil
	}
	h := &dirHandle{path: path, fd: fd, users: 1}
	d.open[path] = h
	return h, nil
}

func (d *dirs) release(h *dirHandle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	if h.gone {
		_ = unix.Close(h.fd)
		return
	}
	h.place = d.idle.PushBack(h)
	for d.idle.Len() > heldDirs {
		d.drop(d.idle.Front().Value.(*dirHandle))
	}
}

func (d *dirs) drop(h *dirHandle) {
	delete(d.open, h.path)
	if h.place != nil {
		d.idle.Remove(h.place)
		h.place = nil
		_ = unix.Close(h.fd)
		return
	}
	h.gone = true
}

// forget drops the directory at path and all below it: something else may be there now.
func (d *dirs) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p, h := range d.open {
		if p == path || tree.Inside(p, path) {
			d.drop(h)
		}
	}
}

func (d *dirs) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.open {
		d.drop(h)
	}
}

// parent holds the directory that path's last name is in.
func (d *dirs) parent(path string) (*dirHandle, string, error) {
	dir, name := tree.Split(path)
	if name == "" {
		return nil, "", errors.New("the root has no parent")
	}
	h, err := d.hold(dir)
	return h, name, err
}
