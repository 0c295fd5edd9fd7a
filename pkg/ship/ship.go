// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package ship moves one volume - a directory tree or a device - to another place as
// increments: Send reads a View, Receive writes a Target, and some connections that
// are already authenticated (package link) join them. It knows no Kubernetes and opens
// no volume by path: callers pass open descriptors to scan.OpenTree, scan.OpenDevice,
// land.OpenTree and land.OpenDevice.
//
// # How it works
//
// A pass is a totally ordered log of self-contained operations in path order, carried
// out in parallel inside a window and acknowledged by one prefix number. Every pass is
// an increment against what the target durably holds: a first copy has an empty base, a
// broken pass left a base that already has what was acknowledged, so resuming is no mode
// of its own, and a device is a tree with one entry.
//
// A target that holds no verified generation is written in place. Once it holds one, an
// increment is staged on the target's filesystem, verified, committed by a durable record,
// and only then rolled forward, which needs the source no more. A generation is its digest:
// both ends compute it, the receiver from statx and listxattr after its last operation on
// each inode.
//
// # What it does not promise
//
// A view that is read while its writer goes on is shipped, but a pass in which an entry
// moved under the reader is not verified. Stamps prove nothing on filesystems that are not
// known to keep them: there everything is read again.
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

// CopyMethod is what Send reads; see package scan.
type Source = fsread.Source

// Target is what Receive writes; see package land.
type Target = fswrite.Target

// Conn gives one more authenticated connection to the other end (see package link). It
// blocks until there is one or ctx ends. Send calls it concurrently, Receive does not: what a
// new connection must prove there should not keep the next one waiting.
type Conn = func(ctx context.Context) (net.Conn, error)

// Error and Reason say why a shipment stopped; see package fault.
type (
	Error  = fault.Error
	Reason = fault.Reason
)

// SpecialFiles says what happens to setuid-root files, devices, file capabilities and
// trusted.* attributes.
type SpecialFiles = fsread.SpecialFiles

const (
	// Refuse stops at the first one with its path. The default.
	Refuse = fsread.Refuse
	// Preserve ships them.
	Preserve = fsread.Preserve
)

// Strength says how the receiver's digest was obtained.
type Strength string

const (
	// Transport: what arrived was verified; the target itself was not looked at.
	Transport Strength = "transport"
	// ChangeDetection: the target was walked, and every inode is as the last operation left it.
	Stamps Strength = "stamps"
	// Readback: besides, all content was read from the target's storage.
	Readback Strength = "readback"
)

// SendOptions are a pass's options at its source. The zero value is usable.
type SendOptions struct {
	// Connections for data, 2 to 8; 0 means 4. There is one more for control.
	Connections int
	// Bandwidth in bytes per second on the wire over all connections; 0 means unlimited.
	Bandwidth int64
	// SpecialFiles is enforced by both ends.
	SpecialFiles SpecialFiles
	// SELinux ships security.selinux too; otherwise it is left to the target.
	SELinux bool
	// Drop says what is left out on purpose, because the target cannot hold it: the digest
	// is then that of a tree without it.
	Drop tree.Mask
	// Precopy ends the pass without verifying it: what was sent serves later passes.
	Precopy bool
	// Sync is the caller's number for this pass; both ends must have the same.
	Sync int64
	// BeforeVerify, when set, is called once, after the last byte was read and before the
	// target is asked to verify it. Its error ends the pass without verification.
	BeforeVerify func(context.Context) error
	// Checkpoint is how often the target is asked at least to make durable what it has; 0
	// means every 30 s. It is asked besides after 2 GiB and 200,000 entries.
	Checkpoint time.Duration
	// Reconnects is how often in a row connections may break before a megabyte got through;
	// 0 means 6, and a negative number not once.
	Reconnects int
	// Idle is how long the other end may say nothing at all before it is given up; 0 means
	// two minutes.
	Idle time.Duration
	// Progress, when set, is called about once a second while the pass runs, from one
	// goroutine, and once at its end.
	Progress func(Statistics)
	// Logger gets what an operator should know; nil means silence.
	Logger *slog.Logger
}

// ReceiveOptions are a pass's options at its target. The zero value is usable.
type ReceiveOptions struct {
	// Authorize reads all content back from storage before verification.
	Verify bool
	// TrustTarget skips looking at the target: nobody else wrote to it. The result is then
	// no stronger than Transport.
	TrustTarget bool
	// SpecialFiles is enforced by both ends.
	SpecialFiles SpecialFiles
	// MaxBytes bounds what the target may occupy; 0 means its filesystem's size.
	MaxBytes int64
	// Sync is the caller's number for this pass; both ends must have the same.
	Sync int64
	// BeforeVerify, when set, is called once, after the last byte of the pass was written
	// and before anything is verified. Its error ends the pass without verification.
	BeforeVerify func(context.Context) error
	// Idle is as in SendOptions.
	Idle time.Duration
	// Progress is as in SendOptions.
	Progress func(Statistics)
	Logger   *slog.Logger
}

// Statistics say how far a pass is; see package count.
type Statistics = count.Statistics

// Result is how a pass ended.
type Result struct {
	Statistics
	// Digest of the tree as both ends computed it, lower-case hex.
	Digest string
	// Verified: the target holds exactly this generation, durably.
	Verified bool
	// Strength of the receiver's digest.
	Strength Strength
	// Unchanged: the target already held this generation.
	Unchanged bool
	// Sessions is how many times the two ends had to connect.
	Sessions int
	// Durations of the phases that this end took part in.
	ScanTime, ShipTime, VerifyTime time.Duration
}

// Send ships v to the Receive at the other end of the connections that dial gives. It
// resumes by itself when connections break, as long as something gets through. A nil
// error means the pass ended as asked; see Result.Promoted.
func Send(ctx context.Context, v Source, dial Conn, st *State, o SendOptions) (Result, error) {
	return send(ctx, v, dial, st, o)
}

// Receive takes one pass from the Send at the other end of the connections that accept
// gives, and returns when it ended. Broken connections do not end it: it waits for the
// next ones until ctx ends.
func Receive(ctx context.Context, t Target, accept Conn, st *State, o ReceiveOptions) (Result, error) {
	return receive(ctx, t, accept, st, o)
}
