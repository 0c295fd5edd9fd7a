// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package verify compares a volume with its index: it walks the target and reads again every entry
// whose timestamps are not the recorded ones. The result is the base of an increment, and the digest
// of the target after it.
//
// Differences are passed through Exceptions to readers of the record while the walk is running.
package verify

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Found is one path of a survey: what is there, or (Gone) is there no more.
type Found struct {
	R index.Record
	// Digests are the leaf digests of a content that was read; otherwise R.Rows is where
	// they are.
	Digests []byte
	// Same: exactly what was recorded, stamp and all.
	Same bool
	// Differs: not the entry that was recorded.
	Differs bool
}

// Survey walks the target and compares it with its index. Entries without the recorded timestamps
// are described again, files by reading them. Emit gets every path in order, from one goroutine.
type Survey struct {
	Source fsread.Source
	Store  *index.Store
	// SettledOnly: only settled timestamps are trusted. Otherwise those that were taken in this
	// session count too: no other process has written since.
	SettledOnly bool
	// All content is read, regardless of its timestamps.
	All  bool
	Emit func(*Found) error
	// Count, when set, counts what was read.
	Count *count.Counters

	// Batches for reuse.
	spareItems, spareFound sync.Pool
}

const (
	// perBatch is how many entries are compared in one go.
	perBatch = 1024
	// walkers compare and read in parallel, ahead of the one who emits by so many batches.
	walkers, ahead = 24, 64
	// pieceSize is how much of a content is read in one go.
	pieceSize = 1 << 20
)

type item struct {
	node *fsread.Node // nil: recorded, but not there
	rec  index.Record
	has  bool
}

// Run walks once. recorded is closed.
func (s *Survey) Run(ctx context.Context, recorded index.Iterator) error {
	walker := fsread.Walk(ctx, s.Source, fsread.NewLinks(s.Store.Dir()))
	defer walker.Close()
	cursor := index.NewCursor(index.Present(recorded))
	defer cursor.Close()
	return pipe.Ordered(ctx, walkers, ahead,
		func(_ context.Context, emit func([]item) error) error { return s.join(walker, cursor, emit) },
		func(ctx context.Context, items []item) ([]Found, error) { return s.compare(ctx, items) },
		func(items []Found) error {
			for i := range items {
				if err := s.Emit(&items[i]); err != nil {
					return err
				}
			}
			s.spareFound.Put(&items)
			return nil
		})
}

