// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package docs checks the documents against the repository: the tests, files and packages that
// they name exist, links lead somewhere, each line of a table with a column of tests names one,
// decisions have one form, the glossary has every term of the API and of the command line, and
// words that are hard to understand are not used.
package docs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"sigs.k8s.io/yaml"
)

const root = "../.."

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	// The name of a test in a document: with its package or without, in full or up to an
	// ellipsis, with a subtest or without. After -run a prefix is enough; after func it is an example.
	testName = regexp.MustCompile("(-run |RUN=|func )?\\b(?:(\\w+)\\.)?((?:Test|Fuzz|Benchmark)[A-Z]\\w*)(…|\\.\\.\\.)?(/[^`\\s|)]+)?")
	pathName = regexp.MustCompile("`((?:cmd|deploy|pkg|plugins|test)/[\\w./*-]*)`")
)

// tests maps the name of a test to the files that have one of this name.
type tests map[string][]file

type file struct{ folder, text string }

// read adds the tests of a file.
func (k tests) read(f file) {
	for _, m := range testFunc.FindAllStringSubmatch(f.text, -1) {
		k[m[1]] = append(k[m[1]], f)
	}
}

// unknown returns the tests that a document names and that do not exist.
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

// has reports whether there is a test of the name, or one with the name as its prefix, in a folder
// of the package's name if one is given, with such a subtest: `go test` writes a blank in a
// subtest's name as an underscore.
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

// withoutTests is the column of tests in a table without such a column.
const withoutTests = 1 << 30

// untested returns the lines of a document's tables that have a column of tests and name none there.
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

// everyTest returns the tests of the repository.
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

// documents returns the Markdown documents by their paths in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	everyFile(t, func(name, text string) {
		if path.Ext(name) == ".md" {
			out[name] = text
		}
	})
	if len(out) < 20 {
		t.Fatalf("only %d documents", len(out))
	}
	return out
}

func TestDocuments(t *testing.T) {
	all := documents(t)
	t.Run("name tests that exist", func(t *testing.T) {
		known := everyTest(t)
		for name, text := range all {
			for _, u := range known.unknown(text) {
				t.Errorf("%s names %s, which does not exist", name, u)
			}
		}
	})
	t.Run("name files that exist", func(t *testing.T) {
		for name, text := range all {
			for _, m := range pathName.FindAllStringSubmatch(text, -1) {
				// A pattern for all packages below, or for a package that a reader would add.
				if strings.HasSuffix(m[1], "...") || strings.HasSuffix(m[1], "/NAME") || path.Dir(name) == "docs/decisions" {
					continue
				}
				found, err := filepath.Glob(filepath.Join(root, m[1]))
				if err != nil || len(found) == 0 {
					t.Errorf("%s names %s, which does not exist: %v", name, m[1], err)
				}
			}
		}
	})
	t.Run("link to files that exist", func(t *testing.T) {
		for name, text := range all {
			for _, target := range brokenLinks(all, name, text) {
				t.Errorf("%s has a link to %s, which does not exist", name, target)
			}
		}
	})
	t.Run("name a test in each line of a table of tests", func(t *testing.T) {
		for name, text := range all {
			for _, line := range untested(text) {
				t.Errorf("%s: no test is named in: %s", name, line)
			}
		}
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// brokenLinks returns the targets of a document's links that are neither files of the repository nor
// headings of its documents. Addresses on the network are not checked.
func brokenLinks(all map[string]string, name, text string) []string {
	var out []string
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") || target == "NNNN-title.md" {
			continue
		}
		file := name
		if target != "" {
			file = path.Join(path.Dir(name), target)
		}
		if _, err := os.Stat(filepath.Join(root, file)); err != nil || anchor != "" && !slices.Contains(anchors(all[file]), anchor) {
			out = append(out, m[1])
		}
	}
	return out
}

// anchors returns the anchors of a document's headings, as GitHub makes them.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return out
}

var decision = regexp.MustCompile(`(?s)^# (\d{4}): [^\n]+\n\nStatus: (?:proposed|accepted|replaced by \[\d{4}\]\([^)]*\))\n` +
	`Date: \d{4}-\d{2}-\d{2}\n\n## Context\n.+\n## Decision\n.+\n## Alternatives not taken\n.+\n## Consequences\n`)

func TestDecisions(t *testing.T) {
	const folder = "docs/decisions"
	all, number := documents(t), 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		base := path.Base(name)
		if path.Dir(name) != folder || base == "README.md" || base == "template.md" {
			continue
		}
		number++
		m := decision.FindStringSubmatch(all[name])
		if m == nil {
			t.Errorf("%s is not in the form of template.md", name)
			continue
		}
		if want := fmt.Sprintf("%04d", number); m[1] != want || !strings.HasPrefix(base, want+"-") {
			t.Errorf("%s has number %s, want %s: numbers have no gaps", name, m[1], want)
		}
		if !strings.Contains(all[folder+"/README.md"], "]("+base+")") {
			t.Errorf("%s is not in the index", name)
		}
	}
	if number == 0 {
		t.Error("no decisions were found")
	}
}

var fragment = regexp.MustCompile(`^(?:Security|Breaking|Added|Change|Fixed): [^\n]+[^.\n]\n(?:\n.|$)`)

func TestChangelog(t *testing.T) {
	number := 0
	for name, text := range documents(t) {
		if !strings.HasPrefix(name, "docs/changelog/") || name == "docs/changelog/README.md" {
			continue
		}
		number++
		if !regexp.MustCompile(`^\d+-[a-z0-9-]+\.md$`).MatchString(path.Base(name)) || !fragment.MatchString(text) {
			t.Errorf("%s is not a fragment as docs/changelog/README.md describes it", name)
		}
	}
	if number == 0 {
		t.Error("no fragments were found")
	}
}

// TestRepositoryFiles parses the files that only GitHub reads.
func TestRepositoryFiles(t *testing.T) {
	number := 0
	everyFile(t, func(name, text string) {
		if !strings.HasPrefix(name, ".github/") && name != "renovate.json" || path.Ext(name) == ".md" {
			return
		}
		number++
		var content map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, ".github/workflows/") && content["permissions"] == nil {
			t.Errorf("%s does not limit the permissions of its token", name)
		}
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile(t), "\n"+m[1]+":") {
				t.Errorf("%s runs make %s, and there is no such target", name, m[1])
			}
		}
	})
	if number < 8 {
		t.Errorf("only %d files", number)
	}
}

var makeTarget = regexp.MustCompile(`(?m)(?:run: |^ +)make ([a-z-]+)`)

func makefile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestErrorsInDocumentsAreFound(t *testing.T) {
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
	all := map[string]string{"docs/README.md": "# A Thing, twice!\n", "README.md": ""}
	text := "[a](docs/README.md) [b](docs/README.md#a-thing-twice) [c](https://example.com) [d](none.md) [e](docs/README.md#b)"
	if got := brokenLinks(all, "README.md", text); !slices.Equal(got, []string{"none.md", "docs/README.md#b"}) {
		t.Errorf("broken links: %q", got)
	}
}
