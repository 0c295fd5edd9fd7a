// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

const (
	// walkers read directories ahead of the consumer.
	walkers = 16
	// chunk is how many entries of a directory are looked at in one go.
	chunk = 4096
	// readAhead bounds the nodes that are read but not yet consumed.
	readAhead = 32 << 10
)

// Walker gives all nodes of a view in path order, reading directories ahead in parallel.
// The further names of an inode come as Hardlink nodes.
type Walker struct {
	v      Source
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	links  Links

	mu      sync.Mutex
	more    sync.Cond // for those who load: something to load, and room for it
	loaded  sync.Cond // for the consumer
	pending []*stream // unstarted, the next in path order last
	ahead   int       // nodes loaded, not consumed
	closed  bool

	stack   []*level
	started bool
	moved   []string
}

// Links remembers the first path of each inode that has several names.
type Links interface {
	// First gives the path under which the inode was given first, which is path itself at
	// the first call.
	First(dev, ino uint64, path string) (string, error)
	Close() error
}

// stream is a directory, read chunk by chunk.
type stream struct {
	path  string
	state streamState
	dir   Dir
	nodes []Node
	subs  []*stream // of the directories among nodes, in order
	eof   bool
	err   error
}

type streamState uint8

const (
	idle streamState = iota
	loading
	ready
)

// level is a directory that the consumer is in.
type level struct {
	s     *stream
	nodes []Node
	subs  []*stream
	last  bool // no further chunk
}

// Walk starts walking v. links is the walker's from now on.
func Walk(ctx context.Context, v Source, links Links) *Walker {
	ctx, cancel := context.WithCancel(ctx)
	w := &Walker{v: v, ctx: ctx, cancel: cancel, links: links}
	w.more.L, w.loaded.L = &w.mu, &w.mu
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.more.Broadcast()
		w.loaded.Broadcast()
	})
	if !v.Info().Image {
		for range walkers {
			w.group.Go(w.work)
		}
	}
	return w
}

// Close stops the walk and frees what it holds.
func (w *Walker) Close() error {
	w.cancel()
	w.group.Wait()
	for _, l := range w.stack {
		l.s.close()
	}
	for _, s := range w.pending {
		s.close()
	}
	return w.links.Close()
}

// TakeChanged gives the paths that vanished under the walk since the last call.
func (w *Walker) TakeChanged() []string {
	m := w.moved
	w.moved = nil
	return m
}

// Next gives the next node, and io.EOF after the last. The node is the caller's.
func (w *Walker) Next() (*Node, error) {
	if !w.started {
		w.started = true
		return w.root()
	}
	for len(w.stack) > 0 {
		l := w.stack[len(w.stack)-1]
		if len(l.nodes) == 0 {
			if err := w.advance(l); err != nil {
				return nil, err
			}
			continue
		}
		n := &l.nodes[0]
		l.nodes = l.nodes[1:]
		if n.Kind == 0 {
			w.moved = append(w.moved, n.Path)
			continue
		}
		if n.Kind == tree.Dir {
			s := l.subs[0]
			l.subs = l.subs[1:]
			w.stack = append(w.stack, &level{s: s})
		}
		return n, w.link(n)
	}
	return nil, io.EOF
}

func (w *Walker) root() (*Node, error) {
	n, err := w.v.Root()
	if err != nil {
		return nil, err
	}
	if n.Kind == tree.Dir {
		w.stack = append(w.stack, &level{s: &stream{}})
	}
	return &n, nil
}

func (w *Walker) link(n *Node) error {
	if n.Links < 2 || n.Kind == tree.Dir || n.Kind == tree.Image {
		return nil
	}
	first, err := w.links.First(n.Dev, n.Stamp.Ino, n.Path)
	if err != nil {
		return err
	}
	if first != n.Path {
		stamp, links := n.Stamp, n.Links
		*n = Node{Entry: tree.Entry{Path: n.Path, Kind: tree.Hardlink, Link: first}, Stamp: stamp, Links: links}
	}
	return nil
}

