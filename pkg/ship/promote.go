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

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/land"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/manifest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// onlyFound leaves out what is staged: what remains describes the target's tree itself.
type onlyFound struct{ manifest.Iterator }

func (f onlyFound) Next() (manifest.Record, error) {
	for {
		r, err := f.Iterator.Next()
		if err != nil || r.Found {
			return r, err
		}
	}
}

// standing gives what is recorded of the tree as it stands on the target, without what is
// staged.
func (r *receiver) standing(head manifest.Head, inPlace bool) (manifest.Iterator, error) {
	its := make([]manifest.Iterator, 0, 1+len(head.Journal))
	for i, n := range append([]uint64{head.Base}, head.Journal...) {
		it, err := r.store.Read(n)
		if err != nil {
			return nil, err
		}
		if i > 0 && !inPlace {
			it = onlyFound{it}
		}
		its = append(its, it)
	}
	return manifest.Overlay(its...), nil
}

func (r *receiver) all(head manifest.Head) (manifest.Iterator, error) {
	return r.store.ReadAll(append([]uint64{head.Base}, head.Journal...)...)
}

// survey looks at the target and sends the base: with same only what differs from the
// promoted generation, of which the other end has a copy.
func (x *recvSession) survey(head manifest.Head, same bool) error {
	b := &baseSender{x: x, same: same, root: tree.NewRoot(x.mask)}
	staged, err := x.store.ReadAll(head.Journal...)
	if len(head.Journal) == 0 {
		staged, err = manifest.Empty(), nil
	}
	if err != nil {
		return err
	}
	b.staged = manifest.NewCursor(staged)
	defer b.staged.Close()
	recorded, err := x.standing(head, x.inPlace)
	if err != nil {
		return err
	}
	if x.o.TrustTarget && head.Phase != manifest.Fresh {
		err = b.trust(recorded)
	} else {
		err = x.walkFor(b, recorded)
		x.verdict.walked = true
	}
	if err != nil {
		return err
	}
	if err := b.finish(); err != nil {
		return err
	}
	x.verdict.digest, x.verdict.count = b.root.Sum(), b.root.Count()
	x.found.end(nil)
	return nil
}

func (x *recvSession) walkFor(b *baseSender, recorded manifest.Iterator) error {
	view, err := x.target.View(x.mask)
	if err != nil {
		return err
	}
	defer view.Close()
	s := &survey{view: view, store: x.store, settledOnly: true}
	s.emit = func(f *found) error { return b.path(s, f) }
	return s.run(x.ctx, recorded)
}

// baseSender turns a survey into the base that the other end plans on.
type baseSender struct {
	x      *recvSession
	same   bool
	root   *tree.Root
	staged *manifest.Cursor
	msg    wire.Base
	size   int
	seen   int
}

const (
	baseBytes = 256 << 10
	baseSeen  = 4096
)

// path takes the next path of the survey.
func (b *baseSender) path(s *survey, f *found) error {
	if err := b.stagedBefore(f.r.Entry.Path, false); err != nil {
		return err
	}
	if !f.r.Gone {
		b.root.Add(&f.r.Entry)
		b.x.count.entries.Add(1)
	}
	effective := f.r
	overlaid := false
	if r, ok, err := b.staged.Peek(); err != nil {
		return err
	} else if ok && r.Entry.Path == f.r.Entry.Path {
		if !f.differs && !b.x.inPlace && !r.Found {
			effective, overlaid = *r, true
		}
		b.staged.Skip()
		if overlaid && effective.Partial && effective.Patch {
			if effective, err = b.complete(&effective, &f.r); err != nil {
				return err
			}
		}
	}
	if !f.same {
		if err := b.drift(s, f, overlaid); err != nil {
			return err
		}
		if !overlaid {
			effective = f.r
		}
	}
	if f.r.Entry.Kind == tree.Image && f.r.Stamp.Ino == 0 {
		b.x.verdict.blind = true
	}
	if f.differs || overlaid || !b.same {
		return b.tell(effective)
	}
	return b.progress(f.r.Entry.Path)
}

