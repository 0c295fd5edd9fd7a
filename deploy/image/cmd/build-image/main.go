// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command build-image writes a container image to an archive, without a container engine: from static programs, from
// other files, and from Debian packages with the libraries that their programs need.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kubectl-motion/kubectl-motion/deploy/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type options struct {
	img      image.Image
	output   string
	binaries []string
	files    []string
	links    []string
	dirs     []string
	labels   map[string]string
	packages image.Packages
}

func command() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "build-image --name REPOSITORY:TAG -o FILE.tar",
		Short: "Write a container image to an archive, without a container engine",
		Example: `  # An image with one static program
  build-image --name example.com/agent:v1 --binary bin/motion-agent=/motion-agent --user 65532 -o agent.tar

  # A shell from a Debian package
  build-image --name example.com/shell:v1 --package bash --include /bin/bash --entrypoint /bin/bash -o shell.tar`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&o.img.Name, "name", "", "the image's name, as repository:tag")
	f.StringVarP(&o.output, "output", "o", "", "the archive to write")
	f.StringVar(&o.img.Platform, "platform", "linux/"+runtime.GOARCH, "os/architecture that the files are for")
	f.StringArrayVar(&o.binaries, "binary", nil, "a program, as FILE or FILE=PATH-IN-IMAGE (default /NAME), mode 0755")
	f.StringArrayVar(&o.files, "file", nil, "a file, as FILE=PATH-IN-IMAGE, mode 0644")
	f.StringArrayVar(&o.links, "link", nil, "a symbolic link, as PATH-IN-IMAGE=TARGET")
	f.StringArrayVar(&o.dirs, "dir", nil, "an empty folder, mode 0755")
	f.StringSliceVar(&o.img.Entrypoint, "entrypoint", nil, "what runs (default: the first --binary)")
	f.StringSliceVar(&o.img.Command, "cmd", nil, "its default arguments")
	f.StringArrayVar(&o.img.Env, "env", nil, "an environment variable, as NAME=VALUE")
	f.StringVar(&o.img.User, "user", "", "uid or uid:gid to run as (default root)")
	f.StringVar(&o.img.WorkingDir, "workdir", "", "folder to run in")
	f.StringToStringVar(&o.labels, "label", nil, "a label, as NAME=VALUE")
	f.StringSliceVar(&o.packages.Names, "package", nil, "a Debian package to take files from (needs apt-get)")
	f.StringSliceVar(&o.packages.Include, "include", nil, "path to take from the packages; a final / takes what is below")
	f.StringSliceVar(&o.packages.Exclude, "exclude", nil, "part of paths not to take from the packages")
	f.StringVar(&o.packages.Cache, "cache", filepath.Join(os.TempDir(), "build-image"), "folder for fetched packages")
	for _, name := range []string{"name", "output"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic("internal error: " + err.Error())
		}
	}
	return c
}

func (o *options) run(ctx context.Context) error {
	if err := o.collect(); err != nil {
		return err
	}
	o.img.Labels = o.labels
	if len(o.packages.Names) > 0 {
		files, err := o.packages.Files(ctx)
		if err != nil {
			return err
		}
		o.img.Files = append(files, o.img.Files...)
	}
	if len(o.img.Files) == 0 {
		return errors.New("nothing to put into the image: give --binary, --file or --package")
	}
	return image.Write(o.output, o.img)
}

// collect turns the flags into the image's own files.
func (o *options) collect() error {
	for _, b := range o.binaries {
		source, target, ok := strings.Cut(b, "=")
		if !ok {
			target = "/" + filepath.Base(source)
		}
		o.img.Files = append(o.img.Files, image.File{Path: target, Source: source, Mode: 0o755})
		if len(o.img.Entrypoint) == 0 {
			o.img.Entrypoint = []string{path.Clean("/" + target)}
		}
	}
	for _, f := range o.files {
		source, target, ok := strings.Cut(f, "=")
		if !ok {
			return fmt.Errorf("--file %s: want FILE=PATH-IN-IMAGE", f)
		}
		o.img.Files = append(o.img.Files, image.File{Path: target, Source: source})
	}
	for _, l := range o.links {
		name, target, ok := strings.Cut(l, "=")
		if !ok {
			return fmt.Errorf("--link %s: want PATH-IN-IMAGE=TARGET", l)
		}
		o.img.Files = append(o.img.Files, image.File{Path: name, Link: target})
	}
	for _, d := range o.dirs {
		o.img.Files = append(o.img.Files, image.File{Path: d, Dir: true})
	}
	return nil
}
