// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fault defines why a shipment stopped: a closed set of reasons that
// crosses the wire, so that both ends report the same one and a caller can distinguish
// what can be retried from what needs a person. Where a reason has the name of a
// VolumeShipment condition's reason, it means the same.
//
// An *Error has the reason, the path where there is one (the first
// that was found, components separated by NUL as everywhere in pkg/ship), what was
// being done, and the cause. Errors without a reason count as Internal.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Reason is why a shipment stopped. The set is closed: a value that is not
// listed here never leaves this package (see Parse).
type Reason string

const (
	// TargetFull: no space, no inodes, a quota or the given capacity was reached. The
	// same call carries on once there is room.
	TargetFull Reason = "TargetFull"
	// TargetUnsupported: the target's filesystem cannot hold what the source has (an
	// xattr namespace, a long name, a large file). The path names the first such entry.
	TargetUnsupported Reason = "TargetUnsupported"
	// TargetTooSmall: a device or image on the target is smaller than the source.
	TargetTooSmall Reason = "TargetTooSmall"
	// TargetUnwritable: the target refused an operation for a reason that is not
	// space: an I/O error, a read-only filesystem, missing rights.
	TargetUnwritable Reason = "TargetUnwritable"
	// Unreadable: an entry of the source could not be read.
	Unreadable Reason = "Unreadable"
	// SpecialFileRefused: the policy Refuse met a setuid-root file, a device, a file
	// capability or a trusted.* attribute.
	SpecialFileRefused Reason = "SpecialFileRefused"
	// SourceChanged: an entry changed during read, in a source that must not change.
	SourceChanged Reason = "SourceChanged"
	// DigestMismatch: what the target holds is not what the source described.
	DigestMismatch Reason = "DigestMismatch"
	// PeerVersionMismatch: the other end uses another version of the protocol.
	PeerVersionMismatch Reason = "PeerVersionMismatch"
	// PeerRejected: the other end violates the protocol or one of its limits, or ships another
	// sync.
	PeerRejected Reason = "PeerRejected"
	// StateCorrupt: the local state cannot be used and could not be set aside either.
	StateCorrupt Reason = "StateCorrupt"
	// StateBusy: another sync uses the state of this volume, or writes to it.
	StateBusy Reason = "StateBusy"
	// StateFull: the filesystem of the state has no space. The same call continues once
	// there is room.
	StateFull Reason = "StateFull"
	// PartiallyApplied: a part of a sync is applied to the volume, which must not be started.
	PartiallyApplied Reason = "PartiallyApplied"
	// Refused: the caller of one end did not agree to the verification.
	Refused Reason = "Refused"
	// ConnectionLost: a connection broke; the same call carries on.
	ConnectionLost Reason = "ConnectionLost"
	// Cancelled: the caller's context ended.
	Cancelled Reason = "Cancelled"
	// Internal: a defect in this program.
	Internal Reason = "Internal"
)

// All lists every reason.
func All() []Reason {
	return []Reason{
		TargetFull, TargetUnsupported, TargetTooSmall, TargetUnwritable, Unreadable, SpecialFileRefused, SourceChanged,
		DigestMismatch, PeerVersionMismatch, PeerRejected, StateCorrupt, StateBusy, StateFull, PartiallyApplied, Refused, ConnectionLost, Cancelled,
		Internal,
	}
}

// Parse maps a name from the wire to its Reason; unknown names become Internal.
func Parse(name string) Reason {
	for _, r := range All() {
		if string(r) == name {
			return r
		}
	}
	return Internal
}

// Retryable reports whether the same call can succeed later without a change by a person.
func (r Reason) Retryable() bool {
	switch r {
	case ConnectionLost, SourceChanged, StateBusy, StateFull, TargetFull, DigestMismatch, PartiallyApplied:
		return true
	default:
		return false
	}
}

// Error is a failure with its reason. Use errors.As, or Of.
type Error struct {
	Reason Reason
	// Path of the first offending entry, components separated by NUL; empty when no
	// single entry is at fault (HasPath distinguishes it from the root).
	Path    string
	HasPath bool
	// Remote: the other end reported it.
	Remote bool
	// What was being done, lower case, no period.
	What string
	// Err is the cause; nil when What is complete, and always nil when Remote.
	Err error
}

// Error returns one line without control characters: the path is shown with '/' and
// escaped.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Remote {
		b.WriteString("the other end: ")
	}
	if e.HasPath {
		b.WriteString(Show(e.Path))
		b.WriteString(": ")
	}
	b.WriteString(e.What)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error without a path.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, What: fmt.Sprintf(format, args...)}
}

// At makes an Error about one entry.
func At(r Reason, path string, err error, what string) *Error {
	return &Error{Reason: r, Path: path, HasPath: true, What: what, Err: err}
}

// Wrap adds the reason r to err unless it already has one. A nil err stays nil.
func Wrap(r Reason, err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		r = Cancelled
	}
	return &Error{Reason: r, What: what, Err: err}
}

// State is an error of writing the state: StateFull where its filesystem has no space.
func State(err error, what string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return Wrap(StateFull, err, what)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Of returns the reason of err; errors without one are Cancelled when a context
// ended, otherwise Internal. Of(nil) is "".
func Of(err error) Reason {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Cancelled
	}
	return Internal
}

// Show formats a path for people: components joined by '/', everything that a
// terminal could interpret escaped. The root is ".".
func Show(path string) string {
	if path == "" {
		return "."
	}
	quoted := strconv.QuoteToASCII(strings.ReplaceAll(path, "\x00", "/"))
	inner := quoted[1 : len(quoted)-1]
	if inner == path || strings.ReplaceAll(path, "\x00", "/") == inner {
		return inner
	}
	return quoted
}
