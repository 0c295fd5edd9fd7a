// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package shiptest

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// ErrKilled is what a faulty target's operations fail with after its end.
var ErrKilled = errors.New("killed by the test")

// CutAfter makes a wrapper for the connections of one pass, which break together once so
// many bytes were written to them in all.
func CutAfter(bytes int64) func(net.Conn) net.Conn {
	c := &cutter{left: bytes}
	return c.wrap
}

type cutter struct {
	mu    sync.Mutex
	left  int64
	conns []net.Conn
}

func (c *cutter) wrap(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &cutConn{Conn: conn, c: c}
}

func (c *cutter) spend(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= int64(n); c.left >= 0 {
		return nil
	}
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	return net.ErrClosed
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c *cutConn) Write(b []byte) (int, error) {
	if err := c.c.spend(len(b)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// DyingTarget is a target whose process dies before its n-th operation: that and all later
// ones do nothing, and Died is called at the first.
type DyingTarget struct {
	fswrite.Target
	Left atomic.Int64
	Died func()
}

func (t *DyingTarget) die() error {
	n := t.Left.Add(-1)
	if n == -1 && t.Died != nil {
		t.Died()
	}
	if n < 0 {
		return ErrKilled
	}
	return nil
}

// OpenStage may be the operation that it dies at.
func (t *DyingTarget) OpenStage(name string, create bool) (bool, error) {
	if err := t.die(); err != nil {
		return false, err
	}
	return t.Target.OpenStage(name, create)
}

// RemoveStages may be the operation that it dies at.
func (t *DyingTarget) RemoveStages(keep string) error {
	if err := t.die(); err != nil {
		return err
	}
	return t.Target.RemoveStages(keep)
}

// Mkdir may be the operation that it dies at.
func (t *DyingTarget) Mkdir(path string) error {
	if err := t.die(); err != nil {
		return err
	}
	return t.Target.Mkdir(path)
}

// Create may be the operation that it dies at.
func (t *DyingTarget) Create(p fswrite.Place) (fswrite.File, error) {
	if err := t.die(); err != nil {
		return nil, err
	}
	f, err := t.Target.Create(p)
	return &dyingFile{File: f, t: t}, err
}

// Edit may be the operation that it dies at.
func (t *DyingTarget) Edit(p fswrite.Place) (fswrite.File, error) {
	if err := t.die(); err != nil {
		return nil, err
	}
	f, err := t.Target.Edit(p)
	if err != nil {
		return nil, err
	}
	return &dyingFile{File: f, t: t}, nil
}

// Make may be the operation that it dies at.
func (t *DyingTarget) Make(p fswrite.Place, e *tree.Entry) (fsread.Node, error) {
	if err := t.die(); err != nil {
		return fsread.Node{}, err
	}
	return t.Target.Make(p, e)
}

// Link may be the operation that it dies at.
func (t *DyingTarget) Link(path, first string) (fsread.Node, error) {
	if err := t.die(); err != nil {
		return fsread.Node{}, err
	}
	return t.Target.Link(path, first)
}

// Remove may be the operation that it dies at.
func (t *DyingTarget) Remove(path string) error {
	if err := t.die(); err != nil {
		return err
	}
	return t.Target.Remove(path)
}

// Describe may be the operation that it dies at.
func (t *DyingTarget) Describe(e *tree.Entry) (fsread.Node, error) {
	if err := t.die(); err != nil {
		return fsread.Node{}, err
	}
	return t.Target.Describe(e)
}

// Arrive may be the operation that it dies at.
func (t *DyingTarget) Arrive(staged uint64, e *tree.Entry, keep bool) (fsread.Node, bool, error) {
	if err := t.die(); err != nil {
		return fsread.Node{}, false, err
	}
	return t.Target.Arrive(staged, e, keep)
}

// Sync may be the operation that it dies at.
func (t *DyingTarget) Sync() error {
	if err := t.die(); err != nil {
		return err
	}
	return t.Target.Sync()
}

// CopyMethod may be the operation that it dies at.
func (t *DyingTarget) Source(mask tree.Mask) (fsread.Source, error) {
	if err := t.die(); err != nil {
		return nil, err
	}
	return t.Target.Source(mask)
}

type dyingFile struct {
	fswrite.File
	t *DyingTarget
}

func (f *dyingFile) WriteAt(data []byte, off int64) error {
	if err := f.t.die(); err != nil {
		// A write that was cut short is the worst a kill can leave.
		_ = f.File.WriteAt(data[:len(data)/2], off)
		return err
	}
	return f.File.WriteAt(data, off)
}

func (f *dyingFile) Zero(off, length int64, keep bool) error {
	if err := f.t.die(); err != nil {
		return err
	}
	return f.File.Zero(off, length, keep)
}

func (f *dyingFile) Resize(size int64, allocate bool) error {
	if err := f.t.die(); err != nil {
		return err
	}
	return f.File.Resize(size, allocate)
}

func (f *dyingFile) Describe(e *tree.Entry) (fsread.Node, error) {
	if err := f.t.die(); err != nil {
		return fsread.Node{}, err
	}
	return f.File.Describe(e)
}

var _ ship.Target = (*DyingTarget)(nil)

// WatchedTarget counts what was done to a target since its last Sync, so that a test can ask
// whether a power failure would take something.
type WatchedTarget struct {
	fswrite.Target
	Unsynced atomic.Int64
}

// Mkdir counts.
func (t *WatchedTarget) Mkdir(path string) error {
	t.Unsynced.Add(1)
	return t.Target.Mkdir(path)
}

// Create counts.
func (t *WatchedTarget) Create(p fswrite.Place) (fswrite.File, error) {
	t.Unsynced.Add(1)
	return t.Target.Create(p)
}

// Edit counts: an editor writes.
func (t *WatchedTarget) Edit(p fswrite.Place) (fswrite.File, error) {
	t.Unsynced.Add(1)
	return t.Target.Edit(p)
}

// Make counts.
func (t *WatchedTarget) Make(p fswrite.Place, e *tree.Entry) (fsread.Node, error) {
	t.Unsynced.Add(1)
	return t.Target.Make(p, e)
}

// Link counts.
func (t *WatchedTarget) Link(path, first string) (fsread.Node, error) {
	t.Unsynced.Add(1)
	return t.Target.Link(path, first)
}

// Remove counts.
func (t *WatchedTarget) Remove(path string) error {
	t.Unsynced.Add(1)
	return t.Target.Remove(path)
}

// Describe counts.
func (t *WatchedTarget) Describe(e *tree.Entry) (fsread.Node, error) {
	t.Unsynced.Add(1)
	return t.Target.Describe(e)
}

// Arrive counts.
func (t *WatchedTarget) Arrive(staged uint64, e *tree.Entry, keep bool) (fsread.Node, bool, error) {
	t.Unsynced.Add(1)
	return t.Target.Arrive(staged, e, keep)
}

// Sync makes everything durable that was done before it began.
func (t *WatchedTarget) Sync() error {
	before := t.Unsynced.Load()
	err := t.Target.Sync()
	t.Unsynced.Add(-before)
	return err
}
