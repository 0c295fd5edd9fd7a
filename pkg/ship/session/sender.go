// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// A checkpoint is requested after so much, and at every Tick.
const (
	markBytes   = 2 << 30
	markEntries = 200_000
)

type senderState uint8

const (
	// awaitWelcome: Hello is sent, or about to be.
	awaitWelcome senderState = iota
	// scanning: the source is read.
	scanning
	// awaitVerdict: Done is sent.
	awaitVerdict
	// awaitCommitted: Commit is sent, or not needed.
	awaitCommitted
	// senderEnded: End was returned.
	senderEnded
)

// Sender is the sending end of one session.
type Sender struct {
	state senderState
	out   []Action

	// queued is the highest frame handed over, marked the highest requested to be durable.
	queued, marked uint64
	bytes, entries int64 // since the last mark
	done           wire.Done
	// committed is the receiver's last message.
	committed wire.Committed
}

// NewSender begins a session.
func NewSender() *Sender { return &Sender{} }

// Ready returns the actions since the last call, in order.
func (s *Sender) Ready() []Action {
	out := s.out
	s.out = nil
	return out
}

// Ended reports whether the session is over.
func (s *Sender) Ended() bool { return s.state == senderEnded }

// Outcome returns the receiver's last message; it is valid after End{nil}.
func (s *Sender) Outcome() wire.Committed { return s.committed }

func (s *Sender) do(a Action) { s.out = append(s.out, a) }

func (s *Sender) fail(err error) {
	s.state = senderEnded
	s.do(End{Err: err})
}

// Step takes an event.
func (s *Sender) Step(in Input) {
	if s.state == senderEnded {
		return
	}
	switch in := in.(type) {
	case Failed:
		s.fail(in.Err)
	case Message:
		s.message(in.M)
	case Started:
		s.state = awaitWelcome
		s.do(Send{in.Hello})
	case Queued:
		s.queued = max(s.queued, in.Seq)
		s.bytes += in.Bytes
		s.entries += in.Entries
		if s.bytes >= markBytes || s.entries >= markEntries {
			s.mark()
		}
	case Tick:
		s.mark()
	case Scanned:
		s.scanned(in.Done)
	}
}

func (s *Sender) mark() {
	if s.state != scanning || s.queued == s.marked {
		return
	}
	s.marked, s.bytes, s.entries = s.queued, 0, 0
	s.do(Send{wire.Mark{Seq: s.marked}})
}

func (s *Sender) scanned(done wire.Done) {
	s.done, s.state = done, awaitVerdict
	if !done.Verify {
		s.state = awaitCommitted
	}
	s.do(Send{done})
}

func (s *Sender) message(m wire.Message) {
	switch m := m.(type) {
	case wire.Failure:
		s.fail(remote(m))
	case wire.Welcome:
		if s.state != awaitWelcome {
			s.fail(unexpected(m))
			return
		}
		s.state = scanning
		s.do(Scan{Welcome: m})
	case wire.Base, wire.BaseRows:
		if s.state != scanning {
			s.fail(unexpected(m))
			return
		}
		s.do(Feed{M: m})
	case wire.Ack:
		if m.Seq > s.queued {
			s.fail(unexpected(m))
			return
		}
		s.do(Acknowledged{Seq: m.Seq})
	case wire.Verdict:
		s.verdict(m)
	case wire.Committed:
		s.finish(m)
	default:
		s.fail(unexpected(m))
	}
}

func (s *Sender) verdict(m wire.Verdict) {
	if s.state != awaitVerdict {
		s.fail(unexpected(m))
		return
	}
	if m.Digest != s.done.Digest {
		s.fail(fault.New(fault.DigestMismatch, "the digest of the source is %s, that of the target %s", s.done.Digest, m.Digest))
		return
	}
	s.state = awaitCommitted
	s.do(Send{wire.Commit{}})
}

func (s *Sender) finish(m wire.Committed) {
	if s.state != awaitCommitted || m.Verified != s.done.Verify {
		s.fail(unexpected(m))
		return
	}
	s.committed = m
	s.state = senderEnded
	s.do(Send{wire.Bye{}})
	s.do(End{})
}
