// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

type receiverState uint8

const (
	// awaitHello: nothing has arrived yet.
	awaitHello receiverState = iota
	// receiving: frames arrive; the survey may still run.
	receiving
	// judging: Judge is under way.
	judging
	// awaitCommit: the verdict is sent.
	awaitCommit
	// committing: WriteCommit is under way.
	committing
	// rolling: RollForward is under way.
	rolling
	// verifying: WriteVerification is under way.
	verifying
	// awaitBye: everything is durable.
	awaitBye
	// ended: End was returned; inputs are ignored.
	ended
)

// Receiver is the receiving end of one session.
type Receiver struct {
	// inPlace: the target is written in place; otherwise increments are staged.
	inPlace bool
	state   receiverState
	out     []Action

	// next is the frame to be dispatched next; arrived those that arrived before their turn.
	next    uint64
	arrived map[uint64]bool
	// applied is the frame up to which all are applied; done those beyond it.
	applied uint64
	beyond  map[uint64]bool
	// durable is the frame up to which everything is acknowledged.
	durable uint64
	// target is the frame that the sender requested to be durable; busy: Sync or Persist is
	// under way.
	target uint64
	busy   bool

	surveyed bool
	last     *wire.Done
	verdict  tree.Digest
}

// NewReceiver begins a session on a target that is written in place, or not.
func NewReceiver(inPlace bool) *Receiver {
	return &Receiver{inPlace: inPlace, next: 1, arrived: map[uint64]bool{}, beyond: map[uint64]bool{}}
}

// Ready returns the actions since the last call, in order.
func (r *Receiver) Ready() []Action {
	out := r.out
	r.out = nil
	return out
}

// Ended reports whether the session is over.
func (r *Receiver) Ended() bool { return r.state == ended }

func (r *Receiver) do(a Action) { r.out = append(r.out, a) }

func (r *Receiver) fail(err error) {
	r.state = ended
	r.do(End{Err: err})
}

// Step takes an event.
func (r *Receiver) Step(in Input) {
	if r.state == ended {
		return
	}
	switch in := in.(type) {
	case Failed:
		r.fail(in.Err)
	case Message:
		r.message(in.M)
	case FrameArrived:
		r.frame(in.Seq)
	case Applied:
		r.apply(in.Seq)
	case Surveyed:
		r.surveyed = true
		r.advance()
	case Synced:
		r.do(Persist(in))
	case Persisted:
		r.persisted(in.Through)
	case Judged:
		r.judged(in.Digest)
	case CommitWritten:
		r.state = rolling
		r.do(RollForward{})
	case RolledForward:
		r.rolled(in.Digest)
	case VerificationWritten:
		r.state = awaitBye
		r.do(Send{wire.Committed{Verified: true, Strength: in.Strength}})
	}
}

func (r *Receiver) message(m wire.Message) {
	switch m := m.(type) {
	case wire.Failure:
		r.fail(remote(m))
	case wire.Hello:
		if r.state != awaitHello {
			r.fail(unexpected(m))
			return
		}
		r.state = receiving
		r.do(Survey{Hello: m})
	case wire.Mark:
		if r.state != receiving || r.last != nil {
			r.fail(unexpected(m))
			return
		}
		r.target = max(r.target, m.Seq)
		r.advance()
	case wire.Done:
		if r.state != receiving || r.last != nil {
			r.fail(unexpected(m))
			return
		}
		r.last, r.target = &m, m.Last
		r.advance()
	case wire.Commit:
		r.commit(m)
	case wire.Bye:
		if r.state != awaitBye {
			r.fail(unexpected(m))
			return
		}
		r.state = ended
		r.do(End{})
	default:
		r.fail(unexpected(m))
	}
}

func (r *Receiver) frame(seq uint64) {
	if r.state != receiving || seq < r.next || r.arrived[seq] || r.last != nil && seq > r.last.Last {
		r.fail(fault.New(fault.PeerRejected, "the other end sent frame %d out of turn", seq))
		return
	}
	r.arrived[seq] = true
	for r.arrived[r.next] {
		delete(r.arrived, r.next)
		r.do(Apply{Seq: r.next})
		r.next++
	}
}

func (r *Receiver) apply(seq uint64) {
	r.beyond[seq] = true
	for r.beyond[r.applied+1] {
		r.applied++
		delete(r.beyond, r.applied)
	}
	r.advance()
}

func (r *Receiver) persisted(through uint64) {
	r.busy = false
	r.durable = max(r.durable, through)
	r.do(Send{wire.Ack{Seq: r.durable}})
	r.advance()
}

// advance starts what has become possible: a checkpoint, then the verdict.
func (r *Receiver) advance() {
	if r.state != receiving || r.busy {
		return
	}
	if r.durable < r.target && r.applied >= r.target {
		r.busy = true
		r.do(Sync{Through: r.applied})
		return
	}
	if r.last == nil || !r.surveyed || r.durable < r.last.Last {
		return
	}
	if !r.last.Verify {
		r.state = awaitBye
		r.do(Send{wire.Committed{}})
		return
	}
	r.state = judging
	r.do(Judge{})
}

func (r *Receiver) judged(digest tree.Digest) {
	r.state, r.verdict = awaitCommit, digest
	r.do(Send{wire.Verdict{Digest: digest}})
}

func (r *Receiver) commit(m wire.Commit) {
	switch {
	case r.state != awaitCommit:
		r.fail(unexpected(m))
	case r.verdict != r.last.Digest:
		r.fail(fault.New(fault.DigestMismatch, "the digest of the source is %s, that of the target %s", r.last.Digest, r.verdict))
	case r.inPlace:
		r.state = verifying
		r.do(WriteVerification{Digest: r.verdict})
	default:
		r.state = committing
		r.do(WriteCommit{Digest: r.verdict})
	}
}

func (r *Receiver) rolled(digest tree.Digest) {
	if digest != r.verdict {
		r.fail(fault.New(fault.DigestMismatch, "the digest of the target must be %s, and is %s", r.verdict, digest))
		return
	}
	r.state = verifying
	r.do(WriteVerification{Digest: digest})
}
