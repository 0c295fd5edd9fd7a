// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// survey compares the target with what is recorded of it, and sends the outcome as the base of
// the increment. With same it sends only what differs from the verified copy, which the source
// has a record of.
type survey struct {
	x     *receiveSession
	found *verify.Exceptions

	// Outcome of run:
	digest tree.Digest
	walked bool
	// noTimestamps: the target is a device, which has none.
	noTimestamps bool

	// Only during run:
	same   bool
	root   *tree.Root
	staged *index.Cursor
	below  []rule // each for a path inside that of the one before
	msg    wire.Base
	size   int // of msg, in bytes
	passed int // paths since msg was begun
}

const (
	baseBytes = 256 << 10
	basePaths = 4096
)

func newSurvey(ctx context.Context, x *receiveSession) *survey {
	return &survey{x: x, found: verify.NewExceptions(ctx)}
}

// run surveys the target and sends the base.
func (s *survey) run(ctx context.Context, head index.Head, same bool) error {
	s.same, s.root = same, tree.NewRoot(s.x.mask)
	staged := index.Empty()
	if len(head.Journal) > 0 {
		var err error
		if staged, err = s.x.store.ReadAll(head.Journal...); err != nil {
			return err
		}
	}
	s.staged = index.NewCursor(staged)
	defer s.staged.Close()
	recorded, err := s.x.recordedTree(head, s.x.inPlace)
	if err != nil {
		return err
	}
	if s.x.o.TrustTarget && head.Phase == index.Whole && !head.Mismatch {
		err = s.trust(recorded)
	} else {
		s.walked = true
		err = s.walk(ctx, recorded, head.Mismatch)
	}
	if err != nil {
		return err
	}
	if err := s.stagedBefore("", true); err != nil {
		return err
	}
	if err := s.flush("", true); err != nil {
		return err
	}
	s.digest = s.root.Sum()
	s.found.End(nil)
	return nil
}

// walk compares the target itself with the record; all reads every content, independent of timestamps.
func (s *survey) walk(ctx context.Context, recorded index.Iterator, all bool) error {
	// The survey reads from the storage, so everything that was written must be there.
	if err := s.x.target.Sync(); err != nil {
		return err
	}
	source, err := s.x.target.Source(s.x.mask)
	if err != nil {
		return err
	}
	defer source.Close()
	walk := &verify.Survey{Source: source, Store: s.x.store, SettledOnly: true, All: all, Count: s.x.count, Emit: s.path}
	return walk.Run(ctx, recorded)
}

// trust takes the record for the outcome, without reading the target.
func (s *survey) trust(recorded index.Iterator) error {
	defer recorded.Close()
	return index.Each(index.Present(recorded), func(r *index.Record) error {
		return s.path(&verify.Found{R: *r, Same: true})
	})
}

// path takes the next path of the survey.
func (s *survey) path(f *verify.Found) error {
	path := f.R.Entry.Path
	if err := s.stagedBefore(path, false); err != nil {
		return err
	}
	if !f.R.Gone {
		s.root.Add(&f.R.Entry)
		s.x.count.Entries.Add(1)
	}
	for n := len(s.below); n > 0 && !tree.Inside(path, s.below[n-1].path); n-- {
		s.below = s.below[:n-1]
	}
	r, ok, err := s.staged.Peek()
	if err != nil {
		return err
	}
	p := surveyedPath{found: f, effective: f.R}
	if p.journaled = ok && r.Entry.Path == path; p.journaled {
		p.staged = *r
		s.staged.Skip()
	} else if len(s.below) > 0 {
		return s.follow(f, s.below[len(s.below)-1].action)
	}
	for _, step := range surveySteps {
		if step.when(s, &p) {
			if err := step.do(s, &p); err != nil {
				return err
			}
		}
	}
	return nil
}

// surveyedPath is a path of the survey on its way through surveySteps.
type surveyedPath struct {
	found *verify.Found
	// staged is the journal's record of the path, if journaled.
	staged    index.Record
	journaled bool
	// effective is what the increment starts from: what was found, or with overlaid what is
	// staged over it.
	effective index.Record
	overlaid  bool
}

// replaces reports whether the journal puts something else than the directory that was there.
func (p *surveyedPath) replaces() bool {
	return p.journaled && (p.staged.Hides || p.staged.Gone || p.staged.Entry.Kind != tree.Dir)
}