// join merges the walk with the record and emits the result in batches.
func (s *Survey) join(walker *fsread.Walker, cursor *index.Cursor, emit func([]item) error) error {
	joined := index.NewJoin(func() (*fsread.Node, string, error) {
		n, err := walker.Next()
		if err != nil {
			return nil, "", err
		}
		return n, n.Path, nil
	}, cursor)
	batch := s.newBatch()
	for {
		next, err := joined.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		it := item{node: next.Left}
		if next.Right != nil {
			it.rec, it.has = *next.Right, true
		}
		if batch = append(batch, it); len(batch) == perBatch {
			if err := emit(batch); err != nil {
				return err
			}
			batch = s.newBatch()
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return emit(batch)
}

func (s *Survey) newBatch() []item {
	if spare, ok := s.spareItems.Get().(*[]item); ok {
		return (*spare)[:0]
	}
	return make([]item, 0, perBatch)
}

func (s *Survey) compare(ctx context.Context, items []item) ([]Found, error) {
	var out []Found
	if spare, ok := s.spareFound.Get().(*[]Found); ok {
		out = (*spare)[:0]
	} else {
		out = make([]Found, 0, perBatch)
	}
	defer s.spareItems.Put(&items)
	for i := range items {
		f, err := s.one(ctx, &items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (s *Survey) one(ctx context.Context, it *item) (Found, error) {
	if it.node == nil {
		return Found{R: index.Record{Entry: tree.Entry{Path: it.rec.Entry.Path}, Gone: true}, Differs: true}, nil
	}
	if it.has && s.believes(it) {
		r := it.rec
		f := Found{R: r, Same: r.Stamp == it.node.Stamp}
		f.R.Stamp = it.node.Stamp
		return f, nil
	}
	if it.has && it.rec.Partial && sameInode(it) && !blockDevice(it.node) && !s.All {
		if !it.rec.Patch {
			return Found{R: it.rec, Differs: true}, nil
		}
		f, err := s.look(ctx, it.node, &it.rec)
		f.Differs = true
		return f, err
	}
	f, err := s.look(ctx, it.node, nil)
	if err != nil {
		return f, err
	}
	f.Differs = !it.has || !it.rec.Is(&f.R.Entry)
	return f, nil
}

// believes reports whether the recorded stamp proves that the inode is as it was recorded.
func (s *Survey) believes(it *item) bool {
	if s.All && (it.node.Kind == tree.File || it.node.Kind == tree.Image) {
		return false
	}
	if blockDevice(it.node) {
		return !it.rec.Partial && !s.SettledOnly // it has no timestamps: only this session's own record counts
	}
	if s.SettledOnly {
		return s.Source.Info().Trusted && it.rec.Staged == 0 && it.rec.Describes(&it.node.Entry, it.node.Stamp)
	}
	rec := it.rec
	rec.Stamp.Settled = true
	return it.rec.Staged == 0 && rec.Describes(&it.node.Entry, it.node.Stamp)
}

func blockDevice(n *fsread.Node) bool { return n.Kind == tree.Image && n.Stamp.Ino == 0 }

// sameInode reports whether a content that was left unfinished is in the same inode still.
func sameInode(it *item) bool {
	a, b := it.rec.Stamp, it.node.Stamp
	return it.rec.Entry.Kind == it.node.Kind && a.Ino == b.Ino && a.BTime == b.BTime
}

// look describes what is there; the beginning of a content is known from partial, if that
// is given.
func (s *Survey) look(ctx context.Context, n *fsread.Node, partial *index.Record) (f Found, err error) {
	f.R = index.Record{Entry: n.Entry, Stamp: n.Stamp}
	switch {
	case n.Kind == tree.Hardlink:
	case n.Size > tree.MaxSize:
		f.R.Partial = true // no source has it: nothing of it is known, or read
	case n.Kind == tree.File || n.Kind == tree.Image:
		f.Digests, err = s.read(ctx, n, &f.R, partial)
	default:
		if err = s.Source.Details(n); err == nil {
			f.R.Entry = n.Entry
		}
	}
	if moved, ok := errors.AsType[*fsread.ChangedError](err); ok {
		err = fault.At(fault.TargetUnwritable, moved.Path, nil, "another process writes to the target")
	}
	return f, err
}

// read reads a content, but for the beginning that is known from partial. It reads from the storage:
// pages of a file whose writeback failed are clean, and hold what the disk does not.
func (s *Survey) read(ctx context.Context, n *fsread.Node, r, partial *index.Record) ([]byte, error) {
	c, err := s.Source.Open(n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Details(n); err != nil {
		return nil, err
	}
	if d, ok := c.(fsread.Direct); ok {
		if err := d.FromStorage(); err != nil {
			return nil, err
		}
	}
	r.Entry = n.Entry
	rows, err := s.known(n, partial)
	if err != nil {
		return nil, err
	}
	buf := fsread.AlignedBuffer(int(min(n.Size, pieceSize)+fsread.DirectAlign-1) &^ (fsread.DirectAlign - 1))
	for off := int64(len(rows)/tree.LeafDigestSize) * tree.LeafSize; off < n.Size; off += pieceSize {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		want := min(pieceSize, n.Size-off)
		got, err := c.ReadAt(buf[:(want+fsread.DirectAlign-1)&^(fsread.DirectAlign-1)], off)
		if int64(got) < want {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, &fsread.ChangedError{Path: n.Path}
			}
			return nil, fault.Wrap(fault.TargetUnwritable, err, "read the target")
		}
		if s.Count != nil {
			s.Count.Read.Add(want)
		}
		rows = tree.Leaves(rows, buf[:want])
	}
	r.Entry.Content = tree.Content(n.Size, rows)
	if n.Kind == tree.File && !index.HasRows(n.Size) {
		rows = nil
	}
	return rows, nil
}

// known returns the leaf digests of the beginning of a content.
func (s *Survey) known(n *fsread.Node, partial *index.Record) ([]byte, error) {
	if partial == nil {
		return nil, nil
	}
	leaves := max(min(partial.Leaves(), tree.LeafCount(n.Size)-1), 0)
	rows := make([]byte, leaves*tree.LeafDigestSize)
	return rows, s.Store.ReadRows(partial.Rows, 0, rows)
}

// KeepRows makes the leaf digests of f part of w, a run of store, and sets their place in the record of f.
func KeepRows(store *index.Store, w *index.Writer, f *Found) error {
	hasContent := f.R.Entry.Kind == tree.File || f.R.Entry.Kind == tree.Image
	if f.R.Gone || !hasContent || f.Digests == nil && f.R.Leaves() == 0 {
		f.R.Rows = index.Rows{}
		return nil
	}
	from, leaves := f.R.Rows, f.R.Leaves()
	f.R.Rows = w.Rows()
	if f.Digests != nil {
		return w.AddRows(f.Digests)
	}
	return store.CopyRows(w, from, leaves)
}
