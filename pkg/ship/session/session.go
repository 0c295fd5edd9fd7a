// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package session defines the two protocol machines of a shipment. They are pure: no goroutine,
// no clock, no I/O. Events go in through Step, actions come out of Ready, and the driver (package
// ship, or the simulator in this package's tests) reports through Step what it has done.
//
// A machine lives for one session: one set of connections. When a connection is lost the driver
// stops everything that session started, and only then makes the next one. So nothing of an old
// session ever reaches a new one, and there is nothing to reconcile: the next session begins from
// what is durable.
//
// # The receiver's rules
//
//   - Operations are dispatched in the order of their frames, and run in parallel.
//   - Acknowledged means durable: apply, sync the target's filesystem, persist the journal,
//     acknowledge; each only after the one before is reported done.
//   - A verdict is sent when everything is durable and the target has been surveyed.
//   - Nothing of an increment touches the verified copy before the commit record is durable.
package session

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// Input is an event. One of the types below.
type Input interface{ input() }

// Action is what the driver has to do. One of the types below.
type Action interface{ action() }

// Inputs of both machines.
type (
	// Message: a control message arrived.
	Message struct{ M wire.Message }
	// Failed: something that an action started failed, or a connection did.
	Failed struct{ Err error }
)

// Inputs of the receiver.
type (
	// FrameArrived: the frame Seq is complete and decoded.
	FrameArrived struct{ Seq uint64 }
	// Applied: all operations of frame Seq are done.
	Applied struct{ Seq uint64 }
	// Surveyed: the target has been surveyed, and the base is sent.
	Surveyed struct{}
	// Synced answers Sync.
	Synced struct{ Through uint64 }
	// Persisted answers Persist.
	Persisted struct{ Through uint64 }
	// Judged answers Judge.
	Judged struct{ Digest tree.Digest }
	// CommitWritten answers WriteCommit.
	CommitWritten struct{}
	// RolledForward answers RollForward: the digest as found in the target afterwards.
	RolledForward struct{ Digest tree.Digest }
	// VerificationWritten answers WriteVerification.
	VerificationWritten struct{ Strength uint8 }
)

// Inputs of the sender.
type (
	// Started: the control connection stands.
	Started struct{ Hello wire.Hello }
	// Queued: the frame Seq was handed to a data connection, with so many bytes of content
	// and entries.
	Queued struct {
		Seq            uint64
		Bytes, Entries int64
	}
	// Scanned: the source is read to its end, and all frames are handed over.
	Scanned struct{ Done wire.Done }
	// Tick: a checkpoint is due.
	Tick struct{}
)

func (Message) input()             {}
func (Failed) input()              {}
func (FrameArrived) input()        {}
func (Applied) input()             {}
func (Surveyed) input()            {}
func (Synced) input()              {}
func (Persisted) input()           {}
func (Judged) input()              {}
func (CommitWritten) input()       {}
func (RolledForward) input()       {}
func (VerificationWritten) input() {}
func (Started) input()             {}
func (Queued) input()              {}
func (Scanned) input()             {}
func (Tick) input()                {}

// Actions of both machines.
type (
	// Send a control message.
	Send struct{ M wire.Message }
	// End the session: with nil when the sync is over, otherwise with the error.
	End struct{ Err error }
)

// Actions of the receiver.
type (
	// Survey starts the survey of the target, which sends the base.
	Survey struct{ Hello wire.Hello }
	// Apply dispatches the frame Seq.
	Apply struct{ Seq uint64 }
	// Sync the target's filesystem: everything applied up to frame Through becomes durable.
	Sync struct{ Through uint64 }
	// Persist the journal up to frame Through.
	Persist struct{ Through uint64 }
	// Judge computes the digest of what the target holds (in place), or will hold (staged).
	Judge struct{}
	// WriteCommit records durably that the staged increment counts.
	WriteCommit struct{ Digest tree.Digest }
	// RollForward moves the committed increment to its place and describes the target.
	RollForward struct{}
	// WriteVerification records durably that the target holds the tree with Digest.
	WriteVerification struct{ Digest tree.Digest }
)

// Actions of the sender.
type (
	// Scan starts to read the source and to send frames.
	Scan struct{ Welcome wire.Welcome }
	// Feed passes Base and BaseRows messages on to the scan.
	Feed struct{ M wire.Message }
	// Acknowledged reports how much is durable.
	Acknowledged struct{ Seq uint64 }
)

func (Send) action()              {}
func (End) action()               {}
func (Survey) action()            {}
func (Apply) action()             {}
func (Sync) action()              {}
func (Persist) action()           {}
func (Judge) action()             {}
func (WriteCommit) action()       {}
func (RollForward) action()       {}
func (WriteVerification) action() {}
func (Scan) action()              {}
func (Feed) action()              {}
func (Acknowledged) action()      {}

// unexpected is the error about a message that is not allowed in the current state.
func unexpected(m wire.Message) error {
	return fault.New(fault.PeerRejected, "the other end sent %T out of turn", m)
}

// remote turns a Failure message into an error.
func remote(m wire.Failure) error {
	return &fault.Error{Reason: m.Reason, Path: m.Path, HasPath: m.HasPath, What: m.What, Remote: true}
}
