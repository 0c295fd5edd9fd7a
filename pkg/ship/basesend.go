// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"errors"
	"io"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// onlyFound leaves out what is staged: what remains describes the target's tree itself.
type onlyFound struct{ index.Iterator }

func (f onlyFound) Next() (index.Record, error) {
	for {
		r, err := f.Iterator.Next()
		if err != nil || r.Found {
			return r, err
		}
	}
}

// standing gives what is recorded of the tree as it stands on the target, without what is
// staged.
func (r *receiveEnd) standing(head index.Head, inPlace bool) (index.Iterator, error) {
	its := make([]index.Iterator, 0, 1+len(head.Journal))
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
	return index.Overlay(its...), nil
}

func (r *receiveEnd) all(head index.Head) (index.Iterator, error) {
	return r.store.ReadAll(append([]uint64{head.Base}, head.Journal...)...)
}

// survey looks at the target and sends the base: with same only what differs from the
// verified generation, of which the other end has a copy.
func (x *recvSession) survey(head index.Head, same bool) error {
	b := &baseSender{x: x, same: same, root: tree.NewRoot(x.mask)}
	staged, err := x.store.ReadAll(head.Journal...)
	if len(head.Journal) == 0 {
		staged, err = index.Empty(), nil
	}
	if err != nil {
		return err
	}
	b.staged = index.NewCursor(staged)
	defer b.staged.Close()
	recorded, err := x.standing(head, x.inPlace)
	if err != nil {
		return err
	}
	if x.o.TrustTarget && head.Phase != index.Fresh {
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
	x.found.End(nil)
	return nil
}

func (x *recvSession) walkFor(b *baseSender, recorded index.Iterator) error {
	source, err := x.target.Source(x.mask)
	if err != nil {
		return err
	}
	defer source.Close()
	s := &verify.Survey{Source: source, Store: x.store, SettledOnly: true, Count: x.count}
	s.Emit = func(f *verify.Found) error { return b.path(f) }
	return s.Run(x.ctx, recorded)
}

// baseSender turns a survey into the base that the other end plans on.
type baseSender struct {
	x      *recvSession
	same   bool
	root   *tree.Root
	staged *index.Cursor
	below  []rule // each for a path inside that of the one before
	msg    wire.Base
	size   int
	seen   int
}

const (
	baseBytes = 256 << 10
	baseSeen  = 4096
)

// path takes the next path of the survey.
func (b *baseSender) path(f *verify.Found) error {
	if err := b.stagedBefore(f.R.Entry.Path, false); err != nil {
		return err
	}
	if !f.R.Gone {
		b.root.Add(&f.R.Entry)
		b.x.count.Entries.Add(1)
	}
	return b.decide(f)
}

// decide tells the other end what counts at a path, and puts on record what was found.
func (b *baseSender) decide(f *verify.Found) error {
	path := f.R.Entry.Path
	for n := len(b.below); n > 0 && !tree.Inside(path, b.below[n-1].path); n-- {
		b.below = b.below[:n-1]
	}
	r, ok, err := b.staged.Peek()
	if err != nil {
		return err
	}
	journaled := ok && r.Entry.Path == path
	if !journaled && len(b.below) > 0 {
		return b.follow(f, b.below[len(b.below)-1].what)
	}
	if err := b.keepFound(f); err != nil {
		return err
	}
	hides := journaled && (r.Hides || r.Gone || r.Entry.Kind != tree.Dir)
	effective, overlaid, err := b.overlaid(f)
	if err != nil {
		return err
	}
	if !f.Same {
		if err := b.drift(f, overlaid); err != nil {
			return err
		}
		if !overlaid {
			effective = f.R
		}
	}
	if hides && f.R.Entry.Kind == tree.Dir && !b.x.inPlace {
		b.below = append(b.below, rule{path, ruleBelow(&effective, overlaid)})
	}
	if f.R.Entry.Kind == tree.Image && f.R.Stamp.Ino == 0 {
		b.x.verdict.blind = true
	}
	// The other end has a copy of the verified generation only: what the journal of an
	// earlier session says must be told again.
	if f.Differs || journaled || !b.same {
		return b.tell(effective)
	}
	return b.progress(path)
}

// keepFound puts the leaf digests of a content that was read where they can be read again:
// what is staged over it is held against them.
func (b *baseSender) keepFound(f *verify.Found) error {
	if f.Digests == nil {
		return nil
	}
	b.x.runMu.Lock()
	defer b.x.runMu.Unlock()
	if err := verify.KeepRows(b.x.store, b.x.drift, f); err != nil {
		return err
	}
	f.Digests = nil
	return b.x.drift.FlushRows()
}

// rule says what becomes of what the target has below a directory that something staged
// was to replace at some time, as far as the journal says nothing of it.
type rule struct {
	path string
	what fate
}

type fate uint8

const (
	// stands: the directory counts as it was found.
	stands fate = iota
	// goes: the directory was replaced and made anew; what was in it goes one by one.
	goes
	// goesUnsaid: the directory goes as a whole; the other end knows.
	goesUnsaid
)

func ruleBelow(effective *index.Record, overlaid bool) fate {
	switch {
	case !overlaid:
		return stands
	case effective.Gone || effective.Entry.Kind != tree.Dir:
		return goesUnsaid
	default:
		return goes
	}
}

// follow applies a rule to a path of which the journal says nothing.
func (b *baseSender) follow(f *verify.Found, what fate) error {
	if what == stands {
		if err := b.drift(f, false); err != nil {
			return err
		}
		return b.tell(f.R)
	}
	gone := index.Record{Entry: tree.Entry{Path: f.R.Entry.Path}, Gone: true}
	b.x.runMu.Lock()
	err := b.x.drift.Add(&gone)
	b.x.runMu.Unlock()
	if err != nil || what == goesUnsaid {
		return err
	}
	b.x.found.Push(gone)
	return b.tell(gone)
}

// overlaid gives what counts at the path of f: what is staged there, if anything is that
// still fits, or what was found.
func (b *baseSender) overlaid(f *verify.Found) (index.Record, bool, error) {
	r, ok, err := b.staged.Peek()
	if err != nil || !ok || r.Entry.Path != f.R.Entry.Path {
		return f.R, false, err
	}
	rec := *r
	b.staged.Skip()
	if f.Differs || b.x.inPlace || rec.Found {
		return f.R, false, nil
	}
	return b.usable(rec, &f.R)
}

// usable checks what is staged over under, and completes it.
func (b *baseSender) usable(rec index.Record, under *index.Record) (index.Record, bool, error) {
	checked, ok, err := b.checkStaged(&rec, under)
	if err != nil {
		return rec, false, err
	}
	if !ok {
		// What is found counts again, against what the journal says.
		b.x.found.Push(*under)
		b.x.runMu.Lock()
		defer b.x.runMu.Unlock()
		again := *under
		again.Found = true
		return *under, false, b.x.drift.Add(&again)
	}
	if checked.Partial && checked.Patch {
		checked, err = b.complete(&checked, under)
		return checked, true, err
	}
	if checked.Rows != rec.Rows || checked.Entry.Content != rec.Entry.Content {
		b.x.found.Push(checked)
		b.x.runMu.Lock()
		defer b.x.runMu.Unlock()
		err = b.x.drift.Add(&checked)
	}
	return checked, true, err
}

// complete makes a whole record of an overlay that was left unfinished: what it has not
// reached is as in the file it lies over.
func (b *baseSender) complete(partial, under *index.Record) (index.Record, error) {
	b.x.runMu.Lock()
	defer b.x.runMu.Unlock()
	r := *under
	r.Entry.Size, r.Staged, r.Patch, r.Found, r.Rows = partial.Entry.Size, partial.Staged, true, false, b.x.drift.Rows()
	rows := make([]byte, partial.Known*tree.LeafDigestSize)
	if err := b.x.store.ReadRows(partial.Rows, 0, rows); err != nil {
		return r, err
	}
	content, err := receiver.Over(b.x.store, b.x.drift, under, rows, r.Entry.Size)
	if err != nil {
		return r, err
	}
	if err := b.x.drift.FlushRows(); err != nil {
		return r, err
	}
	r.Entry.Content = content
	b.x.found.Push(r)
	return r, b.x.drift.Add(&r)
}

// drift puts on record that the target is not as recorded.
func (b *baseSender) drift(f *verify.Found, overlaid bool) error {
	b.x.runMu.Lock()
	defer b.x.runMu.Unlock()
	if overlaid {
		return nil // only its stamp is new; what is staged counts
	}
	f.R.Found, f.R.Staged, f.R.Patch = true, 0, false
	if f.R.Rows.Run != b.x.drift.Number() {
		if err := verify.KeepRows(b.x.store, b.x.drift, f); err != nil {
			return err
		}
		if err := b.x.drift.FlushRows(); err != nil {
			return err
		}
	}
	if err := b.x.drift.Add(&f.R); err != nil {
		return err
	}
	b.x.found.Push(f.R)
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
		if b.x.inPlace || rec.Found && !rec.Gone {
			continue
		}
		none := index.Record{Entry: tree.Entry{Path: rec.Entry.Path}, Gone: true}
		if rec, _, err = b.usable(rec, &none); err != nil {
			return err
		}
		if err := b.tell(rec); err != nil {
			return err
		}
	}
}

// trust gives the record as the survey's outcome.
func (b *baseSender) trust(recorded index.Iterator) error {
	defer recorded.Close()
	it := index.Present(recorded)
	for {
		r, err := it.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.path(&verify.Found{R: r, Same: true}); err != nil {
			return err
		}
	}
}

func (b *baseSender) tell(r index.Record) error {
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
func (b *baseSender) rows(r index.Record, n int64) error {
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
	b.x.found.Progress(through)
	return err
}

func (b *baseSender) finish() error {
	if err := b.stagedBefore("", true); err != nil {
		return err
	}
	return b.flush("", true)
}
