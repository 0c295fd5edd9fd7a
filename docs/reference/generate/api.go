// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// An object is a type of the API.
type object struct {
	name, doc string
	spec      ast.Expr
	values    []value // of an enum
	root      bool    // a kind
}

// A value is a constant of an enum.
type value struct{ text, doc string }

// apiReference returns the page of the types in a folder: first the kinds, then the types that
// their fields have.
func apiReference(folder string) (string, error) {
	objects, err := parse(folder)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %s -->\n\n# API reference: kubectl-motion.dev/v1alpha1\n\n"+
		"`kubectl explain` shows the same. Sizes are in bytes, times in RFC 3339.\n\n", generated)
	for _, o := range objects {
		if o.root {
			fmt.Fprintf(&b, "- [%s](#%s)\n", o.name, strings.ToLower(o.name))
		}
	}
	for _, kinds := range []bool{true, false} {
		for _, o := range objects {
			if o.root == kinds {
				write(&b, o, objects)
			}
		}
	}
	return b.String(), nil
}

// parse returns the types of a folder, without lists, in the order of files and declarations.
func parse(folder string) ([]object, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*_types.go"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no types in %s: %w", folder, err)
	}
	var objects []object
	values := map[string][]value{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if decl, ok := d.(*ast.GenDecl); ok {
				objects = append(objects, types(decl)...)
				enumValues(decl, values)
			}
		}
	}
	for i := range objects {
		objects[i].values = values[objects[i].name]
	}
	return objects, nil
}

func types(decl *ast.GenDecl) []object {
	var out []object
	for _, s := range decl.Specs {
		if t, ok := s.(*ast.TypeSpec); ok && !strings.HasSuffix(t.Name.Name, "List") {
			out = append(out, object{
				name: t.Name.Name, doc: prose(decl.Doc), spec: t.Type,
				root: strings.Contains(raw(decl.Doc), "+kubebuilder:object:root=true"),
			})
		}
	}
	return out
}

// enumValues adds the typed string constants of a declaration.
func enumValues(decl *ast.GenDecl, to map[string][]value) {
	if decl.Tok != token.CONST {
		return
	}
	for _, s := range decl.Specs {
		spec := s.(*ast.ValueSpec)
		name, ok := spec.Type.(*ast.Ident)
		if !ok || len(spec.Values) != 1 {
			continue
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			doc := strings.TrimLeft(strings.TrimPrefix(prose(spec.Doc), spec.Names[0].Name), ": ")
			to[name.Name] = append(to[name.Name], value{strings.Trim(lit.Value, `"`), doc})
		}
	}
}

func write(b *strings.Builder, o object, all []object) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", o.name, o.doc)
	if len(o.values) > 0 {
		b.WriteString("\n| value | description |\n|---|---|\n")
		for _, v := range o.values {
			fmt.Fprintf(b, "| `%s` | %s |\n", v.text, cell(v.doc))
		}
	}
	structure, ok := o.spec.(*ast.StructType)
	if !ok {
		return
	}
	b.WriteString("\n| field | type | description |\n|---|---|---|\n")
	for _, f := range structure.Fields.List {
		name, optional, ok := jsonName(f)
		if !ok {
			continue
		}
		doc := prose(f.Doc)
		kind := typeName(f.Type, all)
		if optional {
			kind += ", optional"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kind, cell(doc))
	}
}

// jsonName returns a field's name in JSON, and whether it is optional. Inlined fields have none.
func jsonName(f *ast.Field) (name string, optional, ok bool) {
	if f.Tag == nil {
		return "", false, false
	}
	name, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
	return name, strings.Contains(options, "omitempty"), name != ""
}

// typeName returns a type as the page shows it, with links to the types of the API.
func typeName(e ast.Expr, all []object) string {
	switch t := e.(type) {
	case *ast.StarExpr:
		return typeName(t.X, all)
	case *ast.ArrayType:
		return "list of " + typeName(t.Elt, all)
	case *ast.SelectorExpr:
		return t.Sel.Name
	case *ast.Ident:
		if slices.ContainsFunc(all, func(o object) bool { return o.name == t.Name }) {
			return fmt.Sprintf("[%s](#%s)", t.Name, strings.ToLower(t.Name))
		}
		return strings.TrimSuffix(strings.TrimSuffix(t.Name, "64"), "32")
	}
	return fmt.Sprintf("%T", e)
}

// prose returns a comment without its markers.
func prose(c *ast.CommentGroup) string {
	var out []string
	for line := range strings.SplitSeq(c.Text(), "\n") {
		if !strings.HasPrefix(line, "+") {
			out = append(out, line)
		}
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

// raw returns a comment with its markers.
func raw(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	var out []string
	for _, line := range c.List {
		out = append(out, line.Text)
	}
	return strings.Join(out, "\n")
}
