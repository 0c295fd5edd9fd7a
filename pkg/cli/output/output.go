// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package output prints results on stdout in the format that was asked for.
package output

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// TargetFlags hold -o.
type Flags struct {
	format string
	table  bool
}

// Add registers -o.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.format, "output", "o", "", "Output format: json or yaml; default: text for people")
}

// AddTable registers -o for a verb that prints a table.
func (f *Flags) AddTable(fs *pflag.FlagSet) {
	f.table = true
	fs.StringVarP(&f.format, "output", "o", "", "Output format: json, yaml, name or wide; default: a table")
}

// Wide says whether a table has all its columns.
func (f *Flags) Wide() bool { return f.format == "wide" }

// Names says whether only names are wanted.
func (f *Flags) Names() bool { return f.format == "name" }

// Machine says whether the output is for a program.
func (f *Flags) Machine() bool { return f.format == "json" || f.format == "yaml" }

// Check refuses unknown formats.
func (f *Flags) Check() error {
	if f.table && (f.Wide() || f.Names()) {
		return nil
	}
	switch f.format {
	case "", "json", "yaml":
		return nil
	}
	if f.table {
		return &exit.UsageError{Err: fmt.Errorf("-o must be json, yaml, name or wide, not %q", f.format)}
	}
	return &exit.UsageError{Err: fmt.Errorf("-o must be json or yaml, not %q", f.format)}
}

// Print writes v in the machine's format, or text, escaped, for people.
func (f *Flags) Print(w io.Writer, v any, text string) error {
	var raw []byte
	var err error
	switch f.format {
	case "json":
		raw, err = json.MarshalIndent(v, "", "  ")
		raw = append(withoutControls(raw), '\n')
	case "yaml":
		return writeYAML(w, v)
	default:
		raw = []byte(progress.Escape(text))
	}
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}
