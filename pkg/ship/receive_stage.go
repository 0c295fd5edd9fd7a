// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bytes"
	"errors"
	"os"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// checkStaged compares a staged inode with its record: a session that died may have written
// into it more than it recorded. The result describes what the inode holds. under is the record
// of the tree at the same path, the zero record when there is none. ok is false when nothing of
// the staged inode can be used.
func (s *survey) checkStaged(rec, under *index.Record) (_ index.Record, ok bool, err error) {
	if rec.Staged == 0 || rec.Entry.Kind != tree.File {
		return *rec, true, nil // symlinks and the like are not written into
	}
	f, err := s.x.target.Edit(fswrite.Place{Path: rec.Entry.Path, Staged: rec.Staged})
	if errors.Is(err, os.ErrNotExist) {
		return *rec, false, nil
	}
	if err != nil {
		return *rec, false, err
	}
	defer f.Close()
	stamp, err := f.Stamp()
	if err != nil {
		return *rec, false, err
	}
	if !rec.Partial && rec.Stamp.Same(stamp) {
		return *rec, true, nil
	}
	return s.reread(f, rec, under, stamp)
}

// reread describes a staged inode by what it holds: the leaves that are recorded, and of an
// overlay only those in which it differs from the file below it.
func (s *survey) reread(f fswrite.File, rec, under *index.Record, stamp tree.Stamp) (index.Record, bool, error) {
	leaves := tree.LeafCount(rec.Entry.Size)
	if rec.Partial {
		leaves = rec.Known
	}
	if rec.Patch && under.Leaves() == 0 {
		return *rec, false, nil
	}
	out := *rec
	out.Stamp = stamp
	j := s.x.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	out.Rows = j.drift.Rows()
	hash := tree.NewContent(rec.Entry.Size)
	const atOnce = 1 << 20
	buf := make([]byte, atOnce)
	const step = atOnce / tree.LeafSize
	for first := int64(0); first < leaves; first += step {
		rows, err := s.rowsOf(rec, under, first, min(step, leaves-first), f, buf)
		if err != nil {
			return out, false, err
		}
		hash.Add(rows)
		if err := j.drift.AddRows(rows); err != nil {
			return out, false, err
		}
	}
	if !rec.Partial {
		out.Entry.Content = hash.Sum()
	}
	if rec.Entry.Kind == tree.File && !rec.Partial && !index.HasRows(rec.Entry.Size) {
		out.Rows = index.Rows{}
	}
	return out, true, j.drift.FlushRows()
}

// rowsOf returns the digests of n leaves from first on, as the staged inode or the file below
// it has them.
func (s *survey) rowsOf(rec, under *index.Record, first, n int64, f fswrite.File, buf []byte) ([]byte, error) {
	off := first * tree.LeafSize
	data := buf[:min(n*tree.LeafSize, rec.Entry.Size-off)]
	if _, err := f.ReadAt(data, off); err != nil {
		return nil, err
	}
	rows := tree.Leaves(nil, data)
	if !rec.Patch {
		return rows, nil
	}
	recorded := make([]byte, n*tree.LeafDigestSize)
	if err := s.x.store.ReadRows(rec.Rows, first, recorded); err != nil {
		return nil, err
	}
	below := make([]byte, n*tree.LeafDigestSize)
	if had := min(n, under.Leaves()-first); had > 0 {
		if err := s.x.store.ReadRows(under.Rows, first, below[:had*tree.LeafDigestSize]); err != nil {
			return nil, err
		}
	}
	for at := 0; at < len(rows); at += tree.LeafDigestSize {
		leaf := func(of []byte) []byte { return of[at : at+tree.LeafDigestSize] }
		zero := tree.LeafDigest(leaf(recorded)).IsZero()
		if zero || bytes.Equal(leaf(recorded), leaf(below)) {
			copy(leaf(rows), leaf(recorded)) // neither is taken from the overlay
		}
	}
	return rows, nil
}
