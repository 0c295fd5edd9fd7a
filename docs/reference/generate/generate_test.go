// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPages(t *testing.T) {
	parent := &cobra.Command{Use: "motion", Short: "Move", RunE: func(*cobra.Command, []string) error { return nil }}
	parent.PersistentFlags().String("cache-dir", "/home/me/.kube", "Cache | folder")
	sub := &cobra.Command{Use: "plan", Short: "Show a plan", Long: ".starts with a dot", Run: func(*cobra.Command, []string) {}}
	sub.Flags().StringP("route", "r", "auto", "Which `ROUTE` to use")
	parent.AddCommand(sub, &cobra.Command{Use: "secret", Hidden: true, Run: func(*cobra.Command, []string) {}})

	pages := commands(parent)
	if len(pages) != 4 {
		t.Errorf("%d pages, want a Markdown and a man page for each of two commands", len(pages))
	}
	for name, want := range map[string][]string{
		"cli/motion.md":      {"# motion\n", "| `--cache-dir string` | Cache \\| folder |", "[motion plan](motion-plan.md)"},
		"cli/motion-plan.md": {"motion plan [flags]", "| `-r, --route ROUTE` | Which ROUTE to use (default auto) |", "[motion](motion.md)"},
		"man/motion-plan.1":  {".TH \"MOTION-PLAN\"", "\\&.starts with a dot", ".TP\n\\fB\\-r, \\-\\-route ROUTE\\fP\n"},
	} {
		for _, part := range want {
			if !strings.Contains(pages[name], part) {
				t.Errorf("%s has no %q:\n%s", name, part, pages[name])
			}
		}
	}
	if strings.Contains(pages["cli/motion.md"], "/home/me") {
		t.Error("a default that depends on the machine is on the page")
	}
}

func TestAPIReference(t *testing.T) {
	folder := t.TempDir()
	source := `package v1

// Thing is a thing.
//
// +kubebuilder:object:root=true
type Thing struct {
	Meta ` + "`json:\",inline\"`" + `
	// mode is how it is done.
	// +optional
	Mode Mode ` + "`json:\"mode,omitempty\"`" + `
	// sizes are in bytes.
	Sizes []int64 ` + "`json:\"sizes\"`" + `
}

// Mode is a mode.
type Mode string

const (
	// ModeFast: it is fast.
	ModeFast Mode = "Fast"
)
`
	if err := os.WriteFile(filepath.Join(folder, "thing_types.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := apiReference(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"- [Thing](#thing)\n", "## Thing\n\nThing is a thing.\n",
		"| `mode` | [Mode](#mode), optional | mode is how it is done. |", "| `sizes` | list of int | sizes are in bytes. |",
		"| `Fast` | it is fast. |",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("no %q in:\n%s", part, page)
		}
	}
	if strings.Contains(page, "Meta") || strings.Contains(page, "kubebuilder") {
		t.Errorf("inlined fields or markers in:\n%s", page)
	}
	if _, err := apiReference(t.TempDir()); err == nil {
		t.Error("no error for a folder without types")
	}
}
