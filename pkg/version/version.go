// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package version says which build of kubectl-motion is running.
//
// A build by the Makefile sets the version and the commit through the
// linker. A build by the go command alone, `go install
// github.com/kubectl-motion/kubectl-motion/cmd/kubectl-motion@v1.2.3` for
// instance, has none: then the go command's own record of the main module
// answers. What neither knows is reported as Unreleased, never invented: plugin
// and agent compare versions, and two unknown builds must not look like one
// release.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Unreleased is the version of a build that belongs to no tag.
const Unreleased = "v0.0.0-dev"

// The linker sets these (`-ldflags "-X .../pkg/version.stampedVersion=..."`);
// nothing else writes them.
var (
	stampedVersion string
	stampedCommit  string
)

// Info describes one build. The field names are the keys of
// `kubectl motion version -o json`.
type Info struct {
	// Version is a semantic version with a leading v, as git tags carry it.
	Version string `json:"version"`
	// Commit is the revision the build was made from, empty when unknown; it
	// ends in "-dirty" when the checkout had changes.
	Commit string `json:"commit,omitempty"`
	// GoVersion is the toolchain's version, go1.26.8 for instance.
	GoVersion string `json:"goVersion"`
	// Platform is GOOS/GOARCH.
	Platform string `json:"platform"`
}

// Get returns the facts about the running binary.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return describe(stampedVersion, stampedCommit, build)
}

// String is the one line that people read: version, commit, platform.
func (i Info) String() string {
	if i.Commit == "" {
		return fmt.Sprintf("%s (%s)", i.Version, i.Platform)
	}
	return fmt.Sprintf("%s (%s, %s)", i.Version, i.Commit, i.Platform)
}

// describe prefers these to the go command's record.
func describe(version, commit string, build *debug.BuildInfo) Info {
	if version == "" {
		version = moduleVersion(build)
	}
	if commit == "" {
		commit = revision(build)
	}
	return Info{
		Version:   version,
		Commit:    commit,
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// moduleVersion reads the main module's version; "(devel)" is what the go
// command writes when it knows none.
func moduleVersion(build *debug.BuildInfo) string {
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return Unreleased
}

// revision reads the commit that `go build` recorded in a checkout.
func revision(build *debug.BuildInfo) string {
	var commit string
	var dirty bool
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			commit = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if commit != "" && dirty {
		commit += "-dirty"
	}
	return commit
}
