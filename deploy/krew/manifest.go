// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package krew

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	utilversion "k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

// Kind and API version of krew's manifests.
const (
	apiVersion = "krew.googlecontainertools.github.com/v1alpha2"
	kind       = "Plugin"
	extension  = ".yaml"
)

// Limits on text: the index's reviewers ask for a short description of at most
// 50 characters, krew's validator warns about longer lines of prose than 80.
const (
	maxShort = 50
	maxLine  = 80
)

// Manifest has the fields of a plugin's manifest that this project uses; unknown
// fields are errors. Krew's own type is sigs.k8s.io/krew/pkg/index.Plugin.
type Manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string          `json:"version"`
		Homepage         string          `json:"homepage"`
		ShortDescription string          `json:"shortDescription"`
		Description      string          `json:"description"`
		Caveats          string          `json:"caveats"`
		Platforms        []PlatformEntry `json:"platforms"`
	} `json:"spec"`
}

// PlatformEntry is the archive for the machines that its selector matches.
type PlatformEntry struct {
	Selector struct {
		MatchLabels struct {
			OS   string `json:"os"`
			Arch string `json:"arch"`
		} `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	Sha256 string `json:"sha256"`
	Bin    string `json:"bin"`
}

// Platform is the machine that the entry selects.
func (e PlatformEntry) Platform() Platform {
	return Platform{OS: e.Selector.MatchLabels.OS, Arch: e.Selector.MatchLabels.Arch}
}

// Render fills krew-release-bot's template for one version with the checksums
// of the archives in dist. It implements the two functions of the bot that
// krew-manifest.yaml uses, .TagName and addURIAndSha; the bot downloads what
// Render finds in dist under the address's last element.
func Render(templateText, version, dist string) ([]byte, error) {
	values := struct{ TagName string }{version}
	addURIAndSha := func(address, _ string) (string, error) {
		uri, err := execute("address", address, nil, values)
		if err != nil {
			return "", err
		}
		data, err := os.ReadFile(filepath.Join(dist, path.Base(string(uri))))
		if err != nil {
			return "", fmt.Errorf("read the archive of %s: %w", uri, err)
		}
		return fmt.Sprintf("uri: %s\n    sha256: %s", uri, checksum(data)), nil
	}
	return execute("krew-manifest.yaml", templateText, template.FuncMap{"addURIAndSha": addURIAndSha}, values)
}

func execute(name, text string, functions template.FuncMap, values any) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse the template: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render the template: %w", err)
	}
	return out.Bytes(), nil
}

// Read reads a rendered manifest and validates it under its file name.
func Read(file string) (*Manifest, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	var manifest Manifest
	if err := yaml.UnmarshalStrict(data, &manifest); err != nil {
		return nil, fmt.Errorf("parse the manifest %s: %w", file, err)
	}
	name, ok := strings.CutSuffix(filepath.Base(file), extension)
	if !ok {
		return nil, fmt.Errorf("the manifest %s must end in %s", file, extension)
	}
	if err := manifest.Validate(name); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", file, err)
	}
	return &manifest, nil
}

// Validate applies krew's rules to the manifest of the plugin called name. It
// returns all violations.
func (m *Manifest) Validate(name string) error {
	var problems []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	must(m.APIVersion == apiVersion, "apiVersion must be %s, not %q", apiVersion, m.APIVersion)
	must(m.Kind == kind, "kind must be %s, not %q", kind, m.Kind)
	must(regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(name), "the name %q must be lower case with dashes", name)
	must(m.Metadata.Name == name, "metadata.name must be the file's name %q, not %q", name, m.Metadata.Name)
	must(validVersion(m.Spec.Version), "spec.version must be a semantic version with a leading v, not %q", m.Spec.Version)
	must(m.Spec.Homepage != "", "spec.homepage must be set")
	short := m.Spec.ShortDescription
	must(short != "" && len(short) <= maxShort && !strings.ContainsAny(short, "\r\n"),
		"spec.shortDescription must be one line of 1 to %d characters, not %d", maxShort, len(short))
	must(m.Spec.Description != "", "spec.description must be set")
	must(longestLine(m.Spec.Description) <= maxLine, "spec.description must be wrapped at %d characters", maxLine)
	must(longestLine(m.Spec.Caveats) <= maxLine, "spec.caveats must be wrapped at %d characters", maxLine)
	must(len(m.Spec.Platforms) > 0, "spec.platforms must not be empty")
	problems = append(problems, m.validatePlatforms()...)
	return errors.Join(problems...)
}

func (m *Manifest) validatePlatforms() []error {
	var problems []error
	seen := map[Platform]bool{}
	for _, entry := range m.Spec.Platforms {
		platform := entry.Platform()
		must := func(ok bool, what string, value string) {
			if !ok {
				problems = append(problems, fmt.Errorf("platform %s: %s, not %q", platform, what, value))
			}
		}
		must(!seen[platform], "two entries must not select the same machine", platform.String())
		seen[platform] = true
		must(supported(platform), "krew must support the platform", platform.String())
		must(regexp.MustCompile(`^[a-f0-9]{64}$`).MatchString(entry.Sha256), "sha256 must be 64 lower-case hexadecimal digits", entry.Sha256)
		must(entry.Bin == platform.Binary(), "bin must be "+platform.Binary(), entry.Bin)
		archive := platform.Archive(m.Spec.Version)
		must(strings.HasPrefix(entry.URI, "https://") && path.Base(entry.URI) == archive,
			"uri must be an https address that ends in "+archive, entry.URI)
	}
	return problems
}

// supported reports whether krew's validator accepts the platform.
func supported(p Platform) bool {
	switch p.OS {
	case "linux":
		switch p.Arch {
		case "386", "amd64", "arm", "arm64", "ppc64le":
			return true
		}
	case "darwin", "windows":
		switch p.Arch {
		case "386", "amd64", "arm64":
			return true
		}
	}
	return false
}

func validVersion(version string) bool {
	rest, ok := strings.CutPrefix(version, "v")
	if !ok || strings.HasPrefix(rest, "v") {
		return false
	}
	_, err := utilversion.ParseSemantic(rest)
	return err == nil
}

func longestLine(text string) int {
	longest := 0
	for line := range strings.SplitSeq(text, "\n") {
		longest = max(longest, len(line))
	}
	return longest
}
