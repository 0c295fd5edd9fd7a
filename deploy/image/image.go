// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package image writes container images without a container engine: it is given the files and writes an archive that
// `docker load`, `ctr images import` and registries' own tools read.
//
// An image has one layer. The same input gives the same bytes: entries are sorted, owned as told, and dated with
// SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/) or else 1970.
package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is everything that goes into an image.
type Image struct {
	Name       string // repository:tag
	Platform   string // os/architecture, such as linux/amd64
	Entrypoint []string
	Command    []string
	Env        []string
	User       string // uid or uid:gid
	WorkingDir string
	Labels     map[string]string
	Files      []File
}

// File is one entry of the image. Exactly one of Source, Content, Link and Dir says what it is. Folders that are not
// listed come into being with mode 0755, owned by root.
type File struct {
	Path    string // absolute, in the image
	Source  string // copied from this file
	Content []byte
	Link    string // a symbolic link to this
	Dir     bool
	Mode    int64 // permission bits; 0 means 0644, or 0755 for folders
	UID     int
	GID     int
}

// Write writes the image to an archive. On an error no file is left behind.
func Write(file string, img Image) error {
	built, err := build(img)
	if err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	tag, err := name.NewTag(img.Name)
	if err != nil {
		return err
	}
	next := file + ".next"
	if err := tarball.WriteToFile(next, tag, built); err != nil {
		return errors.Join(fmt.Errorf("image %s: %w", img.Name, err), os.Remove(next))
	}
	return os.Rename(next, file)
}

func build(img Image) (v1.Image, error) {
	date, err := sourceDate()
	if err != nil {
		return nil, err
	}
	platform, err := v1.ParsePlatform(img.Platform)
	if err != nil {
		return nil, err
	}
	if err := fits(img.Files, platform.Architecture); err != nil {
		return nil, err
	}
	data, err := layer(img.Files, date)
	if err != nil {
		return nil, err
	}
	built, err := mutate.AppendLayers(empty.Image, static.NewLayer(data, types.DockerUncompressedLayer))
	if err != nil {
		return nil, err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: date}
	config.Config = v1.Config{
		Entrypoint: img.Entrypoint, Cmd: img.Command, Env: img.Env, User: img.User,
		WorkingDir: img.WorkingDir, Labels: img.Labels,
	}
	return mutate.ConfigFile(built, config)
}

func sourceDate() (time.Time, error) {
	value := os.Getenv("SOURCE_DATE_EPOCH")
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// layer renders the files, with their folders, as an uncompressed tar stream.
func layer(files []File, date time.Time) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range withFolders(files) {
		if err := add(w, f, date); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// withFolders adds the folders that files need and sorts everything by path. A path listed twice keeps its last entry.
func withFolders(files []File) []File {
	byPath := map[string]File{}
	for _, f := range files {
		f.Path = path.Clean("/" + f.Path)
		byPath[f.Path] = f
	}
	for p := range byPath {
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = File{Path: dir, Dir: true}
			}
		}
	}
	delete(byPath, "/")
	all := make([]File, 0, len(byPath))
	for _, f := range byPath {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func add(w *tar.Writer, f File, date time.Time) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(f.Path, "/"), Mode: f.Mode, Uid: f.UID, Gid: f.GID, ModTime: date,
		Typeflag: tar.TypeReg, Format: tar.FormatPAX,
	}
	content := io.Reader(bytes.NewReader(f.Content))
	header.Size = int64(len(f.Content))
	switch {
	case f.Dir:
		header.Typeflag = tar.TypeDir
		header.Name += "/"
	case f.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Source != "":
		source, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		header.Size, content = info.Size(), source
	}
	if header.Mode == 0 {
		header.Mode = 0o644
		if f.Dir {
			header.Mode = 0o755
		}
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}
