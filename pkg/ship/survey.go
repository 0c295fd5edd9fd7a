// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/manifest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/scan"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// found is one path of a survey: what is there, or (Gone) is there no more.
type found struct {
	r manifest.Record
	// rows are the leaf digests of a content that was read; otherwise r.Rows says where
	// they are.
	rows []byte
	// same: exactly what was recorded, stamp and all.
	same bool
	// differs: not the entry that was recorded.
	differs bool
}

// survey walks the target and compares it with what is recorded of it. Whatever does not
// have the stamp it was recorded with is described anew, files by reading them. emit gets
// every path in order.
type survey struct {
	view  scan.View
	store *manifest.Store
	// settledOnly: only settled stamps are believed. Otherwise those that were taken in this
	// session count too: nobody but us has written since.
	settledOnly bool
	// all content is read, from the storage and not from memory.
	all  bool
	emit func(*found) error
	// count, when set, is told what was read.
	count *counters

	// Batches for reuse.
	spareItems, spareFound sync.Pool
}

// surveyBatch is how many entries are compared in one go.
const surveyBatch = 1024

type surveyItem struct {
	node *scan.Node // nil: recorded, but not there
	rec  manifest.Record
	has  bool
}

func (s *survey) run(ctx context.Context, recorded manifest.Iterator) error {
	walker := scan.Walk(ctx, s.view, scan.NewLinks(s.store.Dir()))
	defer walker.Close()
	cursor := manifest.NewCursor(manifest.Present(recorded))
	defer cursor.Close()
	return pipe.Ordered(ctx, readers, jobs/4,
		func(_ context.Context, emit func([]surveyItem) error) error { return s.join(walker, cursor, emit) },
		func(_ context.Context, items []surveyItem) ([]found, error) { return s.compare(items) },
		func(items []found) error {
			for i := range items {
				if err := s.emit(&items[i]); err != nil {
					return err
				}
			}
			s.spareFound.Put(&items)
			return nil
		})
}

func (s *survey) join(walker *scan.Walker, cursor *manifest.Cursor, emit func([]surveyItem) error) error {
	var batch []surveyItem
	add := func(it surveyItem) error {
		if batch == nil {
			if spare, ok := s.spareItems.Get().(*[]surveyItem); ok {
				batch = (*spare)[:0]
			} else {
				batch = make([]surveyItem, 0, surveyBatch)
			}
		}
		batch = append(batch, it)
		if len(batch) < surveyBatch {
			return nil
		}
		full := batch
		batch = nil
		return emit(full)
	}
	missing := func(before string, all bool) error {
		for {
			r, ok, err := cursor.Peek()
			if err != nil || !ok || !all && r.Entry.Path >= before {
				return err
			}
			rec := *r
			cursor.Skip()
			if err := add(surveyItem{rec: rec, has: true}); err != nil {
				return err
			}
		}
	}
	for {
		n, err := walker.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := missing(n.Path, false); err != nil {
			return err
		}
		it := surveyItem{node: n}
		if r, ok, err := cursor.Peek(); err != nil {
			return err
		} else if ok && r.Entry.Path == n.Path {
			it.rec, it.has = *r, true
			cursor.Skip()
		}
		if err := add(it); err != nil {
			return err
		}
	}
	if err := missing("", true); err != nil {
		return err
	}
	if len(batch) > 0 {
		return emit(batch)
	}
	return nil
}