// surveySteps decide what counts at a path: what is sent, and what is recorded.
var surveySteps = []struct {
	when func(*survey, *surveyedPath) bool
	do   func(*survey, *surveyedPath) error
}{
	{ // Content that was read: its digests are needed to check what is staged over it.
		func(_ *survey, p *surveyedPath) bool { return p.found.Digests != nil },
		func(s *survey, p *surveyedPath) error { return s.keepDigests(p.found) },
	},
	{ // Staged over an entry that is still as recorded.
		func(s *survey, p *surveyedPath) bool {
			return p.journaled && !p.found.Differs && !s.x.inPlace && !p.staged.Found
		},
		func(s *survey, p *surveyedPath) (err error) {
			p.effective, p.overlaid, err = s.usable(p.staged, &p.found.R)
			return err
		},
	},
	{ // Not as recorded. Under something staged only its timestamps are new.
		func(_ *survey, p *surveyedPath) bool { return !p.found.Same && !p.overlaid },
		func(s *survey, p *surveyedPath) error {
			err := s.recordDrift(p.found)
			p.effective = p.found.R
			return err
		},
	},
	{ // A directory that the increment replaces: a rule for what is below it.
		func(s *survey, p *surveyedPath) bool {
			return p.replaces() && p.found.R.Entry.Kind == tree.Dir && !s.x.inPlace
		},
		func(s *survey, p *surveyedPath) error {
			s.below = append(s.below, rule{p.found.R.Entry.Path, actionBelow(&p.effective, p.overlaid)})
			return nil
		},
	},
	{
		func(_ *survey, p *surveyedPath) bool {
			return p.found.R.Entry.Kind == tree.Image && p.found.R.Stamp.Ino == 0
		},
		func(s *survey, _ *surveyedPath) error { s.noTimestamps = true; return nil },
	},
	{ // The source has a record of the verified copy only, and none of the journal.
		func(s *survey, p *surveyedPath) bool { return p.found.Differs || p.journaled || !s.same },
		func(s *survey, p *surveyedPath) error { return s.send(p.effective) },
	},
	{
		func(s *survey, p *surveyedPath) bool { return !p.found.Differs && !p.journaled && s.same },
		func(s *survey, p *surveyedPath) error { return s.pass(p.found.R.Entry.Path) },
	},
}

// keepDigests puts the leaf digests of a content that was read into the journal.
func (s *survey) keepDigests(f *verify.Found) error {
	j := s.x.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := verify.KeepRows(j.store, j.drift, f); err != nil {
		return err
	}
	f.Digests = nil
	return j.drift.FlushRows()
}

// rule is what becomes of the target's entries below a directory that the increment replaced
// at some time, where the journal has no record of them.
type rule struct {
	path   string
	action belowAction
}

type belowAction uint8

const (
	// keepBelow: the directory counts as it was found.
	keepBelow belowAction = iota
	// deleteBelow: the directory was replaced and recreated; its entries are deleted one by one.
	deleteBelow
	// deletedWithParent: the directory is deleted as a whole; the source knows it.
	deletedWithParent
)

func actionBelow(effective *index.Record, overlaid bool) belowAction {
	switch {
	case !overlaid:
		return keepBelow
	case effective.Gone || effective.Entry.Kind != tree.Dir:
		return deletedWithParent
	default:
		return deleteBelow
	}
}

// follow applies a rule to a path that the journal has no record of.
func (s *survey) follow(f *verify.Found, action belowAction) error {
	if action == keepBelow {
		if err := s.recordDrift(f); err != nil {
			return err
		}
		return s.send(f.R)
	}
	gone := index.Record{Entry: tree.Entry{Path: f.R.Entry.Path}, Gone: true}
	if err := s.x.journal.addDrift(&gone); err != nil || action == deletedWithParent {
		return err
	}
	s.found.Push(gone)
	return s.send(gone)
}

// usable checks what is staged over under, and completes it. ok is false when it cannot be
// used: then the result is what was found.
func (s *survey) usable(rec index.Record, under *index.Record) (_ index.Record, ok bool, err error) {
	checked, ok, err := s.checkStaged(&rec, under)
	if err != nil {
		return rec, false, err
	}
	if !ok {
		// What was found counts again, and the journal has to record that.
		s.found.Push(*under)
		again := *under
		again.Found = true
		return *under, false, s.x.journal.addDrift(&again)
	}
	if checked.Partial && checked.Patch {
		checked, err = s.complete(&checked, under)
		return checked, true, err
	}
	if checked.Rows != rec.Rows || checked.Entry.Content != rec.Entry.Content {
		s.found.Push(checked)
		err = s.x.journal.addDrift(&checked)
	}
	return checked, true, err
}

