// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Helm stores a release as a Secret (or a ConfigMap, if configured) whose key
// "release" is base64 of gzip of JSON; a Secret's data is base64 once more.
// https://helm.sh/docs/topics/advanced/#storage-backends

// maxRelease is the maximum size of an unpacked release. Helm's own records are much
// smaller, because the packed form must fit into an object of 1 MiB.
const maxRelease = 64 << 20

// helmRelease changes the namespace in a release record, so that helm upgrade works in
// the target namespace. Nothing changes if the namespace has the same name.
func (r *transformation) helmRelease() {
	if !r.renamed() || !r.isHelmRelease() {
		return
	}
	packed, _, _ := unstructured.NestedString(r.o, "data", "release")
	moved, err := moveRelease(packed, r.gk.Kind == "Secret", r.opts.Source.Namespace, r.opts.Target.Namespace)
	if err != nil {
		r.note(Change{Path: "data.release", Why: "the Helm release record cannot be decoded (" + err.Error() + "); helm will use the source namespace", Notable: true})
		return
	}
	if err := unstructured.SetNestedField(r.o, moved, "data", "release"); err == nil {
		r.note(Change{Path: "data.release", Why: "the Helm release record has the namespace", Notable: true})
	}
}

func (r *transformation) isHelmRelease() bool {
	t, _, _ := unstructured.NestedString(r.o, "type")
	return t == "helm.sh/release.v1" || r.gk.Kind == "ConfigMap" && r.u.GetLabels()["owner"] == "helm"
}

// moveRelease changes the namespace of a packed release and of its manifests, and
// leaves every other field as it is.
func moveRelease(packed string, secret bool, from, to string) (string, error) {
	raw := []byte(packed)
	var err error
	if secret {
		if raw, err = base64.StdEncoding.DecodeString(packed); err != nil {
			return "", err
		}
	}
	doc, err := unpack(raw)
	if err != nil {
		return "", err
	}
	var release map[string]json.RawMessage
	if err := json.Unmarshal(doc, &release); err != nil {
		return "", err
	}
	if string(release["namespace"]) != fmt.Sprintf("%q", from) {
		return packed, nil
	}
	release["namespace"] = json.RawMessage(fmt.Sprintf("%q", to))
	if err := moveManifests(release, from, to); err != nil {
		return "", err
	}
	if doc, err = json.Marshal(release); err != nil {
		return "", err
	}
	out := pack(doc)
	if secret {
		out = base64.StdEncoding.EncodeToString([]byte(out))
	}
	return out, nil
}

// moveManifests changes metadata.namespace in the manifests of a release and of its
// hooks: helm upgrade deletes objects of the stored manifest that a chart no longer
// renders, and looks for them in the namespace that is written there.
func moveManifests(release map[string]json.RawMessage, from, to string) error {
	change := func(o map[string]json.RawMessage) error {
		var text string
		if len(o["manifest"]) == 0 {
			return nil
		}
		if err := json.Unmarshal(o["manifest"], &text); err != nil {
			return err
		}
		changed := moveManifest(text, from, to)
		if changed == text {
			return nil
		}
		raw, err := json.Marshal(changed)
		o["manifest"] = raw
		return err
	}
	if err := change(release); err != nil {
		return err
	}
	var hooks []map[string]json.RawMessage
	if len(release["hooks"]) == 0 || string(release["hooks"]) == "null" {
		return nil
	}
	if err := json.Unmarshal(release["hooks"], &hooks); err != nil {
		return err
	}
	for _, h := range hooks {
		if err := change(h); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(hooks)
	release["hooks"] = raw
	return err
}

var (
	topKey       = regexp.MustCompile(`^[A-Za-z"']`)
	namespaceKey = regexp.MustCompile(`^([ \t]+)(namespace:[ \t]*)(["']?)([^"'\s#]+)(["']?)([ \t]*(?:#.*)?)$`)
)

// moveManifest changes metadata.namespace in the YAML documents of a manifest where it
// is from, and leaves all other text as it is.
func moveManifest(text, from, to string) string {
	lines := strings.Split(text, "\n")
	inMetadata, indent := false, ""
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "---"):
			inMetadata = false
		case topKey.MatchString(l):
			inMetadata, indent = strings.TrimRight(l, " \t\r") == "metadata:", ""
		case inMetadata:
			if trimmed := strings.TrimLeft(l, " \t"); indent == "" && trimmed != "" && trimmed[0] != '#' {
				indent = l[:len(l)-len(trimmed)]
			}
			m := namespaceKey.FindStringSubmatch(strings.TrimSuffix(l, "\r"))
			if m != nil && m[1] == indent && m[4] == from && m[3] == m[5] {
				lines[i] = m[1] + m[2] + m[3] + to + m[5] + m[6]
			}
		}
	}
	return strings.Join(lines, "\n")
}

func unpack(raw []byte) ([]byte, error) {
	zipped, err := base64.StdEncoding.DecodeString(string(raw))
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.LimitReader(z, maxRelease+1))
	if err == nil && len(doc) > maxRelease {
		err = fmt.Errorf("more than %d bytes", maxRelease)
	}
	return doc, err
}

func pack(doc []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	// Writes to a buffer do not fail.
	_, _ = z.Write(doc)
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