// complete makes a whole record of an overlay that was left unfinished: what it has not
// reached is as in the file it lies over.
func (b *baseSender) complete(partial, under *manifest.Record) (manifest.Record, error) {
	b.x.runMu.Lock()
	defer b.x.runMu.Unlock()
	r := *under
	r.Entry.Size, r.Staged, r.Patch, r.Found, r.Rows = partial.Entry.Size, partial.Staged, true, false, b.x.drift.Rows()
	j := &journal{store: b.x.store, w: b.x.drift, hash: tree.NewContent(r.Entry.Size),
		in: &incoming{path: r.Entry.Path, patch: true, fresh: true, base: *under}}
	rows := make([]byte, partial.Known*tree.LeafDigestSize)
	if err := b.x.store.ReadRows(partial.Rows, 0, rows); err != nil {
		return r, err
	}
	if err := j.digests(rows); err != nil {
		return r, err
	}
	if err := j.fill(tree.LeafCount(r.Entry.Size)); err != nil {
		return r, err
	}
	if err := b.x.drift.FlushRows(); err != nil {
		return r, err
	}
	r.Entry.Content = j.hash.Sum()
	b.x.found.push(r)
	return r, b.x.drift.Add(&r)
}

// drift puts on record that the target is not as recorded.
func (b *baseSender) drift(s *survey, f *found, overlaid bool) error {
	b.x.runMu.Lock()
	defer b.x.runMu.Unlock()
	if overlaid {
		return nil // only its stamp is new; what is staged counts
	}
	f.r.Found, f.r.Staged, f.r.Patch = true, 0, false
	if err := s.keepRows(b.x.drift, f); err != nil {
		return err
	}
	if err := b.x.drift.FlushRows(); err != nil {
		return err
	}
	if err := b.x.drift.Add(&f.r); err != nil {
		return err
	}
	b.x.found.push(f.r)
	return nil
}

// stagedBefore tells of what is staged at paths that the target does not have yet.
func (b *baseSender) stagedBefore(path string, all bool) error {
	for {
		r, ok, err := b.staged.Peek()
		if err != nil || !ok || !all && r.Entry.Path >= path {
			return err
		}
		rec := *r
		b.staged.Skip()
		if rec.Found || b.x.inPlace {
			continue
		}
		if err := b.tell(rec); err != nil {
			return err
		}
	}
}

// trust gives the record as the survey's outcome.
func (b *baseSender) trust(recorded manifest.Iterator) error {
	defer recorded.Close()
	it := manifest.Present(recorded)
	s := &survey{store: b.x.store}
	for {
		r, err := it.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.path(s, &found{r: r, same: true}); err != nil {
			return err
		}
	}
}

func (b *baseSender) tell(r manifest.Record) error {
	if r.Gone && !b.same {
		return b.progress(r.Entry.Path)
	}
	rec := wire.BaseRecord{Gone: r.Gone, Partial: r.Partial, Known: r.Known, Entry: r.Entry}
	b.msg.Records = append(b.msg.Records, rec)
	b.size += len(r.Entry.Path) + 128
	for _, attr := range r.Entry.Xattrs {
		b.size += len(attr.Name) + len(attr.Value) + 8
	}
	if n := rec.Leaves(); n > 0 {
		return b.rows(r, n)
	}
	return b.progress(r.Entry.Path)
}

// rows sends what there is and then the leaf digests of its last record.
func (b *baseSender) rows(r manifest.Record, n int64) error {
	if err := b.flush(r.Entry.Path, false); err != nil {
		return err
	}
	const step = 16 << 10 // leaves
	for first := int64(0); first < n; first += step {
		part := make([]byte, min(step, n-first)*tree.LeafDigestSize)
		if err := b.x.store.ReadRows(r.Rows, first, part); err != nil {
			return err
		}
		if err := b.x.out.pushSlowly(wire.BaseRows{Rows: part}); err != nil {
			return err
		}
	}
	return nil
}

func (b *baseSender) progress(path string) error {
	b.seen++
	if b.size < baseBytes && b.seen < baseSeen {
		return nil
	}
	return b.flush(path, false)
}

func (b *baseSender) flush(through string, last bool) error {
	b.msg.Through, b.msg.Last = through, last
	err := b.x.out.pushSlowly(b.msg)
	b.msg, b.size, b.seen = wire.Base{}, 0, 0
	b.x.found.progress(through)
	return err
}