func (s *survey) compare(items []surveyItem) ([]found, error) {
	var out []found
	if spare, ok := s.spareFound.Get().(*[]found); ok {
		out = (*spare)[:0]
	} else {
		out = make([]found, 0, surveyBatch)
	}
	defer s.spareItems.Put(&items)
	for i := range items {
		f, err := s.one(&items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (s *survey) one(it *surveyItem) (found, error) {
	if it.node == nil {
		return found{r: manifest.Record{Entry: tree.Entry{Path: it.rec.Entry.Path}, Gone: true}, differs: true}, nil
	}
	if it.has && s.believes(it) {
		r := it.rec
		f := found{r: r, same: r.Stamp == it.node.Stamp}
		f.r.Stamp = it.node.Stamp
		return f, nil
	}
	if it.has && it.rec.Partial && sameInode(it) {
		if !it.rec.Patch {
			return found{r: it.rec, differs: true}, nil
		}
		f, err := s.look(it.node, &it.rec)
		f.differs = true
		return f, err
	}
	f, err := s.look(it.node, nil)
	if err != nil {
		return f, err
	}
	f.differs = !it.has || !same(&it.rec, &f.r.Entry)
	return f, nil
}

// believes says whether the recorded stamp proves that the inode is as it was recorded.
func (s *survey) believes(it *surveyItem) bool {
	if s.all && (it.node.Kind == tree.File || it.node.Kind == tree.Image) {
		return false
	}
	if it.node.Kind == tree.Image && it.node.Stamp.Ino == 0 {
		return !it.rec.Partial // a block device has no stamps: what is known of it is believed
	}
	if s.settledOnly {
		return s.view.Info().Trusted && it.rec.Staged == 0 && unchanged(it.node, &it.rec)
	}
	rec := it.rec
	rec.Stamp.Settled = true
	return it.rec.Staged == 0 && unchanged(it.node, &rec)
}

// sameInode says whether a content that we left unfinished is in the same inode still.
func sameInode(it *surveyItem) bool {
	a, b := it.rec.Stamp, it.node.Stamp
	return it.rec.Entry.Kind == it.node.Kind && a.Ino == b.Ino && a.BTime == b.BTime
}

// look describes what is there; the beginning of a content is known from partial, if that
// is given.
func (s *survey) look(n *scan.Node, partial *manifest.Record) (f found, err error) {
	f.r = manifest.Record{Entry: n.Entry, Stamp: n.Stamp}
	switch n.Kind {
	case tree.Hardlink:
	case tree.File, tree.Image:
		f.rows, err = s.read(n, &f.r, partial)
	default:
		if err = s.view.Details(n); err == nil {
			f.r.Entry = n.Entry
		}
	}
	if moved, ok := errors.AsType[*scan.MovedError](err); ok {
		err = fault.At(fault.TargetUnwritable, moved.Path, nil, "somebody else writes to the target while it is looked at")
	}
	return f, err
}

// read reads a content, but for the beginning that is known from partial.
func (s *survey) read(n *scan.Node, r, partial *manifest.Record) ([]byte, error) {
	c, err := s.view.Open(n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Details(n); err != nil {
		return nil, err
	}
	if d, ok := c.(scan.Direct); ok && s.all {
		if err := d.FromStorage(); err != nil {
			return nil, err
		}
	}
	r.Entry = n.Entry
	buf := scan.AlignedBuffer(int(min(n.Size, pieceSize)))
	rows := make([]byte, 0, tree.LeafCount(n.Size)*tree.LeafDigestSize)
	if partial != nil {
		known := min(partial.Leaves(), tree.LeafCount(n.Size)-1)
		rows = rows[:max(known, 0)*tree.LeafDigestSize]
		if err := s.store.ReadRows(partial.Rows, 0, rows); err != nil {
			return nil, err
		}
	}
	for off := int64(len(rows)/tree.LeafDigestSize) * tree.LeafSize; off < n.Size; off += pieceSize {
		part := buf[:min(pieceSize, n.Size-off)]
		if _, err := c.ReadAt(part, off); err != nil {
			return nil, fault.Wrap(fault.TargetUnwritable, err, "read the target")
		}
		if s.count != nil {
			s.count.read.Add(int64(len(part)))
		}
		rows = tree.Leaves(rows, part)
	}
	r.Entry.Content = tree.Content(n.Size, rows)
	if n.Kind == tree.File && !manifest.HasRows(n.Size) {
		rows = nil
	}
	return rows, nil
}

// keepRows makes the leaf digests of f part of w, and f's record say where.
func (s *survey) keepRows(w *manifest.Writer, f *found) error {
	hasContent := f.r.Entry.Kind == tree.File || f.r.Entry.Kind == tree.Image
	if f.r.Gone || !hasContent || f.rows == nil && f.r.Leaves() == 0 {
		f.r.Rows = manifest.Rows{}
		return nil
	}
	from, leaves := f.r.Rows, f.r.Leaves()
	f.r.Rows = w.Rows()
	if f.rows != nil {
		return w.AddRows(f.rows)
	}
	return copyRows(s.store, w, from, leaves)
}
