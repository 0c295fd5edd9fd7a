// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever a cluster says: a title for the terminal, a cleared screen, colours by an
// 8-bit control, text that runs backwards in front of other text.
const hostile = "name\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\rover it"

func TestTextForPeopleHasNoControlCharactersOfACluster(t *testing.T) {
	for format, wide := range map[string]bool{"": false, "wide": true, "name": true} {
		f := &Flags{format: format, table: wide}
		var out bytes.Buffer
		if err := f.Print(&out, map[string]string{"name": hostile}, hostile+"\n"); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\x07\u009b\u202e\r") || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("-o %q prints %q", format, out.String())
		}
	}
}

func TestTextForProgramsHasThemInTheFormsOwnWay(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		f := &Flags{format: format}
		var out bytes.Buffer
		if err := f.Print(&out, map[string]string{"name": hostile}, ""); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\x07\u009b\r") {
			t.Errorf("-o %s prints %q", format, out.String())
		}
	}
}
