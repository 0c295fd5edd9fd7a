// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package krew_test builds a release of a small program for every platform, with
// the repository's manifest, and checks it against krew's rules; then it breaks one
// thing at a time and expects an error.
package krew_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/deploy/krew"
)

const version = "v1.2.3"

func root() string { return filepath.Join("..", "..") }

// platforms reads from the Makefile what `make dist` builds.
func platforms(t *testing.T) []krew.Platform {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(root(), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^PLATFORMS \?= (.*)$`).FindSubmatch(makefile)
	if line == nil {
		t.Fatal("the Makefile names no PLATFORMS")
	}
	var all []krew.Platform
	for field := range strings.FieldsSeq(string(line[1])) {
		goos, goarch, _ := strings.Cut(field, "/")
		all = append(all, krew.Platform{OS: goos, Arch: goarch})
	}
	return all
}

// buildAll builds the small program for every platform in the layout of `make dist`, once per test binary.
func buildAll(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, platform := range platforms(t) {
		out := filepath.Join(folder, platform.OS+"_"+platform.Arch, platform.Binary())
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", out, "./testdata/plugin")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Arch)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build for %s: %v\n%s", platform, err, text)
		}
	}
	return folder
}

// release packs the builds and renders the repository's manifest beside them.
func release(t *testing.T, builds string) (dist, manifest string) {
	t.Helper()
	dist = t.TempDir()
	if _, err := krew.PackAll(version, filepath.Join(root(), "LICENSE"), builds, dist); err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile(filepath.Join(root(), "krew-manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := krew.Render(string(template), version, dist)
	if err != nil {
		t.Fatal(err)
	}
	manifest = filepath.Join(dist, "motion.yaml")
	if err := os.WriteFile(manifest, rendered, 0o644); err != nil {
		t.Fatal(err)
	}
	return dist, manifest
}

func TestAReleaseOfEveryPlatform(t *testing.T) {
	builds := buildAll(t)
	dist, file := release(t, builds)
	manifest, err := krew.Read(file)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("passes krew's rules", func(t *testing.T) {
		if err := manifest.CheckArchives(dist); err != nil {
			t.Error(err)
		}
	})

	t.Run("has an entry for each platform that is built and no other", func(t *testing.T) {
		want := map[krew.Platform]bool{}
		for _, platform := range platforms(t) {
			want[platform] = true
		}
		got := map[krew.Platform]bool{}
		for _, entry := range manifest.Spec.Platforms {
			got[entry.Platform()] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("the manifest has %v, make dist builds %v", got, want)
		}
	})

	t.Run("is the same byte for byte when packed again, later", func(t *testing.T) {
		later := time.Now().Add(time.Hour)
		for _, platform := range platforms(t) {
			if err := os.Chtimes(filepath.Join(builds, platform.OS+"_"+platform.Arch, platform.Binary()), later, later); err != nil {
				t.Fatal(err)
			}
		}
		again, _ := release(t, builds)
		for _, entry := range manifest.Spec.Platforms {
			name := filepath.Base(entry.URI)
			if !bytes.Equal(read(t, filepath.Join(dist, name)), read(t, filepath.Join(again, name))) {
				t.Errorf("%s differs", name)
			}
		}
	})

	t.Run("carries nobody's clock", func(t *testing.T) {
		entry := manifest.Spec.Platforms[0]
		unzipped, err := gzip.NewReader(bytes.NewReader(read(t, filepath.Join(dist, filepath.Base(entry.URI)))))
		if err != nil {
			t.Fatal(err)
		}
		header, err := tar.NewReader(unzipped).Next()
		if err != nil {
			t.Fatal(err)
		}
		if !unzipped.ModTime.IsZero() || header.ModTime.UTC().Year() != 1980 {
			t.Errorf("gzip says %v, tar says %v", unzipped.ModTime, header.ModTime)
		}
	})

	t.Run("has checksum files that sha256sum accepts", func(t *testing.T) {
		for _, entry := range manifest.Spec.Platforms {
			name := filepath.Base(entry.URI)
			if got, want := string(read(t, filepath.Join(dist, name+".sha256"))), entry.Sha256+"  "+name+"\n"; got != want {
				t.Errorf("checksum file of %s: %q, want %q", name, got, want)
			}
		}
	})

	t.Run("runs once unpacked", func(t *testing.T) { runUnpacked(t, dist, manifest) })

	t.Run("is refused under another file name", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "krew-manifest.yaml")
		write(t, other, read(t, file))
		_, err := krew.Read(other)
		wantError(t, err, `metadata.name must be the file's name "krew-manifest"`)
	})

	t.Run("is refused when two platforms' binaries are mixed up", func(t *testing.T) {
		swapped := t.TempDir()
		if err := os.CopyFS(swapped, os.DirFS(builds)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(swapped, "linux_arm64", "kubectl-motion"),
			read(t, filepath.Join(builds, "linux_amd64", "kubectl-motion")))
		dist, file := release(t, swapped)
		manifest, err := krew.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, manifest.CheckArchives(dist), "archive of linux/arm64: the binary was built for linux/amd64")
	})

	t.Run("is refused when an archive was replaced", func(t *testing.T) {
		write(t, filepath.Join(dist, filepath.Base(manifest.Spec.Platforms[0].URI)), []byte("something else"))
		wantError(t, manifest.CheckArchives(dist), "the manifest's sha256 is")
	})
}