// advance takes the next chunk of l's directory, or leaves it.
func (w *Walker) advance(l *level) error {
	if l.last {
		w.stack = w.stack[:len(w.stack)-1]
		return nil
	}
	s := l.s
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.state == idle {
		w.loadLocked(s)
	}
	for s.state == loading && !w.closed {
		w.loaded.Wait()
	}
	if w.closed && s.state != ready {
		return context.Cause(w.ctx)
	}
	var moved *ChangedError
	if errors.As(s.err, &moved) && w.v.Info().Live {
		w.moved = append(w.moved, moved.Path)
		s.nodes, s.err, s.eof = nil, nil, true
	}
	if s.err != nil {
		if moved != nil {
			return fault.At(fault.SourceChanged, moved.Path, nil, "changed during read, in a source that must not change")
		}
		return s.err
	}
	l.nodes, l.subs, l.last = s.nodes, s.subs, s.eof
	w.ahead -= len(s.nodes) + 1
	s.nodes, s.subs, s.state = nil, nil, idle
	if !s.eof {
		w.pushLocked(s)
		w.pushSubsLocked(l.subs)
	}
	w.more.Signal()
	return nil
}

// work loads directories, the next in path order first.
func (w *Walker) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed {
		s := w.popLocked()
		if s == nil {
			w.more.Wait()
			continue
		}
		if len(w.pending) > 0 {
			w.more.Signal() // one wakes the next
		}
		w.loadLocked(s)
		w.loaded.Signal()
	}
}

func (w *Walker) popLocked() *stream {
	for w.ahead < readAhead && len(w.pending) > 0 {
		s := w.pending[len(w.pending)-1]
		w.pending[len(w.pending)-1] = nil
		w.pending = w.pending[:len(w.pending)-1]
		if s.state == idle && !s.eof {
			return s
		}
	}
	return nil
}

func (w *Walker) pushLocked(s *stream) { w.pending = append(w.pending, s) }

func (w *Walker) pushSubsLocked(subs []*stream) {
	for _, sub := range slices.Backward(subs) {
		if sub.state == idle {
			w.pushLocked(sub)
		}
	}
}

// loadLocked reads the next chunk of s with the lock released meanwhile.
func (w *Walker) loadLocked(s *stream) {
	s.state = loading
	w.mu.Unlock()
	if err := fault.Guard(func() error { s.load(w.v); return nil }); err != nil {
		s.nodes, s.subs, s.err = nil, nil, err // it panicked
	}
	w.mu.Lock()
	s.state = ready
	w.ahead += len(s.nodes) + 1
	if s.eof {
		w.pushSubsLocked(s.subs)
	}
}

func (s *stream) load(v Source) {
	if s.dir == nil {
		if s.dir, s.err = v.ReadDir(s.path); s.err != nil {
			s.dir = nil
			return
		}
	}
	s.nodes, s.err = s.dir.Next(chunk)
	if errors.Is(s.err, io.EOF) {
		s.nodes, s.err, s.eof = nil, nil, true
	}
	if s.err == nil && len(s.nodes) > 0 && len(s.nodes) < chunk/2 {
		s.finish()
	}
	for i := range s.nodes {
		if s.nodes[i].Kind == tree.Dir {
			s.subs = append(s.subs, &stream{path: s.nodes[i].Path})
		}
	}
	if s.eof || s.err != nil {
		s.close()
	}
}

// finish sees whether a short chunk was the last one, which spares most directories a
// second round.
func (s *stream) finish() {
	more, err := s.dir.Next(chunk)
	if errors.Is(err, io.EOF) {
		s.eof = true
		return
	}
	s.nodes, s.err = append(s.nodes, more...), err
}

func (s *stream) close() {
	if s.dir != nil {
		_ = s.dir.Close()
		s.dir = nil
	}
}