// complete makes a whole record of an overlay that was left unfinished: what it has not
// reached is as in the file below it.
func (s *survey) complete(partial, under *index.Record) (index.Record, error) {
	j := s.x.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	r := *under
	r.Entry.Size, r.Staged, r.Patch, r.Found, r.Rows = partial.Entry.Size, partial.Staged, true, false, j.drift.Rows()
	rows := make([]byte, partial.Known*tree.LeafDigestSize)
	if err := j.store.ReadRows(partial.Rows, 0, rows); err != nil {
		return r, err
	}
	content, err := receiver.Over(j.store, j.drift, under, rows, r.Entry.Size)
	if err != nil {
		return r, err
	}
	if err := j.drift.FlushRows(); err != nil {
		return r, err
	}
	r.Entry.Content = content
	s.found.Push(r)
	return r, j.drift.Add(&r)
}

// recordDrift records that the target is not as recorded.
func (s *survey) recordDrift(f *verify.Found) error {
	j := s.x.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	f.R.Found, f.R.Staged, f.R.Patch = true, 0, false
	if f.R.Rows.Run != j.drift.Number() {
		if err := verify.KeepRows(j.store, j.drift, f); err != nil {
			return err
		}
		if err := j.drift.FlushRows(); err != nil {
			return err
		}
	}
	if err := j.drift.Add(&f.R); err != nil {
		return err
	}
	s.found.Push(f.R)
	return nil
}

// stagedBefore sends what is staged at paths that the target does not have yet.
func (s *survey) stagedBefore(path string, all bool) error {
	return s.staged.Until(path, all, func(rec *index.Record) error {
		if s.x.inPlace || rec.Found && !rec.Gone {
			return nil
		}
		none := index.Record{Entry: tree.Entry{Path: rec.Entry.Path}, Gone: true}
		usable, _, err := s.usable(*rec, &none)
		if err != nil {
			return err
		}
		return s.send(usable)
	})
}

// send adds a record to the base.
func (s *survey) send(r index.Record) error {
	if r.Gone && !s.same {
		return s.pass(r.Entry.Path)
	}
	rec := wire.BaseRecord{Gone: r.Gone, Partial: r.Partial, Known: r.Known, Entry: r.Entry}
	s.msg.Records = append(s.msg.Records, rec)
	s.size += len(r.Entry.Path) + 128
	for _, attr := range r.Entry.Xattrs {
		s.size += len(attr.Name) + len(attr.Value) + 8
	}
	if n := rec.Leaves(); n > 0 {
		return s.sendRows(r, n)
	}
	return s.pass(r.Entry.Path)
}

// sendRows sends the message so far, and then the leaf digests of its last record.
func (s *survey) sendRows(r index.Record, n int64) error {
	if err := s.flush(r.Entry.Path, false); err != nil {
		return err
	}
	const step = 16 << 10 // leaves
	for first := int64(0); first < n; first += step {
		part := make([]byte, min(step, n-first)*tree.LeafDigestSize)
		if err := s.x.store.ReadRows(r.Rows, first, part); err != nil {
			return err
		}
		if err := s.x.transport.out.pushBulk(s.x.ctx, wire.BaseRows{Rows: part}); err != nil {
			return err
		}
	}
	return nil
}

// pass notes that everything up to path is in the base, and sends the message when it is due.
func (s *survey) pass(path string) error {
	s.passed++
	if s.size < baseBytes && s.passed < basePaths {
		return nil
	}
	return s.flush(path, false)
}

func (s *survey) flush(through string, last bool) error {
	s.msg.Through, s.msg.Last = through, last
	err := s.x.transport.out.pushBulk(s.x.ctx, s.msg)
	s.msg, s.size, s.passed = wire.Base{}, 0, 0
	s.found.Progress(through)
	return err
}

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

// recordedTree returns the record of the target's tree, without what is staged.
func (r *receiveEnd) recordedTree(head index.Head, inPlace bool) (index.Iterator, error) {
	its := make([]index.Iterator, 0, 1+len(head.Journal))
	for i, n := range append([]uint64{head.Base}, head.Journal...) {
		it, err := r.store.Read(n)
		if err != nil {
			for _, open := range its {
				_ = open.Close()
			}
			return nil, err
		}
		if i > 0 && !inPlace {
			it = onlyFound{it}
		}
		its = append(its, it)
	}
	return index.Overlay(its...), nil
}

// overlayAll returns the record of the target with what is staged on top.
func (r *receiveEnd) overlayAll(head index.Head) (index.Iterator, error) {
	return r.store.ReadAll(append([]uint64{head.Base}, head.Journal...)...)
}
