// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package exit maps errors to the exit status of the plugin, in one place.
package exit

import (
	"context"
	"errors"

	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/transfer"
)

// The exit codes, as Status documents them.
const (
	OK           = 0
	Failed       = 1
	Usage        = 2
	Partial      = 3
	Blocked      = 4
	Verification = 5
	Interrupted  = 130
)

// Status is the section of every long help.
const Status = `Exit status:
  0    done
  1    an error ended the command
  2    wrong usage
  3    finished, but some items failed or were not examined
  4    blocked: something has to be decided or changed first
  5    source and target do not agree about a volume
  130  interrupted`

// UsageError is an error about what was typed.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Coder is an error of another package that knows its code.
type Coder interface {
	error
	ExitCode() int
}

// Code is the exit code for what a command returned.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[Coder](err); ok {
		return e.ExitCode()
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return Usage
	}
	if _, ok := errors.AsType[*migrate.BlockedError](err); ok {
		return Blocked
	}
	if _, ok := errors.AsType[*transfer.VerificationError](err); ok {
		return Verification
	}
	if _, ok := errors.AsType[*migrate.PartialError](err); ok {
		return Partial
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}
