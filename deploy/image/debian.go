// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Packages is a set of Debian packages whose files go into an image. The packages are fetched by apt-get and unpacked
// into a folder of ours; nothing is installed, so no server of theirs is started on the machine that builds.
//
// An image needs what programs need and no more: shared libraries are found by following the programs' own lists, from
// the fetched packages or else from the building machine, and package scripts, documentation and dpkg's database stay
// out.
type Packages struct {
	Cache string   // folder for fetched and unpacked packages, reused by later builds
	Names []string // as apt-get knows them
	// Include says which files to take, as absolute paths; a path that ends with / stands for everything below it.
	Include []string
	// Exclude leaves out files whose path contains one of these.
	Exclude []string
}

// Files fetches the packages and returns their files, with the libraries that they need.
func (p Packages) Files(ctx context.Context) ([]File, error) {
	root, err := p.unpack(ctx)
	if err != nil {
		return nil, fmt.Errorf("packages %s: %w", strings.Join(p.Names, " "), err)
	}
	files, err := p.choose(root)
	if err != nil {
		return nil, err
	}
	libraries, err := Libraries(files, root, "/")
	if err != nil {
		return nil, err
	}
	return append(files, libraries...), nil
}

// unpack returns a folder with the contents of the packages and of those dependencies that the machine lacks.
func (p Packages) unpack(ctx context.Context) (string, error) {
	key := sha256.Sum256([]byte(strings.Join(p.Names, "\n")))
	dir := filepath.Join(p.Cache, hex.EncodeToString(key[:6]))
	root, archives := filepath.Join(dir, "root"), filepath.Join(dir, "archives")
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		return "", err
	}
	args := append([]string{
		"install", "-y", "-qq", "--download-only", "--reinstall", "--no-install-recommends",
		"-o", "Dir::Cache::archives=" + archives + "/", "-o", "APT::Sandbox::User=root",
	}, p.Names...)
	if err := run(ctx, "apt-get", args...); err != nil {
		// The package index may be missing, or name versions that the mirror has no more.
		if updated := run(ctx, "apt-get", "update", "-qq"); updated != nil {
			return "", errors.Join(err, updated)
		}
		if err := run(ctx, "apt-get", args...); err != nil {
			return "", err
		}
	}
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil || len(debs) == 0 {
		return "", errors.Join(errors.New("apt-get fetched nothing"), err)
	}
	next := root + ".next"
	if err := os.RemoveAll(next); err != nil {
		return "", err
	}
	for _, deb := range debs {
		if err := run(ctx, "dpkg-deb", "-x", deb, next); err != nil {
			return "", err
		}
	}
	return root, os.Rename(next, root)
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// choose lists the wanted files below root as files of the image.
func (p Packages) choose(root string) ([]File, error) {
	var files []File
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(source string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		path := strings.TrimPrefix(source, root)
		rule := p.rule(path)
		if rule == "" {
			return nil
		}
		found[rule] = true
		f, err := fileOf(source, path)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, rule := range p.Include {
		if !found[rule] {
			return nil, fmt.Errorf("packages %s have no %s", strings.Join(p.Names, " "), rule)
		}
	}
	return files, nil
}

// rule returns the entry of Include that takes the path, or "".
func (p Packages) rule(path string) string {
	if slices.ContainsFunc(p.Exclude, func(part string) bool { return strings.Contains(path, part) }) {
		return ""
	}
	for _, rule := range p.Include {
		if path == rule || (strings.HasSuffix(rule, "/") && strings.HasPrefix(path, rule)) {
			return rule
		}
	}
	return ""
}

// fileOf describes a file or symbolic link on disk as an entry of an image, owned by root.
func fileOf(source, path string) (File, error) {
	info, err := os.Lstat(source)
	if err != nil {
		return File{}, err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(source)
		return File{Path: path, Link: target}, err
	case info.Mode().IsRegular():
		return File{Path: path, Source: source, Mode: int64(info.Mode().Perm())}, nil
	}
	return File{}, fmt.Errorf("%s: neither a file nor a symbolic link", source)
}
