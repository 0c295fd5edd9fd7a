// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
)

// recover finishes what was committed before this call.
func (r *receiveEnd) recover(ctx context.Context) error {
	head := r.store.Head()
	if head.Phase != index.Rolling {
		return nil
	}
	r.log.Info("a committed increment is carried out to its end", "digest", head.Expected)
	if err := r.target.Probe(tree.Mask(head.Mask), 0); err != nil {
		return err
	}
	if _, err := r.target.OpenStage(head.Stage, false); err != nil {
		return err
	}
	if err := r.roll(ctx, head); err != nil {
		return err
	}
	x := &recvSession{receiveEnd: r, ctx: ctx, mask: tree.Mask(head.Mask), agreed: true}
	defer func() {
		if x.tree != nil {
			_ = x.tree.Close()
			r.store.Discard(x.tree.Number())
		}
	}()
	digest, err := x.describeAll(ctx, r.store.Head())
	if err != nil {
		return err
	}
	if digest.String() != head.Expected {
		// Somebody else wrote. The next pass repairs it, in place: there is no whole generation.
		r.log.Warn("the target is not what was committed", "expected", head.Expected, "found", digest.String())
		head = r.store.Head()
		head.Phase, head.Stage, head.Expected, head.ExpectedSync = index.Torn, "", "", 0
		return r.store.Commit(head)
	}
	return x.writeVerification(r.store.Head(), digest, head.ExpectedSync)
}

// roll carries out what is staged. It can be repeated at any point, and needs nobody else.
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
	return r.settle(ctx, head)
}

// settle arranges the directories, and makes that durable: whatever is verified afterwards
// must survive a power failure as it was described.
func (r *receiveEnd) settle(ctx context.Context, head index.Head) error {
	if r.target.Image() || len(head.Journal) == 0 {
		return nil
	}
	if err := r.arrange(ctx, head); err != nil {
		return err
	}
	return r.target.Sync()
}

// moveAll brings every staged path to its place, in path order.
func (r *receiveEnd) moveAll(ctx context.Context, head index.Head) error {
	it, err := r.all(head)
	if err != nil {
		return err
	}
	defer it.Close()
	standing, err := r.standing(head, false)
	if err != nil {
		return err
	}
	base := index.NewCursor(index.Present(standing))
	defer base.Close()
	staged, err := r.store.ReadAll(head.Journal...)
	if err != nil {
		return err
	}
	cursor := index.NewCursor(staged)
	defer cursor.Close()
	moved, err := r.store.NewRun()
	if err != nil {
		return err
	}
	defer func() {
		_ = moved.Close()
		if r.moved != moved.Number() {
			r.store.Discard(moved.Number())
		}
	}()
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		rec, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, ok, err := cursor.Find(rec.Entry.Path); err != nil || !ok || rec.Found {
			if err != nil {
				return err
			}
			continue
		}
		there, has, err := base.Find(rec.Entry.Path)
		if err != nil {
			return err
		}
		if !has {
			there = index.Record{}
		}
		if err := r.move(&rec, &there); err != nil {
			return err
		}
		rec.Staged, rec.Patch, rec.Found = 0, false, true
		if err := moved.Add(&rec); err != nil {
			return err
		}
	}
	if err := r.store.Seal(moved, 0, tree.Time{}); err != nil {
		return err
	}
	r.moved = moved.Number()
	return nil
}

// move brings one path to what rec says; there is what the target had before.
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
			return nil // its work was done before
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

// arrange describes every directory that was touched, after everything in it.
func (r *receiveEnd) arrange(ctx context.Context, head index.Head) error {
	it, err := r.all(head)
	if err != nil {
		return err
	}
	defer it.Close()
	journal, err := r.store.ReadAll(head.Journal...)
	if err != nil {
		return err
	}
	changed := index.NewCursor(journal)
	defer changed.Close()
	type open struct {
		e       tree.Entry
		touched bool
	}
	var stack []open
	leave := func() error {
		d := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !d.touched {
			return nil
		}
		_, err := r.target.Describe(&d.e)
		return err
	}
	for {
		rec, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		path := rec.Entry.Path
		for len(stack) > 0 && !tree.Inside(path, stack[len(stack)-1].e.Path) {
			if err := leave(); err != nil {
				return err
			}
		}
		_, touched, err := changed.Find(path)
		if err != nil {
			return err
		}
		if touched && len(stack) > 0 {
			stack[len(stack)-1].touched = true
		}
		if !rec.Gone && rec.Entry.Kind == tree.Dir {
			stack = append(stack, open{rec.Entry, touched || path == ""})
		}
	}
	for len(stack) > 0 {
		if err := leave(); err != nil {
			return err
		}
	}
	return nil
}

// describeAll walks the target after the last operation on it and writes down what is
// there, with stamps that are settled, in a run of its own.
func (x *recvSession) describeAll(ctx context.Context, head index.Head) (tree.Digest, error) {
	// Let the clock of ctime move on, so that what was done last counts as settled.
	if err := pause(ctx, 2*tree.Granularity*time.Nanosecond); err != nil {
		return tree.Digest{}, err
	}
	source, err := x.target.Source(x.mask)
	if err != nil {
		return tree.Digest{}, err
	}
	defer source.Close()
	runs := append([]uint64{head.Base}, head.Journal...)
	if x.moved != 0 {
		runs = append(runs, x.moved)
		defer x.store.Discard(x.moved)
	}
	recorded, err := x.store.ReadAll(runs...)
	if err != nil {
		return tree.Digest{}, err
	}
	if x.tree, err = x.store.NewRun(); err != nil {
		return tree.Digest{}, err
	}
	root := tree.NewRoot(x.mask)
	s := &verify.Survey{Source: source, Store: x.store, All: x.o.Verify, Count: x.count}
	s.Emit = func(f *verify.Found) error {
		if f.R.Gone {
			return nil
		}
		f.R.Staged, f.R.Patch, f.R.Found, f.R.Partial = 0, false, false, false
		root.Add(&f.R.Entry)
		if err := verify.KeepRows(x.store, x.tree, f); err != nil {
			return err
		}
		return x.tree.Add(&f.R)
	}
	if err := s.Run(ctx, recorded); err != nil {
		return tree.Digest{}, err
	}
	return root.Sum(), nil
}
