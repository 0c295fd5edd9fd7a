// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"slices"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
)

// unchanged reports whether this session wrote nothing and nothing is staged.
func (x *receiveSession) unchanged(head index.Head) bool {
	return x.pipeline.last == 0 && head.Phase == index.Whole && len(head.Journal) == 0
}

// judge computes the digest of what the target holds or, staged, will hold.
func (x *receiveSession) judge() (session.Input, error) {
	head := x.store.Head()
	if x.unchanged(head) && !x.o.Verify {
		return session.Judged{Digest: x.survey.digest}, nil
	}
	if x.inPlace || x.unchanged(head) {
		err := x.finishDirectories(x.ctx, head)
		if err == nil {
			x.survey.digest, err = x.describeTree(x.ctx, x.journal, x.mask, head)
		}
		return session.Judged{Digest: x.survey.digest}, err
	}
	head, err := x.journalDrift()
	if err != nil {
		return nil, err
	}
	it, err := x.overlayAll(head)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	root := tree.NewRoot(x.mask)
	err = index.Each(index.Present(it), func(r *index.Record) error {
		root.Add(&r.Entry)
		return nil
	})
	return session.Judged{Digest: root.Sum()}, err
}

// journalDrift makes what the survey found after the last checkpoint part of the journal, or
// all of it when no frame has arrived: something that an earlier session staged may not exist
// any more, and the increment must not be judged by it.
func (x *receiveSession) journalDrift() (index.Head, error) {
	if x.journal.drift.Records() == 0 {
		return x.store.Head(), nil
	}
	if x.pipeline.last == 0 {
		if err := x.beginWriting(); err != nil {
			return index.Head{}, err
		}
	}
	err := x.journal.sealDrift()
	return x.store.Head(), err
}

// agree asks the caller once whether to verify.
func (x *receiveSession) agree() error {
	if x.agreed {
		return nil
	}
	x.agreed = true
	return beforeVerify(x.ctx, x.o.BeforeVerify)
}

// writeCommit makes the staged increment count.
func (x *receiveSession) writeCommit(digest tree.Digest) error {
	if err := x.agree(); err != nil {
		return err
	}
	head := x.store.Head()
	if x.unchanged(head) {
		return nil
	}
	head.Phase, head.Expected, head.ExpectedSync = index.Rolling, digest.String(), x.o.Sync
	return x.store.Commit(head)
}

// rollForward moves the committed increment to its place, and describes the result.
func (x *receiveSession) rollForward() (session.Input, error) {
	head := x.store.Head()
	if x.unchanged(head) {
		return session.RolledForward{Digest: x.survey.digest}, nil
	}
	if err := x.roll(x.ctx, head); err != nil {
		return nil, err
	}
	digest, err := x.describeTree(x.ctx, x.journal, x.mask, x.store.Head())
	return session.RolledForward{Digest: digest}, err
}

// verify records durably that the target holds the sync.
func (x *receiveSession) verify(digest tree.Digest) (session.Input, error) {
	head := x.store.Head()
	strength := Timestamps
	switch {
	case x.o.Verify:
		strength = Readback
	case x.unchanged(head) && !x.survey.walked || x.survey.noTimestamps:
		strength = Transport
	}
	if err := x.agree(); err != nil {
		return nil, err
	}
	if err := x.writeVerification(digest); err != nil {
		return nil, err
	}
	x.result.Verified, x.result.Digest, x.result.Strength = true, digest.String(), strength
	x.result.Unchanged = x.pipeline.last == 0
	return session.VerificationWritten{Strength: uint8(slices.Index(strengths[:], strength))}, nil
}

func (x *receiveSession) writeVerification(digest tree.Digest) error {
	head := x.store.Head()
	if x.unchanged(head) && x.journal.tree == nil && x.journal.drift.Records() == 0 {
		if head.Sync == x.o.Sync && !head.Mismatch {
			return nil
		}
		head.Sync, head.Mismatch = x.o.Sync, false
		return x.store.Commit(head)
	}
	if x.journal.tree == nil {
		if err := x.journal.mergeDrift(head.Base); err != nil {
			return err
		}
	}
	return x.commitTree(x.journal, x.mask, digest, x.o.Sync)
}

// commitTree makes the run of the whole tree the verified copy.
func (r *receiveEnd) commitTree(j *journal, mask tree.Mask, digest tree.Digest, sync int64) error {
	if err := r.store.Seal(j.tree, 0, tree.Time{}); err != nil {
		return err
	}
	return r.store.Commit(index.Head{
		Phase: index.Whole, Digest: digest.String(), Mask: uint32(mask), Sync: sync,
		Entries: j.tree.Records(), Base: j.tree.Number(), Image: r.target.Image(),
	})
}

// describeTree walks the target after the last operation on it, and writes what is there, with
// timestamps that are settled, to a run of its own.
func (r *receiveEnd) describeTree(ctx context.Context, j *journal, mask tree.Mask, head index.Head) (tree.Digest, error) {
	// The clock of ctime must advance, so that what was done last counts as settled.
	if err := pause(ctx, 2*tree.Granularity*time.Nanosecond); err != nil {
		return tree.Digest{}, err
	}
	source, err := r.target.Source(mask)
	if err != nil {
		return tree.Digest{}, err
	}
	defer source.Close()
	runs := append([]uint64{head.Base}, head.Journal...)
	if r.rolled != 0 {
		runs = append(runs, r.rolled)
		defer r.store.Discard(r.rolled)
	}
	recorded, err := r.store.ReadAll(runs...)
	if err != nil {
		return tree.Digest{}, err
	}
	if err := j.newTree(); err != nil {
		_ = recorded.Close()
		return tree.Digest{}, err
	}
	root := tree.NewRoot(mask)
	walk := &verify.Survey{Source: source, Store: r.store, All: r.o.Verify, Count: r.count}
	walk.Emit = func(f *verify.Found) error {
		if f.R.Gone {
			return nil
		}
		f.R.Staged, f.R.Patch, f.R.Found, f.R.Partial = 0, false, false, false
		root.Add(&f.R.Entry)
		return j.addTree(f)
	}
	err = walk.Run(ctx, recorded)
	return root.Sum(), err
}

// continueInPlace gives up the stage, and with it the verified copy: from now on, until a sync
// is verified, the target is partially applied. What is known of its tree stays known.
func (r *receiveEnd) continueInPlace(cause error) error {
	r.log.Warn("the increment does not fit beside the verified copy; it is written in place, and the target is partially applied until that is done")
	head := r.store.Head()
	head.Phase, head.Stage, head.Journal = index.Torn, "", nil
	if err := r.store.Commit(head); err != nil {
		return err
	}
	if err := r.target.RemoveStages(""); err != nil {
		return err
	}
	return cause
}

// beforeVerify calls a caller's BeforeVerify.
func beforeVerify(ctx context.Context, ask func(context.Context) error) error {
	if ask == nil {
		return nil
	}
	return fault.Wrap(fault.Refused, ask(ctx), "verify the sync")
}
