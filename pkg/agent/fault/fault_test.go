// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestTheReasonSurvivesWrappingAndTheCauseStaysVisible(t *testing.T) {
	cause := errors.New("no such file")
	err := fmt.Errorf("volume pg: %w", New(v1alpha1.ReasonMountInvalid, "path: %w", cause))
	if got := Reason(err); got != v1alpha1.ReasonMountInvalid {
		t.Errorf("Reason = %s", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is not visible")
	}
}

func TestAnErrorWithoutAReasonIsInternal(t *testing.T) {
	if got := Reason(errors.New("boom")); got != v1alpha1.ReasonInternal {
		t.Errorf("Reason = %s", got)
	}
}

func TestOnlyReasonsThatTheAgentRetriesAreRetryable(t *testing.T) {
	for _, r := range []string{v1alpha1.ReasonPeerUnreachable, v1alpha1.ReasonConnectionLost, v1alpha1.ReasonWaitingForPeer} {
		if !Retryable(r) {
			t.Errorf("%s is not retryable", r)
		}
	}
	for _, r := range []string{v1alpha1.ReasonNotExclusive, v1alpha1.ReasonPeerKeyMismatch, v1alpha1.ReasonTargetFull, v1alpha1.ReasonInternal} {
		if Retryable(r) {
			t.Errorf("%s is retryable", r)
		}
	}
}

func TestWhatDoesNotPrintIsEscapedInMessages(t *testing.T) {
	got := Message(errors.New("file \x1b]0;owned\x07 \xff\n\u202e ä"))
	want := `file \x1b]0;owned\a \xff\n\u202e ä`
	if got != want {
		t.Errorf("Message = %s, want %s", got, want)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	if got := Printable(strings.Repeat("\x00", 1<<20)); len(got) > maxMessage+16 {
		t.Errorf("message has %d bytes", len(got))
	}
}
