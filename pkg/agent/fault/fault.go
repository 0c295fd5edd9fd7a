// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package fault ties an error to the reason that a VolumeShipment shows for it.
//
// The reasons are the closed set of the API (see the constants of v1alpha1).
// Every error that ends or delays a generation carries one; an error without a
// reason is a defect of the agent and is shown as Internal.
package fault

import (
	"errors"
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/text"
)

// Error is an error with a reason of the closed set.
type Error struct {
	Reason string
	err    error
}

// New formats an error as fmt.Errorf does, %w included, and ties it to reason.
func New(reason, format string, args ...any) error {
	return &Error{Reason: reason, err: fmt.Errorf(format, args...)}
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap makes the wrapped error visible to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.err }

// Reason finds the reason of the outermost Error in err's chain, or
// v1alpha1.ReasonInternal.
func Reason(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return v1alpha1.ReasonInternal
}

// Retryable reports whether the agent retries after reason. Every other failure ends
// the sync, until the user raises spec.sync.
func Retryable(reason string) bool {
	switch reason {
	case v1alpha1.ReasonWaitingForPeer, v1alpha1.ReasonWaitingForMountPod, v1alpha1.ReasonQueued,
		v1alpha1.ReasonPeerUnreachable, v1alpha1.ReasonConnectionLost:
		return true
	}
	return false
}

// maxMessage bounds a condition's message. The API server allows 32 KiB; a
// message is for people and may be written every few seconds.
const maxMessage = 1024

// Message is err's text, fit for a condition: file names and strings of other
// clusters may hold anything, so what does not print is escaped as in a Go
// string, and the whole is bounded to about 1 KiB.
func Message(err error) string {
	return Printable(err.Error())
}

// Printable escapes what does not print in s and bounds its length.
func Printable(s string) string { return text.Bounded(s, maxMessage) }