// runUnpacked unpacks this machine's archive with the system's tar and starts
// the binary; where no release is made for the machine there is nothing to run.
func runUnpacked(t *testing.T, dist string, manifest *krew.Manifest) {
	t.Helper()
	here := krew.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if here.OS == "windows" || !slices.Contains(platforms(t), here) {
		t.Logf("no tar.gz is released for %s", here)
		return
	}
	folder := t.TempDir()
	archive := filepath.Join(dist, here.Archive(manifest.Spec.Version))
	if text, err := exec.CommandContext(t.Context(), "tar", "-xzf", archive, "-C", folder).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, text)
	}
	text, err := exec.CommandContext(t.Context(), filepath.Join(folder, here.Binary())).CombinedOutput()
	if err != nil || string(text) != "installed and running\n" {
		t.Errorf("the binary said %q: %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "LICENSE")); err != nil {
		t.Error(err)
	}
}

// goodManifest renders the repository's manifest for archives whose contents do
// not matter.
func goodManifest(t *testing.T) *krew.Manifest {
	t.Helper()
	dist := t.TempDir()
	for _, platform := range platforms(t) {
		write(t, filepath.Join(dist, platform.Archive(version)), []byte(platform.String()))
	}
	rendered, err := krew.Render(string(read(t, filepath.Join(root(), "krew-manifest.yaml"))), version, dist)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dist, "motion.yaml")
	write(t, file, rendered)
	manifest, err := krew.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

func TestEveryMistakeInAManifestIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*krew.Manifest)
		want  string
	}{
		{"another API version", func(m *krew.Manifest) { m.APIVersion = "v1" }, "apiVersion must be"},
		{"another kind", func(m *krew.Manifest) { m.Kind = "plugin" }, "kind must be Plugin"},
		{"a version without v", func(m *krew.Manifest) { m.Spec.Version = "1.2.3" }, "spec.version must be"},
		{"a version with two v", func(m *krew.Manifest) { m.Spec.Version = "vv1.2.3" }, "spec.version must be"},
		{"a version that is no semantic one", func(m *krew.Manifest) { m.Spec.Version = "v1.2" }, "spec.version must be"},
		{"no homepage", func(m *krew.Manifest) { m.Spec.Homepage = "" }, "spec.homepage must be set"},
		{"no short description", func(m *krew.Manifest) { m.Spec.ShortDescription = "" }, "spec.shortDescription must be"},
		{"a short description of two lines", func(m *krew.Manifest) { m.Spec.ShortDescription = "Two\nlines" }, "spec.shortDescription must be"},
		{"a long short description", func(m *krew.Manifest) { m.Spec.ShortDescription = strings.Repeat("x", 51) }, "spec.shortDescription must be"},
		{"no description", func(m *krew.Manifest) { m.Spec.Description = "" }, "spec.description must be set"},
		{"an unwrapped description", func(m *krew.Manifest) { m.Spec.Description = strings.Repeat("x", 81) }, "spec.description must be wrapped"},
		{"unwrapped caveats", func(m *krew.Manifest) { m.Spec.Caveats = strings.Repeat("x", 81) }, "spec.caveats must be wrapped"},
		{"no platforms", func(m *krew.Manifest) { m.Spec.Platforms = nil }, "spec.platforms must not be empty"},
		{"a platform twice", func(m *krew.Manifest) { m.Spec.Platforms[1] = m.Spec.Platforms[0] }, "must not select the same machine"},
		{"a platform unknown to krew", func(m *krew.Manifest) {
			m.Spec.Platforms[0].Selector.MatchLabels.Arch = "riscv64"
		}, "krew must support the platform"},
		{"an upper-case checksum", func(m *krew.Manifest) {
			m.Spec.Platforms[0].Sha256 = strings.Repeat("A", 64)
		}, "sha256 must be 64 lower-case"},
		{"a short checksum", func(m *krew.Manifest) { m.Spec.Platforms[0].Sha256 = "ab" }, "sha256 must be 64 lower-case"},
		{"no binary", func(m *krew.Manifest) { m.Spec.Platforms[0].Bin = "" }, "bin must be kubectl-motion"},
		{"plain http", func(m *krew.Manifest) {
			m.Spec.Platforms[0].URI = strings.Replace(m.Spec.Platforms[0].URI, "https", "http", 1)
		}, "uri must be an https address"},
		{"another version's archive", func(m *krew.Manifest) { m.Spec.Version = "v9.9.9" }, "uri must be an https address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			manifest := goodManifest(t)
			tc.spoil(manifest)
			wantError(t, manifest.Validate("motion"), tc.want)
		})
	}
}

func TestAnUnknownFieldIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "motion.yaml")
	write(t, file, []byte("kind: Plugin\nspec:\n  color: blue\n"))
	_, err := krew.Read(file)
	wantError(t, err, `unknown field "color"`)
}

func TestRenderingNamesTheArchiveThatIsNotThere(t *testing.T) {
	_, err := krew.Render(string(read(t, filepath.Join(root(), "krew-manifest.yaml"))), version, t.TempDir())
	wantError(t, err, "kubectl-motion_v1.2.3_linux_amd64.tar.gz")
}

func TestArchivesThatKrewCannotInstallAreRefused(t *testing.T) {
	license := tarEntry{name: "LICENSE", body: "Apache License"}
	binary := tarEntry{name: "kubectl-motion", body: "binary", mode: 0o755}
	for _, tc := range []struct {
		name    string
		entries []tarEntry
		want    string
	}{
		{"a symlink", []tarEntry{license, {name: "kubectl-motion", link: "LICENSE"}}, "is not a regular file"},
		{"a folder", []tarEntry{license, binary, {name: "docs/", folder: true}}, "is not a regular file"},
		{"a way out", []tarEntry{license, {name: "../kubectl-motion", body: "binary", mode: 0o755}}, "is refused"},
		{"an absolute name", []tarEntry{license, {name: "/kubectl-motion", body: "binary", mode: 0o755}}, "is refused"},
		{"no licence", []tarEntry{binary}, "must be in it as LICENSE"},
		{"no binary", []tarEntry{license}, "kubectl-motion must be in it"},
		{"a binary that is not executable", []tarEntry{license, {name: "kubectl-motion", body: "binary", mode: 0o644}}, "must be executable"},
		{"something more", []tarEntry{license, binary, {name: "README", body: "hello"}}, "nothing else"},
		{"the binary twice", []tarEntry{license, binary, binary}, "there twice"},
		{"a binary that is none", []tarEntry{license, binary}, "build information"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dist := t.TempDir()
			data := tarGz(t, tc.entries)
			sum := sha256.Sum256(data)
			manifest := goodManifest(t)
			manifest.Spec.Platforms = manifest.Spec.Platforms[:1]
			manifest.Spec.Platforms[0].Sha256 = hex.EncodeToString(sum[:])
			write(t, filepath.Join(dist, filepath.Base(manifest.Spec.Platforms[0].URI)), data)
			wantError(t, manifest.CheckArchives(dist), tc.want)
		})
	}
}

func TestAZipWithASymlinkIsRefused(t *testing.T) {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	header := &zip.FileHeader{Name: "kubectl-motion.exe"}
	header.SetMode(os.ModeSymlink | 0o777)
	if _, err := archive.CreateHeader(header); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := goodManifest(t)
	entries := manifest.Spec.Platforms
	manifest.Spec.Platforms = entries[len(entries)-1:]
	if got := manifest.Spec.Platforms[0].Platform().OS; got != "windows" {
		t.Fatalf("the last platform is %s", got)
	}
	sum := sha256.Sum256(buffer.Bytes())
	manifest.Spec.Platforms[0].Sha256 = hex.EncodeToString(sum[:])
	dist := t.TempDir()
	write(t, filepath.Join(dist, filepath.Base(manifest.Spec.Platforms[0].URI)), buffer.Bytes())
	wantError(t, manifest.CheckArchives(dist), "is not a regular file")
}

// tarEntry is one entry of a hand-made archive.
type tarEntry struct {
	name, body, link string
	mode             int64
	folder           bool
}

func tarGz(t *testing.T, entries []tarEntry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	for _, entry := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: entry.name, Mode: entry.mode, Size: int64(len(entry.body))}
		switch {
		case entry.link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, entry.link
		case entry.folder:
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(entry.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one that says %q", err, want)
	}
}
