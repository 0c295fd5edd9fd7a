// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package docs keeps what the documents say about the repository true: that the tests
// exist which they name, and the files and packages, and that in a table with a column
// of tests every line has one.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	// A test in a document: its name, maybe with its package, cut short, with a part;
	// behind -run it may be cut short, and behind func it is an example.
	testName = regexp.MustCompile("(-run |RUN=|func )?\\b(?:(\\w+)\\.)?((?:Test|Fuzz|Benchmark)[A-Z]\\w*)(…|\\.\\.\\.)?(/[^`\\s|)]+)?")
	pathName = regexp.MustCompile("`((?:cmd|deploy|pkg|plugins|test)/[\\w./*-]*)`")
)

// tests are the files that have a test of a name.
type tests map[string][]file

type file struct{ folder, text string }

func (k tests) read(f file) {
	for _, m := range testFunc.FindAllStringSubmatch(f.text, -1) {
		k[m[1]] = append(k[m[1]], f)
	}
}

// unknown are the tests that a document names and that do not exist.
func (k tests) unknown(document string) []string {
	var out []string
	for _, m := range testName.FindAllStringSubmatch(document, -1) {
		example, short := m[1] == "func ", m[1] != "" || m[4] != ""
		if !example && !k.has(m[2], m[3], short, m[5]) {
			out = append(out, m[0])
		}
	}
	return out
}

// has says whether there is a test of the name, or one that begins so, in a folder of
// the package's name if that is said, with such a part: `go test` writes a blank in a
// part's name as an underscore.
func (k tests) has(folder, name string, short bool, part string) bool {
	part = strings.TrimRight(strings.TrimPrefix(part, "/"), ".…")
	for known, files := range k {
		if known != name && !(short && strings.HasPrefix(known, name)) {
			continue
		}
		if slices.ContainsFunc(files, func(f file) bool {
			return (folder == "" || f.folder == folder) && strings.Contains(strings.ReplaceAll(f.text, " ", "_"), part)
		}) {
			return true
		}
	}
	return false
}

// withoutTests is the column of tests in a table that has none.
const withoutTests = 1 << 30

// untested are the lines of a document's tables whose last column is to name a test
// and does not.
func untested(document string) []string {
	var out []string
	column := -1
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			column = -1
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case column < 0:
			column = slices.IndexFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "test" })
			if column < 0 {
				column = withoutTests
			}
		case column < len(cells) && !strings.HasPrefix(line, "|--") && !testName.MatchString(cells[column]):
			out = append(out, line)
		}
	}
	return out
}

// everyTest of the repository.
func everyTest(t *testing.T) tests {
	t.Helper()
	known := tests{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		known.read(file{filepath.Base(filepath.Dir(name)), string(text)})
		return err
	})
	if err != nil || len(known) < 500 {
		t.Fatalf("%d tests, %v", len(known), err)
	}
	return known
}

// documents by their names in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimPrefix(filepath.ToSlash(name), root+"/")] = string(text)
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d documents", len(out))
	}
	return out
}

func TestEveryTestThatADocumentNamesExists(t *testing.T) {
	known := everyTest(t)
	for name, text := range documents(t) {
		for _, u := range known.unknown(text) {
			t.Errorf("%s names %s, and there is no such test", name, u)
		}
	}
}

func TestEveryFileThatADocumentNamesExists(t *testing.T) {
	for name, text := range documents(t) {
		// A decision tells of the day on which it was made.
		if path.Dir(name) == "docs/decisions" {
			continue
		}
		for _, m := range pathName.FindAllStringSubmatch(text, -1) {
			// A pattern for every package below, or for one that somebody will write.
			if strings.HasSuffix(m[1], "...") || strings.HasSuffix(m[1], "/NAME") {
				continue
			}
			found, err := filepath.Glob(filepath.Join(root, m[1]))
			if err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which is not there: %v", name, m[1], err)
			}
		}
	}
}

func TestEveryLineOfATableOfTestsNamesOne(t *testing.T) {
	for name, text := range documents(t) {
		for _, line := range untested(text) {
			t.Errorf("%s: no test is named in: %s", name, line)
		}
	}
}

func TestWhatIsWrongInADocumentIsSeen(t *testing.T) {
	known := tests{}
	known.read(file{"agent", "func TestOneThing(t *testing.T) {\n\tt.Run(\"in two words\", f)\n}\n"})
	for text, want := range map[string]string{
		"`TestOneThing`":                  "[]",
		"`agent.TestOneThing`, and more":  "[]",
		"`-run TestOne`":                  "[]",
		"func TestConformance(t)":         "[]",
		"`ship.TestOneThing`":             "[ship.TestOneThing]",
		"`TestOneThing/in_two_words`":     "[]",
		"`TestOneThing/in_two...`":        "[]",
		"`TestOne…`":                      "[]",
		"`TestOne`":                       "[TestOne]",
		"`TestAnother` (`TestOneThing`)":  "[TestAnother]",
		"`TestOneThing/in_three_words`":   "[TestOneThing/in_three_words]",
		"`TestOneThing`, `TestTwoThings`": "[TestTwoThings]",
	} {
		if got := fmt.Sprint(known.unknown(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	table := "| attack | test |\n|---|---|\n| one | `TestOneThing` |\n| two | `pkg/two` |\n\n| a | b |\n|---|---|\n| c | d |\n"
	if got := untested(table); len(got) != 1 || !strings.Contains(got[0], "two") {
		t.Errorf("lines without a test: %q", got)
	}
}
