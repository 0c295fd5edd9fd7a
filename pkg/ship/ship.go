// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package ship ships one volume, a directory tree or a device, to another place as increments:
// Send reads a Source, Receive writes a Target, and authenticated connections (package link) join
// them. It knows no Kubernetes and opens no volume by path: callers pass open descriptors to
// fsread.OpenTree, fsread.OpenDevice, fswrite.OpenTree and fswrite.OpenDevice.
//
// # How it works
//
// A sync is a totally ordered log of self-contained operations in path order, carried out in
// parallel inside a window and acknowledged by one prefix number. Every sync is an increment
// against what the target durably holds: a first copy has an empty base, a sync that broke off
// left a base that already has what was acknowledged, so resuming does not need a mode of its
// own, and a device is a tree with one entry.
//
// A target that holds no verified copy is written in place. Once it holds one, an increment is
// staged on the target's filesystem, verified, committed by a durable record, and only then
// rolled forward, which does not need the source. A copy is identified by its digest: both ends
// compute it, the receiver from statx and listxattr after its last operation on each inode.
//
// # What it does not promise
//
// A source that is read while it is written is shipped, but a sync in which an entry changed
// during read is not verified. Timestamps prove nothing on filesystems that are not known to keep
// them: there everything is read again.
//
// No panic of the engine, or of a source, target or callback, ends more than the call it happens
// in: it becomes an error with the reason Internal, and its stack is logged.
package ship

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Source is what Send reads; see package fsread.
type Source = fsread.Source

// Target is what Receive writes; see package fswrite.
type Target = fswrite.Target

// Conn returns one more authenticated connection to the other end (see package link). It
// blocks until there is one or ctx ends. Send calls it concurrently, Receive does not: there the
// handshake of one connection should not delay the next.
type Conn = func(ctx context.Context) (net.Conn, error)

// Error and Reason describe why a shipment stopped; see package fault.
type (
	Error  = fault.Error
	Reason = fault.Reason
)

// SpecialFiles is what happens to setuid-root files, devices, file capabilities and trusted.*
// attributes.
type SpecialFiles = fsread.SpecialFiles

const (
	// Refuse stops at the first one with its path. The default.
	Refuse = fsread.Refuse
	// Preserve ships them.
	Preserve = fsread.Preserve
)

// Strength is how the receiver's digest was obtained.
type Strength string

const (
	// Transport: what arrived was verified; the target itself was not read.
	Transport Strength = "transport"
	// Timestamps: the target was walked, and every inode is as the last operation left it.
	Timestamps Strength = "timestamps"
	// Readback: in addition, all content was read from the target's storage.
	Readback Strength = "readback"
)

// SendOptions are a sync's options at its source. The zero value is usable.
type SendOptions struct {
	// Connections for data, 2 to 8; 0 means 4. There is one more for control.
	Connections int
	// Bandwidth in bytes per second on the wire over all connections; 0 means unlimited.
	Bandwidth int64
	// SpecialFiles is enforced by both ends.
	SpecialFiles SpecialFiles
	// SELinux ships security.selinux too; otherwise it is left to the target.
	SELinux bool
	// Drop is what is left out on purpose because the target cannot hold it: the digest is
	// then that of a tree without it.
	Drop tree.Mask
	// Precopy ends the sync without verifying it: what was sent serves later syncs.
	Precopy bool
	// Sync is the caller's number of this sync; both ends must use the same.
	Sync int64
	// BeforeVerify, if set, is called once, after the last byte was read and before the target
	// verifies it. Its error ends the sync without verification.
	BeforeVerify func(context.Context) error
	// Checkpoint is how often, at least, the target makes durable what it has; 0 means every
	// 30 s. It does so too after 2 GiB and 200,000 entries.
	Checkpoint time.Duration
	// Reconnects is how often in a row a session may break off before it transferred 1 MiB; 0
	// means 6, and a negative number means never.
	Reconnects int
	// Idle is how long the other end may send nothing before the session ends; 0 means two
	// minutes.
	Idle time.Duration
	// Progress, if set, is called about once a second while the sync runs, from one goroutine,
	// and once at its end.
	Progress func(Statistics)
	// Logger gets what an operator should know; nil logs nothing.
	Logger *slog.Logger
}

// ReceiveOptions are a sync's options at its target. The zero value is usable.
type ReceiveOptions struct {
	// Authorize reads all content back from storage before verification.
	Verify bool
	// TrustTarget skips reading the target: no other process wrote to it. The result is then
	// no stronger than Transport.
	TrustTarget bool
	// SpecialFiles is enforced by both ends.
	SpecialFiles SpecialFiles
	// MaxBytes bounds what the target may occupy, in bytes; 0 means its filesystem's size.
	MaxBytes int64
	// Sync is the caller's number of this sync; both ends must use the same.
	Sync int64
	// BeforeVerify, if set, is called once, after the last byte of the sync was written and
	// before anything is verified. Its error ends the sync without verification.
	BeforeVerify func(context.Context) error
	// Idle is as in SendOptions.
	Idle time.Duration
	// Progress is as in SendOptions.
	Progress func(Statistics)
	Logger   *slog.Logger
}

// Statistics are the progress of a sync; see package count.
type Statistics = count.Statistics

// Result is how a sync ended.
type Result struct {
	Statistics
	// Digest of the tree as both ends computed it, lower-case hex.
	Digest string
	// Verified: the target holds exactly this sync, durably.
	Verified bool
	// Strength of the receiver's digest.
	Strength Strength
	// Unchanged: the target already held this sync.
	Unchanged bool
	// Sessions is how many times the two ends had to connect.
	Sessions int
	// Durations of the phases at this end.
	ScanTime, ShipTime, VerifyTime time.Duration
}

// Send ships v to the Receive at the other end of the connections that dial returns. It
// resumes when connections break, as long as they transfer something. A nil error means that the
// sync ended as requested; see Result.Verified.
func Send(ctx context.Context, v Source, dial Conn, st *State, o SendOptions) (Result, error) {
	return guarded(o.Logger, func() (Result, error) { return send(ctx, v, dial, st, o) })
}

// Receive takes one sync from the Send at the other end of the connections that accept
// returns, and returns when it has ended. Broken connections do not end it: it waits for the
// next ones until ctx ends.
func Receive(ctx context.Context, t Target, accept Conn, st *State, o ReceiveOptions) (Result, error) {
	return guarded(o.Logger, func() (Result, error) { return receive(ctx, t, accept, st, o) })
}

// guarded turns a panic on the caller's goroutine into an error.
func guarded(log *slog.Logger, f func() (Result, error)) (result Result, err error) {
	err = fault.Guard(func() (err error) {
		result, err = f()
		return err
	})
	fault.LogPanic(logger(log), err)
	return result, err
}
