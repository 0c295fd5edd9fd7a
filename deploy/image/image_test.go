// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const platform = "linux/" + runtime.GOARCH

func written(t *testing.T, img Image) (string, v1.Image) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := Write(file, img); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(img.Name)
	if err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	return file, read
}

// entries lists the image's files as "mode owner name [-> link] [content]".
func entries(t *testing.T, img v1.Image) map[string]*tar.Header {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	stream, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	found := map[string]*tar.Header{}
	var names []string
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h
		names = append(names, strings.TrimSuffix(h.Name, "/"))
	}
	if !slices.IsSorted(names) {
		t.Errorf("entries are not sorted: %v", names)
	}
	return found
}

func TestAnImageHoldsItsFilesWithTheirOwnersModesAndFolders(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, img := written(t, Image{
		Name: "example.com/a:1", Platform: platform, Entrypoint: []string{"/usr/bin/program"},
		User: "999", Env: []string{"A=b"}, Files: []File{
			{Path: "/usr/bin/program", Source: source, Mode: 0o755},
			{Path: "/bin/link", Link: "/usr/bin/program"},
			{Path: "/data", Dir: true, Mode: 0o2775, UID: 999, GID: 998},
			{Path: "/etc/passwd", Content: []byte("first")},
			{Path: "/etc/passwd", Content: []byte("root:x:0:0")},
		},
	})
	found := entries(t, img)
	for _, want := range []struct {
		name     string
		kind     byte
		mode     int64
		uid, gid int
		size     int64
		link     string
	}{
		{"usr/", tar.TypeDir, 0o755, 0, 0, 0, ""},
		{"usr/bin/program", tar.TypeReg, 0o755, 0, 0, 10, ""},
		{"bin/link", tar.TypeSymlink, 0o777, 0, 0, 0, "/usr/bin/program"},
		{"data/", tar.TypeDir, 0o2775, 999, 998, 0, ""},
		{"etc/passwd", tar.TypeReg, 0o644, 0, 0, 10, ""},
	} {
		h := found[want.name]
		if h == nil {
			t.Errorf("%s is missing", want.name)
			continue
		}
		if h.Typeflag != want.kind || h.Mode != want.mode || h.Uid != want.uid || h.Gid != want.gid ||
			h.Size != want.size || h.Linkname != want.link {
			t.Errorf("%s is %+v", want.name, h)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS+"/"+config.Architecture != platform || config.Config.User != "999" ||
		!slices.Equal(config.Config.Entrypoint, []string{"/usr/bin/program"}) || !slices.Equal(config.Config.Env, []string{"A=b"}) {
		t.Errorf("config is %+v", config)
	}
}

func TestTheSameFilesGiveTheSameBytesWhateverTheirDatesAndOrder(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, f := range []string{a, b} {
		if err := os.WriteFile(f, []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := []File{{Path: "/a", Source: a}, {Path: "/b", Source: b}}
	img := Image{Name: "example.com/a:1", Platform: platform, Files: files}
	first, _ := written(t, img)
	if err := os.Chtimes(a, time.Now(), time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	img.Files = []File{files[1], files[0]}
	second, _ := written(t, img)
	one, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the archives differ")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	_, dated := written(t, img)
	if got := entries(t, dated)["a"].ModTime.Unix(); got != 86400 {
		t.Errorf("with SOURCE_DATE_EPOCH=86400 the file is dated %d", got)
	}
}

func TestAFailedWriteLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "image.tar")
	for what, img := range map[string]Image{
		"a missing source": {Name: "example.com/a:1", Platform: platform, Files: []File{{Path: "/a", Source: dir + "/none"}}},
		"a bad name":       {Name: "UPPER CASE", Platform: platform},
		"a bad platform":   {Name: "example.com/a:1", Platform: "a/b/c/d"},
	} {
		if err := Write(file, img); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAProgramForAnotherArchitectureIsRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	err = Write(filepath.Join(t.TempDir(), "i.tar"), Image{
		Name: "example.com/a:1", Platform: "linux/" + other,
		Files: []File{{Path: "/a", Source: self}},
	})
	if err == nil || !strings.Contains(err.Error(), "the image for "+other) {
		t.Errorf("error is %v", err)
	}
}

func TestADynamicProgramBringsItsLoaderAndLibraries(t *testing.T) {
	libraries, err := Libraries([]File{{Path: "/bin/sh", Source: "/bin/sh"}}, "/")
	if err != nil {
		t.Fatal(err)
	}
	var libc, loader bool
	for _, l := range libraries {
		libc = libc || strings.HasPrefix(filepath.Base(l.Path), "libc.")
		loader = loader || strings.HasPrefix(filepath.Base(l.Path), "ld-")
		if info, err := os.Stat(l.Source); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s comes from %s: %v", l.Path, l.Source, err)
		}
	}
	if !libc || !loader {
		t.Errorf("/bin/sh needs a loader and libc, found %v", libraries)
	}
}

func TestALibraryThatIsNowhereIsNamed(t *testing.T) {
	_, err := Libraries([]File{{Path: "/bin/sh", Source: "/bin/sh"}}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "/bin/sh: needs ") {
		t.Errorf("error is %v", err)
	}
}

func TestWhatIsNoProgramNeedsNothing(t *testing.T) {
	dir := t.TempDir()
	var files []File
	for name, content := range map[string]string{
		"empty": "", "script": "#!/bin/sh\n", "half": "\x7fELF",
		"junk": "\x7fELF" + strings.Repeat("\xff", 200),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Path: "/" + name, Source: path})
	}
	libraries, err := Libraries(files, "/")
	if err != nil || len(libraries) != 0 {
		t.Errorf("got %v, %v", libraries, err)
	}
}

func TestOnlyWhatIsIncludedAndNotExcludedIsTakenFromPackages(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{"usr/bin/tool", "usr/bin/other", "usr/share/tool/a", "usr/share/tool/man/b", "usr/share/toolbox"} {
		full := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	p := Packages{Names: []string{"tool"}, Include: []string{"/usr/bin/tool", "/usr/share/tool/"}, Exclude: []string{"/man/"}}
	files, err := p.choose(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Path)
	}
	if want := []string{"/usr/bin/tool", "/usr/share/tool/a"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.Include = append(p.Include, "/usr/bin/gone")
	if _, err := p.choose(root); err == nil || !strings.Contains(err.Error(), "/usr/bin/gone") {
		t.Errorf("a file that no package has: %v", err)
	}
}
