// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package installed packs the plugin that was built for this machine as a
// release packs it, unpacks it as krew does, and runs it from there. The tests
// in the folder above do the same for every platform with a tiny program; this
// one is about the real binary, whose build the end-to-end tests need anyway.
package installed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/deploy/krew"
)

func TestThePluginRunsFromItsKrewArchive(t *testing.T) {
	built := os.Getenv("MOTION")
	if built == "" {
		t.Fatal("MOTION must name the built plugin: run make e2e, or make e2e-tests when the lab is up")
	}
	here := krew.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	builds, dist, folder := t.TempDir(), t.TempDir(), t.TempDir()
	copyFile(t, built, filepath.Join(builds, here.OS+"_"+here.Arch, here.Binary()))

	const version = "v0.0.0-test"
	names, err := krew.PackAll(version, filepath.Join("..", "..", "..", "LICENSE"), builds, dist)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dist, names[0])
	if err := manifestOf(t, here, version, archive).CheckArchives(dist); err != nil {
		t.Error(err)
	}

	run(t, "tar", "-xzf", archive, "-C", folder)
	plugin := filepath.Join(folder, here.Binary())
	if got, want := run(t, plugin, "version"), run(t, built, "version"); got != want {
		t.Errorf("unpacked, the plugin says %q, as built %q", got, want)
	}
	run(t, plugin, "--help")
}

// manifestOf is a manifest with this machine's platform alone.
func manifestOf(t *testing.T, platform krew.Platform, version, archive string) *krew.Manifest {
	t.Helper()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	var entry krew.PlatformEntry
	entry.Selector.MatchLabels.OS, entry.Selector.MatchLabels.Arch = platform.OS, platform.Arch
	entry.URI = "https://example.com/" + filepath.Base(archive)
	entry.Sha256 = hex.EncodeToString(sum[:])
	entry.Bin = platform.Binary()
	var manifest krew.Manifest
	manifest.Spec.Version = version
	manifest.Spec.Platforms = []krew.PlatformEntry{entry}
	return &manifest
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a command that must succeed and returns what it wrote to stdout.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(name), args, err, &stderr)
	}
	return stdout.String()
}