func (b *baseSender) finish() error {
	if err := b.stagedBefore("", true); err != nil {
		return err
	}
	return b.flush("", true)
}

// idle says that this session changed nothing and nothing is staged.
func (x *recvSession) idle(head manifest.Head) bool {
	return x.lastSeen == 0 && head.Phase == manifest.Whole && len(head.Journal) == 0
}

// judge finds the digest of what the target holds or will hold.
func (x *recvSession) judge() (session.Input, error) {
	head := x.store.Head()
	if x.idle(head) && !x.o.Verify {
		return session.Judged{Digest: x.verdict.digest}, nil
	}
	if x.inPlace || x.idle(head) {
		err := x.arrange(x.ctx, head)
		if err == nil {
			x.verdict.digest, err = x.describeAll(x.ctx, head)
		}
		return session.Judged{Digest: x.verdict.digest}, err
	}
	it, err := x.all(head)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	root := tree.NewRoot(x.mask)
	present := manifest.Present(it)
	for {
		r, err := present.Next()
		if errors.Is(err, io.EOF) {
			return session.Judged{Digest: root.Sum()}, nil
		}
		if err != nil {
			return nil, err
		}
		root.Add(&r.Entry)
	}
}

// writeCommit makes the staged increment count.
func (x *recvSession) writeCommit(digest tree.Digest) error {
	head := x.store.Head()
	if x.idle(head) {
		return nil
	}
	head.Phase, head.Expected = manifest.Rolling, digest.String()
	return x.store.Commit(head)
}

// rollForward carries out the committed increment, and looks at the result.
func (x *recvSession) rollForward() (session.Input, error) {
	head := x.store.Head()
	if x.idle(head) {
		return session.RolledForward{Digest: x.verdict.digest}, nil
	}
	if err := x.roll(x.ctx, head); err != nil {
		return nil, err
	}
	digest, err := x.describeAll(x.ctx, x.store.Head())
	return session.RolledForward{Digest: digest}, err
}

