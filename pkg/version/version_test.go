// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestStampsWinOverTheGoCommandsRecord(t *testing.T) {
	build := &debug.BuildInfo{
		Main:     debug.Module{Version: "v9.9.9"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "feedbeef"}},
	}
	got := describe("v1.2.3", "abc1234", build)
	if got.Version != "v1.2.3" || got.Commit != "abc1234" {
		t.Errorf("got %s at %s, want v1.2.3 at abc1234", got.Version, got.Commit)
	}
}

func TestWithoutStampsTheGoCommandsRecordAnswers(t *testing.T) {
	for _, tc := range []struct {
		name            string
		build           debug.BuildInfo
		version, commit string
	}{
		{
			name:    "go install of a tag",
			build:   debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}},
			version: "v1.2.3",
		},
		{
			name:    "go build without version control",
			build:   debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			version: Unreleased,
		},
		{
			name:    "nothing recorded",
			version: Unreleased,
		},
		{
			name: "go build in a changed checkout",
			build: debug.BuildInfo{
				Main: debug.Module{Version: "(devel)"},
				Settings: []debug.BuildSetting{
					{Key: "vcs.modified", Value: "true"},
					{Key: "vcs.revision", Value: "feedbeef"},
				},
			},
			version: Unreleased,
			commit:  "feedbeef-dirty",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := describe("", "", &tc.build)
			if got.Version != tc.version || got.Commit != tc.commit {
				t.Errorf("got %q at %q, want %q at %q", got.Version, got.Commit, tc.version, tc.commit)
			}
		})
	}
}

func TestTheLineForPeopleLeavesOutAnUnknownCommit(t *testing.T) {
	info := Info{Version: "v1.2.3", Platform: "linux/amd64"}
	if got, want := info.String(), "v1.2.3 (linux/amd64)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	info.Commit = "abc1234"
	if got, want := info.String(), "v1.2.3 (abc1234, linux/amd64)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The variables' names are a contract with the Makefile that the compiler does
// not check: a renamed variable would silently turn every release into
// v0.0.0-dev.
func TestTheMakefilesLinkerFlagsReachTheBinary(t *testing.T) {
	makefile := filepath.Join("..", "..", "Makefile")
	if _, err := os.ReadFile(makefile); err != nil { // also tells the test cache what this result depends on
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "make", "-s", "-C", filepath.Dir(makefile),
		"print-ldflags", "VERSION=v4.5.6", "COMMIT=c0ffee").CombinedOutput()
	if err != nil {
		t.Fatalf("make print-ldflags: %v\n%s", err, out)
	}
	binary := filepath.Join(t.TempDir(), "printversion")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false",
		"-ldflags", strings.TrimSpace(string(out)), "-o", binary, "./testdata/printversion")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	got, err := exec.CommandContext(t.Context(), binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "v4.5.6 c0ffee\n"; string(got) != want {
		t.Errorf("the stamped binary says %q, want %q", got, want)
	}
}
