// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package catalog is the images that a lab offers: what the clusters themselves need, and the applications that tests
// move about. They are made on this machine from our own programs and from Debian's packages, and kept as archives.
package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/deploy/image"
)

// Catalog makes images from the programs in one folder and keeps them in another.
type Catalog struct {
	Programs string
	Cache    string
}

// recipe is how to make an image.
type recipe struct {
	image.Image
	programs []string // files whose change rebuilds the image
	packages *image.Packages
}

// Build makes every image that is missing or made from something else than today's, and returns all archives. Those
// that a cluster needs to start come first.
func (c Catalog) Build(ctx context.Context, sandbox, dns string, say io.Writer) ([]string, error) {
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return nil, err
	}
	var archives []string
	for _, r := range []recipe{
		c.program(sandbox, "pause"), c.program(dns, "coredns"), c.program("lab/web:1", "web"),
		c.tools(), c.postgres(),
	} {
		file, err := c.build(ctx, r, say)
		if err != nil {
			return nil, err
		}
		archives = append(archives, file)
	}
	return archives, nil
}

func (c Catalog) build(ctx context.Context, r recipe, say io.Writer) (string, error) {
	key, err := r.key()
	if err != nil {
		return "", err
	}
	stem := filepath.Join(c.Cache, strings.NewReplacer("/", "_", ":", "_").Replace(r.Name))
	file := stem + "." + key + ".tar"
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	fmt.Fprintf(say, "building image %s\n", r.Name)
	if r.packages != nil {
		files, err := r.packages.Files(ctx)
		if err != nil {
			return "", err
		}
		r.Files = append(files, r.Files...) // ours last: they win
	}
	old, err := filepath.Glob(stem + ".*.tar")
	if err != nil {
		return "", err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return "", err
		}
	}
	return file, image.Write(file, r.Image)
}

// key names what an image is made from: the recipe, and the programs by size and date.
func (r recipe) key() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%+v", r.Image)
	if r.packages != nil {
		fmt.Fprintf(h, "%+v", *r.packages)
	}
	for _, program := range r.programs {
		info, err := os.Stat(program)
		if err != nil {
			return "", fmt.Errorf("image %s: %w", r.Name, err)
		}
		fmt.Fprint(h, info.Size(), info.ModTime())
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

func platform() string { return "linux/" + runtime.GOARCH }

// program is an image with one static program of ours, run as any user.
func (c Catalog) program(name, program string) recipe {
	path := filepath.Join(c.Programs, program)
	return recipe{programs: []string{path}, Image: image.Image{
		Name: name, Platform: platform(), Entrypoint: []string{"/" + program}, User: "65532:65532",
		Files: []image.File{{Path: "/" + program, Source: path, Mode: 0o755}},
	}}
}
