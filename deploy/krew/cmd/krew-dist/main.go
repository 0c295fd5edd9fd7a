// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command krew-dist packs, renders and checks a krew release; `make dist` and
// `make krew` call it.
//
//	krew-dist pack   -version V -license FILE -in BUILDS -out DIST
//	krew-dist render -version V -template FILE -dist DIST -out MANIFEST
//	krew-dist check  -dist DIST MANIFEST
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kubectl-motion/kubectl-motion/deploy/krew"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "krew-dist: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "pack":
			return pack(args[1:], out)
		case "render":
			return render(args[1:], out)
		case "check":
			return check(args[1:], out)
		}
	}
	return errors.New("the first argument must be pack, render or check")
}

func pack(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	version := flags.String("version", "", "version with a leading v")
	license := flags.String("license", "LICENSE", "licence `file`")
	in := flags.String("in", "", "`folder` with one OS_ARCH folder per platform")
	dist := flags.String("out", "", "`folder` for the archives")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names, err := krew.PackAll(*version, *license, *in, *dist)
	for _, name := range names {
		fmt.Fprintln(out, filepath.Join(*dist, name))
	}
	return err
}

func render(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	version := flags.String("version", "", "version with a leading v")
	template := flags.String("template", "krew-manifest.yaml", "template `file`")
	dist := flags.String("dist", "dist", "`folder` of the archives")
	manifest := flags.String("out", "", "`file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*template)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	rendered, err := krew.Render(string(text), *version, *dist)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*manifest), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(*manifest, rendered, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(out, *manifest)
	return nil
}

func check(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	dist := flags.String("dist", "dist", "`folder` of the archives")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("check needs one MANIFEST")
	}
	manifest, err := krew.Read(flags.Arg(0))
	if err != nil {
		return err
	}
	if err := manifest.CheckArchives(*dist); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: plugin %s %s, %d platforms, archives and checksums agree\n",
		flags.Arg(0), manifest.Metadata.Name, manifest.Spec.Version, len(manifest.Spec.Platforms))
	return nil
}
