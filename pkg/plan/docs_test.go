// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// page is what users read about objects.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/objects.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// codes are the constants of the type Code in a file, as their own source has them.
func codes(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, code)
		return true
	})
	return out
}

func TestEveryReasonAndEveryCodeIsDocumented(t *testing.T) {
	text := page(t)
	words := codes(t, "codes.go")
	if len(words) < 30 {
		t.Fatalf("only %d codes were found: the test looks at the wrong place", len(words))
	}
	for _, r := range inventory.Reasons() {
		words = append(words, string(r))
	}
	for _, w := range words {
		if !strings.Contains(text, "`"+w+"`") {
			t.Errorf("docs/objects.md does not say what `%s` is", w)
		}
	}
}

// TestEveryTrapHasATestThatExists: the table of the traps is a promise, and a
// test that was renamed would break it without a sound.
func TestEveryTrapHasATestThatExists(t *testing.T) {
	functions := testFunctions(t, "../..")
	row := regexp.MustCompile(`(?m)^\| (\d+) \|.*\| ([^|]+) \|$`)
	name := regexp.MustCompile("`((?:Test|Trap)[A-Za-z0-9]+)`")
	rows := row.FindAllStringSubmatch(page(t), -1)
	if len(rows) != 36 {
		t.Errorf("%d traps are listed, want 36", len(rows))
	}
	for _, r := range rows {
		for _, n := range name.FindAllStringSubmatch(r[2], -1) {
			test := strings.Replace(n[1], "Trap", "TestTrap", 1)
			if !functions[test] {
				t.Errorf("trap %s names the test %s, which is nowhere", r[1], test)
			}
		}
		if strings.TrimSpace(r[2]) == "" {
			t.Errorf("trap %s has no test", r[1])
		}
	}
}

// testFunctions are the names of all tests below a folder.
func testFunctions(t *testing.T, root string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
	for _, folder := range []string{"pkg", "test"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
				out[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
