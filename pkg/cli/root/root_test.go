// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestAnErrorHasNoControlCharactersOfACluster(t *testing.T) {
	const hostile = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r"
	for _, err := range []error{
		errors.New("pod " + hostile + " does not run\nhint: look at it"),
		apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, hostile, errors.New(hostile)),
	} {
		got := Message(err)
		if strings.ContainsAny(got, "\x1b\x07\u009b\u202e\r") {
			t.Errorf("%q reaches the terminal", got)
		}
		if !strings.Contains(got, "\nkubectl-motion: hint: ") {
			t.Errorf("the hint is lost: %q", got)
		}
	}
}
