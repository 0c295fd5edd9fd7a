// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync/atomic"
)

// PanicError is the cause of an Internal error that began as a panic.
type PanicError struct {
	// Value is what was passed to panic, on one line.
	Value string
	// Stack of the goroutine that panicked.
	Stack []byte

	logged atomic.Bool
}

// Error gives the value only: the stack is for the log.
func (e *PanicError) Error() string { return "panic: " + e.Value }

// Guard calls f and turns a panic into an Internal error, so that it ends one shipment and not
// the process. Every goroutine of the engine runs inside one.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			text := strconv.QuoteToASCII(fmt.Sprint(v))
			err = &Error{
				Reason: Internal, What: "defect in the program",
				Err: &PanicError{Value: text[1 : len(text)-1], Stack: debug.Stack()},
			}
		}
	}()
	return f()
}

// LogPanic logs the stack of an error that began as a panic, once, and reports whether err is
// one. Every other error it ignores.
func LogPanic(log *slog.Logger, err error) bool {
	p, ok := errors.AsType[*PanicError](err)
	if ok && !p.logged.Swap(true) {
		log.Error("a goroutine of the shipment panicked", "value", p.Value, "stack", string(p.Stack))
	}
	return ok
}
