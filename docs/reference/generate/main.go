// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command generate writes the reference documentation: a Markdown page and a man page for each
// command of the plugin, and the API reference from the comments of the Go types. `make generate`
// runs it; `make verify` fails when a page is outdated.
//
//	generate -api pkg/api/v1alpha1 -out docs/reference
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/root"
	"github.com/kubectl-motion/kubectl-motion/plugins/volume/csi"
)

func main() {
	api := flag.String("api", "pkg/api/v1alpha1", "folder of the API's types")
	out := flag.String("out", "docs/reference", "folder to write to")
	flag.Parse()
	if err := run(*api, *out); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(api, out string) error {
	pages := commands(root.New(genericiooptions.NewTestIOStreamsDiscard(), csi.Plugin{}))
	text, err := apiReference(api)
	if err != nil {
		return err
	}
	pages["api.md"] = text
	for _, folder := range []string{"cli", "man"} {
		if err := os.RemoveAll(filepath.Join(out, folder)); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(out, folder), 0o755); err != nil {
			return err
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil { //nolint:gosec // documentation is readable by all
			return err
		}
	}
	return nil
}
