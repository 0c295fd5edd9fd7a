// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestGuardTurnsAPanicIntoAnInternalError(t *testing.T) {
	err := Guard(func() error { panic("index out of range\x1b[2J") })
	if Of(err) != Internal || !strings.Contains(err.Error(), `index out of range\x1b[2J`) {
		t.Errorf("%v", err)
	}
	var log bytes.Buffer
	for range 2 {
		if !LogPanic(slog.New(slog.NewTextHandler(&log, nil)), err) {
			t.Error("not recognised as a panic")
		}
	}
	if strings.Count(log.String(), "stack=") != 1 || !strings.Contains(log.String(), "TestGuardTurnsAPanic") {
		t.Errorf("logged %s", log.String())
	}
	plain := errors.New("plain")
	if got := Guard(func() error { return plain }); !errors.Is(got, plain) || LogPanic(slog.Default(), got) {
		t.Errorf("%v", got)
	}
}
