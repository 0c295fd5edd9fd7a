// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// pieceSize is how much of a large content is read in one go.
const pieceSize = 1 << 20

const (
	batchBytes   = 1 << 20
	batchEntries = 1024
)

// job is a piece of work for a reader: some entries, or a part of one large content.
type job struct {
	entries []planned
	piece   *piece
	cost    int64 // bytes of memory it will take
}

// planned is one path of the merge of source, base and what is remembered.
type planned struct {
	// node is nil when the path is gone.
	node *fsread.Node
	path string
	// base is what the target has; inBase is true when it has it.
	base   index.Record
	inBase bool
	// known is the description of the same unchanged inode from an earlier sync.
	known   index.Record
	isKnown bool
}

// spares are batches for reuse.
type spares struct{ planned, records sync.Pool }

func (s *spares) entries() []planned {
	if b, ok := s.planned.Get().(*[]planned); ok {
		return (*b)[:0]
	}
	return make([]planned, 0, batchEntries)
}

func (s *spares) recorded() []recorded {
	if b, ok := s.records.Get().(*[]recorded); ok {
		return (*b)[:0]
	}
	return make([]recorded, 0, batchEntries)
}

// planner merges the source's walk with the base and the recorded timestamps, and cuts the
// outcome into jobs.
type planner struct {
	p      *Sync
	walker *fsread.Walker
	base   *index.Cursor
	memory *index.Cursor

	// skip is a path whose descendants in the base are gone with it.
	skip    string
	skipSet bool
	open    job
}

// run emits all jobs.
func (l *planner) run(ctx context.Context, emit func(job) error) error {
	send := func(j job) error {
		if err := l.p.budget.Acquire(ctx, j.cost); err != nil {
			return err
		}
		return emit(j)
	}
	for {
		n, err := l.walker.Next()
		for _, path := range l.walker.TakeChanged() {
			l.p.o.Count.AddChangedDuringRead(path)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := l.node(n, send); err != nil {
			return err
		}
	}
	if err := l.gone("", true, send); err != nil {
		return err
	}
	return l.flush(send)
}

func (l *planner) node(n *fsread.Node, send func(job) error) error {
	if err := l.gone(n.Path, false, send); err != nil {
		return err
	}
	e := planned{node: n, path: n.Path}
	r, ok, err := l.base.Peek()
	if err != nil {
		return err
	}
	if ok && r.Entry.Path == n.Path {
		e.base, e.inBase = *r, true
		l.base.Skip()
		if n.Kind != tree.Dir && e.base.Entry.Kind == tree.Dir {
			l.skip, l.skipSet = n.Path, true
		}
	}
	if l.p.trusting && l.memory == nil {
		// What we remember is what we have a copy of.
		if e.inBase && e.base.Kept && e.base.Describes(&n.Entry, n.Stamp) {
			e.known, e.isKnown = e.base, true
		}
	} else if l.p.trusting {
		known, ok, err := l.memory.Find(n.Path)
		if err != nil {
			return err
		}
		if ok && known.Describes(&n.Entry, n.Stamp) {
			e.known, e.isKnown = known, true
		}
	}
	return l.add(e, send)
}

// gone passes the base's paths before path (or all) that the source does not have.
func (l *planner) gone(path string, all bool, send func(job) error) error {
	for {
		r, ok, err := l.base.Peek()
		if err != nil || !ok || !all && r.Entry.Path >= path {
			return err
		}
		if !l.skipSet || !tree.Inside(r.Entry.Path, l.skip) {
			if r.Entry.Path == "" {
				return fault.New(fault.Internal, "the root of the base is not in the source")
			}
			l.skip, l.skipSet = r.Entry.Path, true
			if err := l.add(planned{path: r.Entry.Path, base: *r, inBase: true}, send); err != nil {
				return err
			}
		}
		l.base.Skip()
	}
}

func (l *planner) add(e planned, send func(job) error) error {
	if e.node != nil {
		l.p.o.Count.Entries.Add(1)
		l.p.o.Count.Scanned.Add(e.node.Size)
		if large(&e) {
			return l.pieces(e, send)
		}
		// Where a directory begins is a good place to cut: those who write the frames then do
		// not stand in each other's way in one directory.
		if e.node.Kind == tree.Dir && l.open.cost >= batchBytes {
			if err := l.flush(send); err != nil {
				return err
			}
		}
	}
	if l.open.entries == nil {
		l.open.entries = l.p.spare.entries()
	}
	l.open.entries = append(l.open.entries, e)
	l.open.cost += 512
	if e.node != nil && e.node.Kind == tree.File && !e.isKnown {
		l.open.cost += 2 * e.node.Size // as read, and in the frame
	}
	if l.open.cost >= 2*batchBytes || len(l.open.entries) >= batchEntries {
		return l.flush(send)
	}
	return nil
}

func (l *planner) flush(send func(job) error) error {
	if len(l.open.entries) == 0 {
		return nil
	}
	j := l.open
	l.open = job{}
	return send(j)
}

// large reports whether e's content must be read in pieces.
func large(e *planned) bool {
	switch e.node.Kind {
	case tree.Image:
	case tree.File:
		if !index.HasRows(e.node.Size) {
			return false
		}
	default:
		return false
	}
	return !e.isKnown || e.known.Rows.Run == 0 || !e.inBase || e.base.Partial || e.base.Entry.Kind != e.node.Kind || e.base.Entry.Content != e.known.Entry.Content
}

// piece is a part of a large content.
type piece struct {
	c           *content
	offset      int64
	length      int64
	first, last bool
}

// content is a large content on its way; its pieces share it.
type content struct {
	planned
	size  int64
	patch bool // the base's content is the beginning

	once  sync.Once
	open  fsread.Content
	node  fsread.Node // as it was when it was opened
	err   error
	left  atomic.Int64 // pieces not yet read
	moved atomic.Bool

	// Only for the goroutine that consumes the pieces in order:
	opened bool // the log has its OpOpen
	hash   *tree.ContentHasher
	rows   index.Rows
}

func (l *planner) pieces(e planned, send func(job) error) error {
	if err := l.flush(send); err != nil {
		return err
	}
	size := e.node.Size
	if size > tree.MaxSize {
		return fault.At(fault.Unreadable, e.path, nil, fmt.Sprintf("its size of %d bytes exceeds the limit of %d", size, int64(tree.MaxSize)))
	}
	c := &content{planned: e, size: size}
	c.patch = e.inBase && e.base.Entry.Kind == e.node.Kind && e.base.Leaves() > 0
	c.left.Store((max(1, size)-1)/pieceSize + 1)
	if size == 0 { // an empty image
		return send(job{piece: &piece{c: c, first: true, last: true}})
	}
	for off := int64(0); off < size; off += pieceSize {
		n := min(pieceSize, size-off)
		p := &piece{c: c, offset: off, length: n, first: off == 0, last: off+n == size}
		if err := send(job{piece: p, cost: 3 * n}); err != nil {
			return err
		}
	}
	return nil
}
