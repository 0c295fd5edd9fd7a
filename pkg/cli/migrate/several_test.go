// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
)

func TestOneReportHasEveryNamespaceWithItsOwnExitStatus(t *testing.T) {
	s := &several{}
	s.add("a", migrate.Result{Migration: "west"}, nil)
	if err := s.failed(); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	s.add("b", migrate.Result{}, errors.New("no such pair"))
	s.add("c", migrate.Result{Migration: "west"}, &migrate.PartialError{Items: []string{"x"}})
	if err := s.failed(); exit.Code(err) != exit.Partial || !strings.Contains(err.Error(), "2 of 3 namespaces failed: b, c") {
		t.Errorf("%v", err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Migrations []struct {
			Namespace, Migration, Error string
			ExitCode                    int
		}
	}
	if err := json.Unmarshal(raw, &got); err != nil || len(got.Migrations) != 3 {
		t.Fatalf("%s: %v", raw, err)
	}
	for i, want := range []int{0, 1, 3} {
		if got.Migrations[i].ExitCode != want || (got.Migrations[i].Error == "") != (want == 0) {
			t.Errorf("%+v", got.Migrations[i])
		}
	}
	if text := s.text(); !strings.Contains(text, "namespace b: exit status 1: no such pair") {
		t.Error(text)
	}
}
