// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Libraries returns the shared libraries, and the loader, that the dynamic programs among files need, looked for below
// each of the roots in turn. It reads the programs' own lists (DT_NEEDED, elf(5)) instead of running ldd, so that
// programs which are not installed, and nothing of what they would run, can be asked.
func Libraries(files []File, roots ...string) ([]File, error) {
	r := &resolver{roots: roots, found: map[string]File{}}
	for _, f := range files {
		if f.Source == "" {
			continue
		}
		if err := r.program(f.Source); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	all := make([]File, 0, len(r.found))
	for _, f := range r.found {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// machines are the architectures by their names in images.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

// fits rejects programs for another architecture than the image's, which would otherwise fail on the node.
func fits(files []File, architecture string) error {
	want, known := machines()[architecture]
	for _, file := range files {
		if !known || file.Source == "" {
			continue
		}
		f, err := elf.Open(file.Source)
		if err != nil {
			continue // no program, or not to be read: that is said where it is copied
		}
		machine := f.Machine
		if err := f.Close(); err != nil {
			return err
		}
		if machine != want {
			return fmt.Errorf("%s is for %s, the image for %s", file.Source, machine, architecture)
		}
	}
	return nil
}

type resolver struct {
	roots []string
	found map[string]File
}

// program follows what a file needs; a file that is not a dynamic program needs nothing.
func (r *resolver) program(source string) error {
	f, err := elf.Open(source)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, os.ErrInvalid) || isShort(source) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil // a static program has no dynamic section
	}
	if loader := interpreter(f); loader != "" {
		if err := r.add(loader, []string{loader}); err != nil {
			return err
		}
	}
	for _, name := range needed {
		if err := r.add(name, candidates(f, source, name)); err != nil {
			return err
		}
	}
	return nil
}

func isShort(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() < 64
}

func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			data := make([]byte, p.Filesz)
			if _, err := p.ReadAt(data, 0); err == nil {
				return strings.TrimRight(string(data), "\x00")
			}
		}
	}
	return ""
}

// candidates are the paths, in an image, where the loader would find a library: its run path, then Debian's folders.
func candidates(f *elf.File, source, name string) []string {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			continue
		}
		for _, value := range values {
			for dir := range strings.SplitSeq(value, ":") {
				dirs = append(dirs, strings.ReplaceAll(dir, "$ORIGIN", filepath.Dir(source)))
			}
		}
	}
	triplet := map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}[f.Machine]
	dirs = append(dirs, "/lib/"+triplet, "/usr/lib/"+triplet, "/lib", "/usr/lib", "/lib64")
	paths := make([]string, len(dirs))
	for i, dir := range dirs {
		paths[i] = filepath.Join(dir, name)
	}
	return paths
}

// add takes the first of the paths that one of the roots has, under that path, and follows what it needs itself.
func (r *resolver) add(name string, paths []string) error {
	if _, ok := r.found[name]; ok {
		return nil
	}
	for _, root := range r.roots {
		for _, path := range paths {
			source := filepath.Join(root, path)
			info, err := os.Stat(source)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			r.found[name] = File{Path: path, Source: source, Mode: 0o755}
			return r.program(source)
		}
	}
	return fmt.Errorf("needs %s, which is nowhere to be found", name)
}
