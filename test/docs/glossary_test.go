// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	cliroot "github.com/kubectl-motion/kubectl-motion/pkg/cli/root"
)

// camelCase is the form of conditions, reasons, codes and enum values.
var camelCase = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)

// vocabulary are the packages whose CamelCase string constants a user meets: conditions, reasons
// and values of the API, codes of a plan's findings, verdicts and their reasons.
var vocabulary = []string{"pkg/api/v1alpha1", "pkg/plan/codes.go", "pkg/inventory/verdict.go"}

// asInKubectl are flags that mean what they mean in kubectl.
var asInKubectl = []string{"all-namespaces", "dry-run", "force", "help", "timeout", "version", "yes"}

// TestGlossary requires of docs/glossary.md:
//   - each kind of the API, as `Kind`,
//   - each string constant of the vocabulary in CamelCase, as `Value`,
//   - each flag of a command, except kubectl's own and those of every client, as `--flag`,
//   - and that each of these that it names exists.
func TestGlossary(t *testing.T) {
	glossary := documents(t)["docs/glossary.md"]
	terms := constants(t)
	for _, kind := range kinds(t) {
		terms[kind] = "kind"
	}
	for _, flag := range flags() {
		terms["--"+flag] = "flag"
	}
	if len(terms) < 150 {
		t.Fatalf("only %d terms", len(terms))
	}
	for _, term := range slices.Sorted(maps.Keys(terms)) {
		if !strings.Contains(glossary, "`"+term+"`") {
			t.Errorf("docs/glossary.md has no entry for %s (%s)", term, terms[term])
		}
	}
	for _, term := range outdated(glossary, terms) {
		t.Errorf("docs/glossary.md has %s, which does not exist", term)
	}
}

// others are names in the glossary's first columns and flags that come from elsewhere: values of a
// copy's consistency, which package snapshot has, and flags of kubectl.
var others = []string{"CrashConsistent", "ApplicationConsistent", "--context", "--output", "--selector"}

var (
	firstCell = regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\|")
	flagName  = regexp.MustCompile("`(--[a-z-]+)`")
)

// outdated returns the names in the glossary that are not among the terms.
func outdated(glossary string, terms map[string]string) []string {
	var out []string
	for _, m := range slices.Concat(firstCell.FindAllStringSubmatch(glossary, -1), flagName.FindAllStringSubmatch(glossary, -1)) {
		if _, ok := terms[m[1]]; !ok && !slices.Contains(others, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

// goFiles parses a Go file or the files of a folder, without tests.
func goFiles(t *testing.T, name string) []*ast.File {
	t.Helper()
	names := []string{filepath.Join(root, name)}
	if path.Ext(name) == "" {
		names, _ = filepath.Glob(filepath.Join(root, name, "*.go"))
	}
	var out []*ast.File
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), n, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// constants returns the CamelCase string constants of the vocabulary, with their names.
func constants(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range vocabulary {
		for _, f := range goFiles(t, name) {
			for _, d := range f.Decls {
				if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.CONST {
					for _, spec := range decl.Specs {
						addConstants(out, spec.(*ast.ValueSpec))
					}
				}
			}
		}
	}
	return out
}

func addConstants(to map[string]string, spec *ast.ValueSpec) {
	for i, v := range spec.Values {
		if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if value, err := strconv.Unquote(lit.Value); err == nil && camelCase.MatchString(value) {
				to[value] = spec.Names[i].Name
			}
		}
	}
}

// kinds returns the kinds of the API.
func kinds(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "deploy/crds/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^    kind: (\w+)$`).FindSubmatch(text); m != nil {
			out = append(out, string(m[1]))
		}
	}
	return out
}

// flags returns the flags of all commands, without those of every client and of kubectl.
func flags() []string {
	client := pflag.NewFlagSet("client", pflag.ContinueOnError)
	genericclioptions.NewConfigFlags(true).AddFlags(client)
	var out []string
	add := func(f *pflag.Flag) {
		if client.Lookup(f.Name) == nil && !slices.Contains(asInKubectl, f.Name) {
			out = append(out, f.Name)
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(add)
		c.PersistentFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cliroot.New(genericiooptions.NewTestIOStreamsDiscard()))
	return out
}
