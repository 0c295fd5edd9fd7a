// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A word that is not used in this repository, and what to write instead.
type word struct {
	pattern *regexp.Regexp
	instead string
}

func avoid(pattern, instead string) word {
	return word{regexp.MustCompile(`(?i)\b(?:` + pattern + `)\b`), instead}
}

// everywhere are the words that are used neither in strings nor in comments nor in
// documents. docs/glossary.md has the terms to use instead.
var everywhere = []word{
	avoid(`anew`, "again, recreate"),
	avoid(`nobody|somebody|whoever|whomever`, "the person or component"),
	avoid(`whatever`, "any, all, or the thing itself"),
	avoid(`by (?:it|them)sel(?:f|ves)`, "automatically, or leave it out"),
	avoid(`is no [\w-]+|are no [\w-]+`, "is not a, must be"),
	avoid(`say --[a-z-]+`, "use --flag"),
	avoid(`holders?`, "mount pod"),
	avoid(`promot(?:e|es|ed|ing|able)`, "verify"),
	avoid(`at rest`, "on standby"),
	avoid(`torn`, "partially applied"),
	avoid(`ledgers?`, "report"),
	avoid(`movers?`, "migrator, agent"),
	avoid(`renewers?`, "token rotator"),
	avoid(`stamps|stamped`, "timestamps, change detection"),
	avoid(`figures`, "progress, statistics"),
	avoid(`in mid-\w+|half-?way`, "during"),
	avoid(`fate|worth|patience|last words`, "status, value, timeout, diagnostics"),
	avoid(`brought|rested|woken|lest`, "created, on standby, activated, so that"),
	avoid(`(?:is|are|was|were|be|been|being) told`, "is notified, receives"),
	avoid(`(?:agent|plugin|cluster|server|kubelet|kernel|driver|end|peer|error|report|plan|command|relay)s? (?:tell|tells|told)`,
		"returns, reports"),
	avoid(`over there`, "on the target"),
	avoid(`(?:comes?|came) along`, "is included"),
	avoid(`made again|makes? again`, "recreated"),
}

// inStrings are the words that are, in addition, not used in what a user can meet.
var inStrings = []word{
	avoid(`says|tells?|told|knows|knew|speaks?|hears?`, "returns, reports, supports"),
	avoid(`remembers?|forgets?|forgotten|mend(?:s|ed)?|looked at|stands|stood`, "records, removes, repairs, checked, is"),
	avoid(`goes on|go on|going on|carr(?:y|ies) on`, "continues"),
	avoid(`claims?`, "PVC, volume"),
	avoid(`\d+ bytes`, "a size with its unit, such as 245 MiB"),
}

// accepted matches a line in which a word has its usual meaning.
var accepted = regexp.MustCompile(`(?i)there (?:is|are|was|were) no\b|\b(?:is|are) no (?:longer|more)\b|` +
	`nobody user|encrypt\w* (?:data )?at rest|\bvolume claim|persistent volume claim|resource claim`)

// A finding is a word in a place.
type finding struct {
	file string
	line int
	word string
	use  string
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %q (use: %s)\n\t%s", f.file, f.line, f.word, f.use, strings.TrimSpace(f.text))
}

// search returns the words that occur in a text; the text begins at the given line of the file.
func search(words []word, file string, line int, text string) []finding {
	var out []finding
	for i, l := range strings.Split(text, "\n") {
		for _, w := range words {
			for _, m := range w.pattern.FindAllString(l, -1) {
				if !accepted.MatchString(l) {
					out = append(out, finding{file, line + i, m, w.instead, l})
				}
			}
		}
	}
	return out
}

// searchGo returns the words in the comments and string literals of a Go file. Import paths,
// struct tags and literals without a blank (names, keys, codes) are not prose.
func searchGo(name, text string) ([]finding, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil || ast.IsGenerated(f) {
		return nil, err
	}
	var out []finding
	for _, group := range f.Comments {
		for _, c := range group.List {
			out = append(out, search(everywhere, name, set.Position(c.Pos()).Line, c.Text)...)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.BasicLit:
			if n.Kind == token.STRING && strings.ContainsAny(n.Value, " \n") {
				out = append(out, search(slices.Concat(everywhere, inStrings), name, set.Position(n.Pos()).Line, n.Value)...)
			}
		}
		return true
	})
	return out, nil
}

// searchFile returns the words in a file of the repository. Tests, generated files and files
// of other kinds have none.
func searchFile(name, text string) ([]finding, error) {
	switch base := path.Base(name); {
	case strings.HasSuffix(base, "_test.go"), strings.HasPrefix(name, "docs/changelog/"): // a changelog has old names
		return nil, nil
	case path.Ext(base) == ".go":
		return searchGo(name, text)
	case slices.Contains([]string{".md", ".yaml", ".yml", ".sh"}, path.Ext(base)), base == "Makefile", path.Dir(name) == ".ci":
		return search(everywhere, name, 1, text), nil
	}
	return nil, nil
}

// everyFile calls do with each file of the repository, by its path from the root.
func everyFile(t *testing.T, do func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "testdata"}, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		do(strings.TrimPrefix(filepath.ToSlash(name), root+"/"), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWords(t *testing.T) {
	files := 0
	everyFile(t, func(name, text string) {
		found, err := searchFile(name, text)
		if err != nil {
			t.Fatal(err)
		}
		files++
		for _, f := range found {
			t.Error(f)
		}
	})
	if files < 300 {
		t.Errorf("only %d files were searched", files)
	}
}

func TestWordsAreFound(t *testing.T) {
	const source = "// Package p is made anew.\npackage p\n\nimport _ \"is no path\"\n\n" +
		"type T struct {\n\tF int `json:\"is no tag\"`\n}\n\n" +
		"const (\n\tA = \"claim\"\n\tB = \"the claim is bound\"\n\tC = `one\ntwo is no number\n`\n)\n\n" +
		"// There is no other; it says so.\nvar D = \"the driver says: %s\"\n"
	found, err := searchFile("p/p.go", source)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s:%d %s", f.file, f.line, f.word))
	}
	want := []string{"p/p.go:1 anew", "p/p.go:12 claim", "p/p.go:14 is no number", "p/p.go:19 says"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	for name, want := range map[string]int{"README.md": 1, "a.yaml": 1, "Makefile": 1, ".ci/verify": 1, "p/p_test.go": 0, "a.txt": 0} {
		found, err := searchFile(name, "nobody does it\n")
		if err != nil || len(found) != want {
			t.Errorf("%s: %d found, want %d: %v", name, len(found), want, err)
		}
	}
}