// recover finishes what was committed before this call.
func (r *receiver) recover(ctx context.Context) error {
	head := r.store.Head()
	if head.Phase != manifest.Rolling {
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
	x := &recvSession{receiver: r, ctx: ctx, mask: tree.Mask(head.Mask)}
	digest, err := x.describeAll(ctx, r.store.Head())
	if err != nil {
		return err
	}
	if digest.String() != head.Expected {
		// Somebody else wrote. The next pass repairs it, in place: there is no whole generation.
		r.log.Warn("the target is not what was committed", "expected", head.Expected, "found", digest.String())
		head = r.store.Head()
		head.Phase, head.Stage, head.Expected = manifest.Torn, "", ""
		return r.store.Commit(head)
	}
	_, err = x.promote(digest)
	return err
}

// roll carries out what is staged. It can be repeated at any point, and needs nobody else.
func (r *receiver) roll(ctx context.Context, head manifest.Head) error {
	if err := r.moveAll(ctx, head); err != nil {
		return err
	}
	if err := r.target.Sync(); err != nil {
		return err
	}
	if err := r.target.RemoveStages(""); err != nil {
		return err
	}
	return r.arrange(ctx, head)
}

// moveAll brings every staged path to its place, in path order.
func (r *receiver) moveAll(ctx context.Context, head manifest.Head) error {
	it, err := r.all(head)
	if err != nil {
		return err
	}
	defer it.Close()
	standing, err := r.standing(head, false)
	if err != nil {
		return err
	}
	base := manifest.NewCursor(manifest.Present(standing))
	defer base.Close()
	staged, err := r.store.ReadAll(head.Journal...)
	if err != nil {
		return err
	}
	cursor := manifest.NewCursor(staged)
	defer cursor.Close()
	moved, err := r.store.NewRun()
	if err != nil {
		return err
	}
	defer func() { _ = moved.Close(); r.store.Discard(moved.Number()) }()
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
			there = manifest.Record{}
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
func (r *receiver) move(rec, there *manifest.Record) error {
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
func (r *receiver) patch(rec, there *manifest.Record) error {
	e := &rec.Entry
	dst, err := r.target.Edit(land.Place{Path: e.Path})
	if err != nil {
		return err
	}
	defer dst.Close()
	src, err := r.target.Edit(land.Place{Path: e.Path, Staged: rec.Staged})
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

func (r *receiver) copyLeaves(dst, src land.File, rec, there *manifest.Record) error {
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

func copyRange(dst, src land.File, kind change, off int64, buf []byte, keep bool) error {
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
func (r *receiver) arrange(ctx context.Context, head manifest.Head) error {
	if r.target.Image() || len(head.Journal) == 0 {
		return nil
	}
	it, err := r.all(head)
	if err != nil {
		return err
	}
	defer it.Close()
	journal, err := r.store.ReadAll(head.Journal...)
	if err != nil {
		return err
	}
	changed := manifest.NewCursor(journal)
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
func (x *recvSession) describeAll(ctx context.Context, head manifest.Head) (tree.Digest, error) {
	// Let the clock of ctime move on, so that what was done last counts as settled.
	if err := pause(ctx, 2*tree.Granularity*time.Nanosecond); err != nil {
		return tree.Digest{}, err
	}
	view, err := x.target.View(x.mask)
	if err != nil {
		return tree.Digest{}, err
	}
	defer view.Close()
	runs := append([]uint64{head.Base}, head.Journal...)
	if x.moved != 0 {
		runs = append(runs, x.moved)
	}
	recorded, err := x.store.ReadAll(runs...)
	if err != nil {
		return tree.Digest{}, err
	}
	if x.tree, err = x.store.NewRun(); err != nil {
		return tree.Digest{}, err
	}
	root := tree.NewRoot(x.mask)
	s := &survey{view: view, store: x.store, all: x.o.Verify}
	s.emit = func(f *found) error {
		if f.r.Gone {
			return nil
		}
		f.r.Staged, f.r.Patch, f.r.Found, f.r.Partial = 0, false, false, false
		root.Add(&f.r.Entry)
		if err := s.keepRows(x.tree, f); err != nil {
			return err
		}
		return x.tree.Add(&f.r)
	}
	if err := s.run(ctx, recorded); err != nil {
		return tree.Digest{}, err
	}
	return root.Sum(), nil
}

// promote makes it durable that the target holds the generation.
func (x *recvSession) promote(digest tree.Digest) (session.Input, error) {
	head := x.store.Head()
	strength := Stamps
	switch {
	case x.o.Verify:
		strength = Readback
	case x.idle(head) && !x.verdict.walked || x.verdict.blind:
		strength = Transport
	}
	if err := x.writePromotion(head, digest); err != nil {
		return nil, err
	}
	x.result.Promoted, x.result.Digest, x.result.Strength = true, digest.String(), strength
	x.result.Unchanged = x.lastSeen == 0
	return session.PromotionWritten{Strength: uint8(slices.Index(strengths[:], strength))}, nil
}

func (x *recvSession) writePromotion(head manifest.Head, digest tree.Digest) error {
	if x.idle(head) && x.tree == nil && x.drift.Records() == 0 {
		if head.Generation == x.o.Generation {
			return nil
		}
		head.Generation = x.o.Generation
		return x.store.Commit(head)
	}
	if x.tree == nil {
		if err := x.mergeDrift(head); err != nil {
			return err
		}
	}
	if err := x.store.Seal(x.tree, 0, tree.Time{}); err != nil {
		return err
	}
	next := manifest.Head{Phase: manifest.Whole, Digest: digest.String(), Mask: uint32(x.mask), Generation: x.o.Generation,
		Entries: x.tree.Records(), Base: x.tree.Number(), Image: x.target.Image()}
	return x.store.Commit(next)
}

// mergeDrift writes the tree down anew when only stamps are different from what is recorded.
func (x *recvSession) mergeDrift(head manifest.Head) error {
	if err := x.store.Seal(x.drift, 0, tree.Time{}); err != nil {
		return err
	}
	it, err := x.store.ReadAll(head.Base, x.drift.Number())
	if err != nil {
		return err
	}
	defer it.Close()
	if x.tree, err = x.store.NewRun(); err != nil {
		return err
	}
	s := &survey{store: x.store}
	present := manifest.Present(it)
	for {
		r, err := present.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f := found{r: r}
		f.r.Found = false
		if err := s.keepRows(x.tree, &f); err != nil {
			return err
		}
		if err := x.tree.Add(&f.r); err != nil {
			return err
		}
	}
}
