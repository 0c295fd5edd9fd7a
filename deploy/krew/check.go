// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package krew

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// CheckArchives compares every archive of the manifest, read from dist, with
// the manifest and with krew's limits. It returns all violations.
func (m *Manifest) CheckArchives(dist string) error {
	var problems []error
	for _, entry := range m.Spec.Platforms {
		if err := entry.check(filepath.Join(dist, path.Base(entry.URI))); err != nil {
			problems = append(problems, fmt.Errorf("archive of %s: %w", entry.Platform(), err))
		}
	}
	return errors.Join(problems...)
}

func (e PlatformEntry) check(archive string) error {
	data, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	if sum := checksum(data); sum != e.Sha256 {
		return fmt.Errorf("the manifest's sha256 is %s, the file's %s", e.Sha256, sum)
	}
	unpack := unpackTarGz
	if strings.HasSuffix(archive, ".zip") {
		unpack = unpackZip
	}
	files, err := unpack(data)
	if err != nil {
		return err
	}
	return checkContents(files, e)
}

// checkContents requires exactly the licence and the platform's executable.
func checkContents(files map[string]packed, e PlatformEntry) error {
	if text := files[licenseName].data; !bytes.Contains(text, []byte("Apache License")) {
		return errors.New("the licence's text must be in it as LICENSE")
	}
	binary, ok := files[e.Bin]
	if !ok {
		return fmt.Errorf("%s must be in it", e.Bin)
	}
	if binary.mode.Perm()&0o111 != 0o111 {
		return fmt.Errorf("%s must be executable, not %v", e.Bin, binary.mode)
	}
	if len(files) != 2 {
		return fmt.Errorf("it must hold LICENSE and %s and nothing else, not %d files", e.Bin, len(files))
	}
	return checkBinary(binary.data, e.Platform())
}

// checkBinary reads from the binary which platform it was built for: exchanged
// archives can be installed and do not run.
func checkBinary(data []byte, want Platform) error {
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read the binary's build information: %w", err)
	}
	var got Platform
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS":
			got.OS = setting.Value
		case "GOARCH":
			got.Arch = setting.Value
		}
	}
	if got != want {
		return fmt.Errorf("the binary was built for %s", got)
	}
	return nil
}

// unpackTarGz reads an archive as krew does: regular files and directories with
// relative names.
func unpackTarGz(data []byte) (map[string]packed, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read gzip: %w", err)
	}
	files := map[string]packed{}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read tar: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%q is not a regular file (type %q)", header.Name, header.Typeflag)
		}
		if err := addFile(files, header.Name, header.FileInfo().Mode(), archive); err != nil {
			return nil, err
		}
	}
}

func unpackZip(data []byte) (map[string]packed, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("read zip: %w", err)
	}
	files := map[string]packed{}
	for _, entry := range archive.File {
		if !entry.Mode().IsRegular() {
			return nil, fmt.Errorf("%q is not a regular file (mode %v)", entry.Name, entry.Mode())
		}
		content, err := entry.Open()
		if err != nil {
			return nil, fmt.Errorf("open %q: %w", entry.Name, err)
		}
		err = addFile(files, entry.Name, entry.Mode(), content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addFile adds one entry. Our archives have no directories, so a name with a
// separator is rejected, and with it every path outside the archive.
func addFile(files map[string]packed, name string, mode os.FileMode, content io.Reader) error {
	if name == "" || name == ".." || strings.ContainsAny(name, `/\:`) {
		return fmt.Errorf("the name %q is refused: files lie at the archive's top", name)
	}
	if _, twice := files[name]; twice {
		return fmt.Errorf("%q is there twice", name)
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return fmt.Errorf("read %q: %w", name, err)
	}
	files[name] = packed{name, mode, data}
	return nil
}
