// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"errors"
	"io"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
)

// idle says that this session changed nothing and nothing is staged.
func (x *recvSession) idle(head index.Head) bool {
	return x.lastSeen == 0 && head.Phase == index.Whole && len(head.Journal) == 0
}

// judge finds the digest of what the target holds or will hold.
func (x *recvSession) judge() (session.Input, error) {
	head := x.store.Head()
	if x.idle(head) && !x.o.Verify {
		return session.Judged{Digest: x.verdict.digest}, nil
	}
	if x.inPlace || x.idle(head) {
		err := x.settle(x.ctx, head)
		if err == nil {
			x.verdict.digest, err = x.describeAll(x.ctx, head)
		}
		return session.Judged{Digest: x.verdict.digest}, err
	}
	head, err := x.journalDrift()
	if err != nil {
		return nil, err
	}
	it, err := x.all(head)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	root := tree.NewRoot(x.mask)
	present := index.Present(it)
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

// journalDrift makes part of the journal what the survey found after the last checkpoint, or
// without any frame having come: that something which an earlier session staged is there no
// more. Otherwise the increment would be judged by what it no longer has.
func (x *recvSession) journalDrift() (index.Head, error) {
	if x.drift.Records() == 0 {
		return x.store.Head(), nil
	}
	if x.lastSeen == 0 {
		if err := x.beginWriting(); err != nil {
			return index.Head{}, err
		}
	}
	x.runMu.Lock()
	defer x.runMu.Unlock()
	return x.store.Head(), x.store.Seal(x.drift, 0, tree.Time{})
}

// agree asks the caller once whether to verify. What was committed before this call has
// been agreed to.
func (x *recvSession) agree() error {
	if x.agreed {
		return nil
	}
	x.agreed = true
	return beforeVerify(x.ctx, x.o.BeforeVerify)
}

// writeCommit makes the staged increment count.
func (x *recvSession) writeCommit(digest tree.Digest) error {
	if err := x.agree(); err != nil {
		return err
	}
	head := x.store.Head()
	if x.idle(head) {
		return nil
	}
	head.Phase, head.Expected, head.ExpectedSync = index.Rolling, digest.String(), x.o.Sync
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

// verify makes it durable that the target holds the generation.
func (x *recvSession) verify(digest tree.Digest) (session.Input, error) {
	head := x.store.Head()
	strength := Stamps
	switch {
	case x.o.Verify:
		strength = Readback
	case x.idle(head) && !x.verdict.walked || x.verdict.blind:
		strength = Transport
	}
	if err := x.agree(); err != nil {
		return nil, err
	}
	if err := x.writeVerification(head, digest, x.o.Sync); err != nil {
		return nil, err
	}
	x.result.Verified, x.result.Digest, x.result.Strength = true, digest.String(), strength
	x.result.Unchanged = x.lastSeen == 0
	return session.VerificationWritten{Strength: uint8(slices.Index(strengths[:], strength))}, nil
}

func (x *recvSession) writeVerification(head index.Head, digest tree.Digest, number int64) error {
	if x.idle(head) && x.tree == nil && x.drift.Records() == 0 {
		if head.Sync == number {
			return nil
		}
		head.Sync = number
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
	next := index.Head{
		Phase: index.Whole, Digest: digest.String(), Mask: uint32(x.mask), Sync: number,
		Entries: x.tree.Records(), Base: x.tree.Number(), Image: x.target.Image(),
	}
	return x.store.Commit(next)
}

// mergeDrift writes the tree down anew when only stamps are different from what is recorded.
func (x *recvSession) mergeDrift(head index.Head) error {
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
	present := index.Present(it)
	for {
		r, err := present.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f := verify.Found{R: r}
		f.R.Found = false
		if err := verify.KeepRows(x.store, x.tree, &f); err != nil {
			return err
		}
		if err := x.tree.Add(&f.R); err != nil {
			return err
		}
	}
}
