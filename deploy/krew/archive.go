// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package krew builds a krew release: one archive per platform, and the plugin's
// manifest with their checksums. It checks both against krew's rules, so that
// violations are found before a pull request against the index:
//
//   - krew unpacks regular files and directories only; a symlink, an absolute
//     name or one with ".." is an install error;
//   - the licence must be in the archive;
//   - the validator takes the plugin's name from the manifest's file name;
//   - versions carry a leading v, checksums are lower-case hexadecimal, no two
//     platforms may match the same machine.
//
// Archives are reproducible: the same binaries give the same bytes, so that
// anyone can check a published checksum by building the tag. They contain no
// time, owner or order of the machine that created them.
package krew

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// licenseName is the licence's name in every archive.
const licenseName = "LICENSE"

// packedAt is the time of every file: the earliest that both zip and tar can
// represent.
func packedAt() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// Platform is an operating system and architecture, named as in Go and krew.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// Binary is the plugin's file name on the platform.
func (p Platform) Binary() string {
	if p.OS == "windows" {
		return "kubectl-motion.exe"
	}
	return "kubectl-motion"
}

// Archive is the file name of the platform's archive of one version.
func (p Platform) Archive(version string) string {
	extension := ".tar.gz"
	if p.OS == "windows" {
		extension = ".zip"
	}
	return fmt.Sprintf("kubectl-motion_%s_%s_%s%s", version, p.OS, p.Arch, extension)
}

// packed is a file of an archive.
type packed struct {
	name string
	mode os.FileMode
	data []byte
}

// PackAll packs every binary below in, which has one directory OS_ARCH per
// platform, with the licence into an archive in out, and writes a checksum file
// in the format of sha256sum. It returns the sorted names of the archives.
func PackAll(version, license, in, out string) ([]string, error) {
	folders, err := os.ReadDir(in)
	if err != nil {
		return nil, fmt.Errorf("list the built platforms: %w", err)
	}
	var names []string
	for _, folder := range folders {
		goos, goarch, ok := strings.Cut(folder.Name(), "_")
		if !ok {
			return nil, fmt.Errorf("folder %s in %s is not named OS_ARCH", folder.Name(), in)
		}
		platform := Platform{OS: goos, Arch: goarch}
		name := platform.Archive(version)
		if err := packOne(platform, license, filepath.Join(in, folder.Name()), filepath.Join(out, name)); err != nil {
			return nil, fmt.Errorf("pack %s: %w", platform, err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("nothing was built in %s", in)
	}
	return names, nil
}

func packOne(platform Platform, license, folder, archive string) error {
	binary, err := os.ReadFile(filepath.Join(folder, platform.Binary()))
	if err != nil {
		return fmt.Errorf("read the binary: %w", err)
	}
	text, err := os.ReadFile(license)
	if err != nil {
		return fmt.Errorf("read the licence: %w", err)
	}
	files := []packed{{licenseName, 0o644, text}, {platform.Binary(), 0o755, binary}}
	write := writeTarGz
	if strings.HasSuffix(archive, ".zip") {
		write = writeZip
	}
	var buffer bytes.Buffer
	if err := write(&buffer, files); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if err := os.WriteFile(archive, buffer.Bytes(), 0o644); err != nil {
		return err
	}
	line := fmt.Sprintf("%s  %s\n", checksum(buffer.Bytes()), filepath.Base(archive))
	return os.WriteFile(archive+".sha256", []byte(line), 0o644)
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func writeTarGz(w io.Writer, files []packed) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, file := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     file.name,
			Mode:     int64(file.mode),
			Size:     int64(len(file.data)),
			ModTime:  packedAt(),
			Format:   tar.FormatUSTAR,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(file.data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func writeZip(w io.Writer, files []packed) error {
	archive := zip.NewWriter(w)
	for _, file := range files {
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: packedAt()}
		header.SetMode(file.mode)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(file.data); err != nil {
			return err
		}
	}
	return archive.Close()
}
