// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// finishRoll completes an increment that was committed before this call.
func (r *receiveEnd) finishRoll(ctx context.Context) error {
	head := r.store.Head()
	if head.Phase != index.Rolling {
		return nil
	}
	r.log.Info("completing a committed increment", "digest", head.Expected)
	mask := tree.Mask(head.Mask)
	if err := r.target.Probe(mask, 0); err != nil {
		return err
	}
	if _, err := r.target.OpenStage(head.Stage, false); err != nil {
		return err
	}
	if err := r.roll(ctx, head); err != nil {
		return err
	}
	j := newJournal(r.store)
	defer j.close()
	digest, err := r.describeTree(ctx, j, mask, r.store.Head())
	if err != nil {
		return err
	}
	if digest.String() != head.Expected {
		// Another process wrote. The next sync repairs it in place: there is no verified copy.
		r.log.Warn("the target is not what was committed", "expected", head.Expected, "found", digest.String())
		head = r.store.Head()
		head.Phase, head.Stage, head.Expected, head.ExpectedSync = index.Torn, "", "", 0
		return r.store.Commit(head)
	}
	return r.commitTree(j, mask, digest, head.ExpectedSync)
}

// roll moves what is staged to its place. It can be repeated from any point, and does not need
// the source.
func (r *receiveEnd) roll(ctx context.Context, head index.Head) error {
	if err := r.moveAll(ctx, head); err != nil {
		return err
	}
	if err := r.target.Sync(); err != nil {
		return err
	}
	if err := r.target.RemoveStages(""); err != nil {
		return err
	}
	return r.finishDirectories(ctx, head)
}

// finishDirectories describes the directories, and makes that durable: what is verified
// afterwards must survive a power failure as it was described.
func (r *receiveEnd) finishDirectories(ctx context.Context, head index.Head) error {
	if r.target.Image() || len(head.Journal) == 0 {
		return nil
	}
	if err := r.describeDirectories(ctx, head); err != nil {
		return err
	}
	return r.target.Sync()
}

// moveAll moves every staged path to its place, in path order, and records what is then there.
func (r *receiveEnd) moveAll(ctx context.Context, head index.Head) error {
	base, err := r.recordedTree(head, false)
	if err != nil {
		return err
	}
	before := index.NewCursor(index.Present(base))
	defer before.Close()
	moved, err := r.store.NewRun()
	if err != nil {
		return err
	}
	defer func() {
		_ = moved.Close()
		if r.rolled != moved.Number() {
			r.store.Discard(moved.Number())
		}
	}()
	err = r.eachPath(ctx, head, func(rec *index.Record, journaled bool) error {
		if !journaled || rec.Found {
			return nil
		}
		there, _, err := before.Find(rec.Entry.Path)
		if err != nil {
			return err
		}
		if err := r.move(rec, &there); err != nil {
			return err
		}
		rec.Staged, rec.Patch, rec.Found = 0, false, true
		return moved.Add(rec)
	})
	if err != nil {
		return err
	}
	if err := r.store.Seal(moved, 0, tree.Time{}); err != nil {
		return err
	}
	r.rolled = moved.Number()
	return nil
}

// eachPath calls f for every path of the increment and what is below it. journaled: the
// increment has a record of the path itself.
func (r *receiveEnd) eachPath(ctx context.Context, head index.Head, f func(rec *index.Record, journaled bool) error) error {
	all, err := r.overlayAll(head)
	if err != nil {
		return err
	}
	defer all.Close()
	journal := index.Empty()
	if len(head.Journal) > 0 {
		if journal, err = r.store.ReadAll(head.Journal...); err != nil {
			return err
		}
	}
	cursor := index.NewCursor(journal)
	defer cursor.Close()
	join := index.JoinRecords(all, cursor)
	for {
		p, err := join.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil && p.OnLeft {
			err = f(&p.Left, p.Right != nil)
		}
		if err != nil {
			return err
		}
	}
}

// move makes one path what rec describes; there is what the target had before.
func (r *receiveEnd) move(rec, there *index.Record) error {
	e := &rec.Entry
	if rec.Gone {
		return r.target.Remove(e.Path)
	}
	switch {
	case e.Kind == tree.Dir:
		return r.target.Mkdir(e.Path)
	case e.Kind == tree.Hardlink:
		n, err := r.target.Link(e.Path, e.Link)
		rec.Stamp = n.Stamp
		return err
	case rec.Patch:
		return r.patch(rec, there)
	case rec.Staged != 0:
		n, done, err := r.target.Arrive(rec.Staged, e, there.Entry.Kind == tree.File)
		if err != nil || !done {
			rec.Stamp = tree.Stamp{}
			return err
		}
		rec.Stamp = n.Stamp
		return nil
	default:
		n, err := r.target.Describe(e)
		rec.Stamp = n.Stamp
		return err
	}
}

// patch copies the leaves that differ from the overlay into the file.
func (r *receiveEnd) patch(rec, there *index.Record) error {
	e := &rec.Entry
	dst, err := r.target.Edit(fswrite.Place{Path: e.Path})
	if err != nil {
		return err
	}
	defer dst.Close()
	src, err := r.target.Edit(fswrite.Place{Path: e.Path, Staged: rec.Staged})
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it was copied before
		}
		return err
	}
	defer src.Close()
	if err := dst.Resize(e.Size, e.Allocated); err != nil {
		return err
	}
	if err := r.copyLeaves(dst, src, rec, there); err != nil {
		return err
	}
	n, err := dst.Describe(e)
	rec.Stamp = n.Stamp
	return err
}

func (r *receiveEnd) copyLeaves(dst, src fswrite.File, rec, there *index.Record) error {
	const step = 64 // leaves
	e := &rec.Entry
	n, old := tree.LeafCount(e.Size), tree.LeafCount(there.Entry.Size)
	rows, before := make([]byte, step*tree.LeafDigestSize), make([]byte, step*tree.LeafDigestSize)
	buf := make([]byte, step*tree.LeafSize)
	for first := int64(0); first < n; first += step {
		k := min(step, n-first)
		if err := r.store.ReadRows(rec.Rows, first, rows[:k*tree.LeafDigestSize]); err != nil {
			return err
		}
		had := max(0, min(k, old-first))
		if had > 0 {
			if err := r.store.ReadRows(there.Rows, first, before[:had*tree.LeafDigestSize]); err != nil {
				return err
			}
		}
		for i := int64(0); i < k; {
			from := i
			kind := leafChange(rows, before, i, had)
			for i < k && leafChange(rows, before, i, had) == kind {
				i++
			}
			off := (first + from) * tree.LeafSize
			length := min((first+i)*tree.LeafSize, e.Size) - off
			if err := copyRange(dst, src, kind, off, buf[:length], e.Allocated); err != nil {
				return err
			}
		}
	}
	return nil
}

type change uint8

const (
	unchangedLeaf change = iota
	zeroLeaf
	dataLeaf
)

func leafChange(rows, before []byte, i, had int64) change {
	row := rows[i*tree.LeafDigestSize : (i+1)*tree.LeafDigestSize]
	if i < had && slices.Equal(row, before[i*tree.LeafDigestSize:(i+1)*tree.LeafDigestSize]) {
		return unchangedLeaf
	}
	if tree.LeafDigest(row).IsZero() {
		return zeroLeaf
	}
	return dataLeaf
}

func copyRange(dst, src fswrite.File, kind change, off int64, buf []byte, keep bool) error {
	switch kind {
	case zeroLeaf:
		return dst.Zero(off, int64(len(buf)), keep)
	case dataLeaf:
		if _, err := src.ReadAt(buf, off); err != nil {
			return err
		}
		return dst.WriteAt(buf, off)
	}
	return nil
}

// describeDirectories describes every directory that was touched, after everything in it.
func (r *receiveEnd) describeDirectories(ctx context.Context, head index.Head) error {
	s := dirStack{describe: func(e *tree.Entry) error {
		_, err := r.target.Describe(e)
		return err
	}}
	err := r.eachPath(ctx, head, func(rec *index.Record, journaled bool) error {
		if err := s.leaveTo(rec.Entry.Path); err != nil {
			return err
		}
		if journaled {
			s.touch()
		}
		if !rec.Gone && rec.Entry.Kind == tree.Dir {
			s.enter(rec.Entry, journaled || rec.Entry.Path == "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.leaveAll()
}

// dirStack is the directories that a walk in path order is in.
type dirStack struct {
	dirs     []openDir
	describe func(*tree.Entry) error
}

type openDir struct {
	entry   tree.Entry
	touched bool
}

func (s *dirStack) enter(e tree.Entry, touched bool) { s.dirs = append(s.dirs, openDir{e, touched}) }

// touch notes that something in the innermost directory changed.
func (s *dirStack) touch() {
	if n := len(s.dirs); n > 0 {
		s.dirs[n-1].touched = true
	}
}

// leaveTo leaves every directory that path is not in.
func (s *dirStack) leaveTo(path string) error {
	for n := len(s.dirs); n > 0 && !tree.Inside(path, s.dirs[n-1].entry.Path); n-- {
		if err := s.leave(); err != nil {
			return err
		}
	}
	return nil
}

func (s *dirStack) leaveAll() error {
	for len(s.dirs) > 0 {
		if err := s.leave(); err != nil {
			return err
		}
	}
	return nil
}

// leave describes the innermost directory if it was touched.
func (s *dirStack) leave() error {
	d := s.dirs[len(s.dirs)-1]
	s.dirs = s.dirs[:len(s.dirs)-1]
	if !d.touched {
		return nil
	}
	return s.describe(&d.entry)
}
