// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// entry is one element of the list "patches" of a kustomization.
type entry struct {
	Target struct {
		Group         string `json:"group"`
		Version       string `json:"version"`
		Kind          string `json:"kind"`
		Name          string `json:"name"`
		LabelSelector string `json:"labelSelector"`
	} `json:"target"`
	// Patch is text, or the patch itself.
	Patch json.RawMessage `json:"patch"`
}

// ParsePatches reads a patch file. Each YAML document is one of
//
//   - a list of {target: {group, kind, name, labelSelector}, patch: ...}, bare or
//     under "patches" as in a kustomization, where patch is a JSON patch or a
//     strategic merge patch;
//   - a part of an object with kind and metadata.name: a strategic merge patch
//     of that object.
//
// where names the file in messages.
func ParsePatches(where string, file []byte) ([]Patch, error) {
	var out []Patch
	for i, doc := range bytes.Split(file, []byte("\n---")) {
		doc = bytes.TrimPrefix(bytes.TrimSpace(doc), []byte("---"))
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		at := fmt.Sprintf("%s document %d", where, i+1)
		patches, err := parseDocument(at, doc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		out = append(out, patches...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no patch found", where)
	}
	return out, nil
}

func parseDocument(at string, doc []byte) ([]Patch, error) {
	raw, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return nil, err
	}
	if raw[0] == '[' {
		return parseEntries(at, raw)
	}
	var object struct {
		Kind     string          `json:"kind"`
		Patches  json.RawMessage `json:"patches"`
		Metadata struct{ Name string }
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	if object.Patches != nil {
		return parseEntries(at, object.Patches)
	}
	if object.Kind == "" || object.Metadata.Name == "" {
		return nil, errors.New("must be a list of patches with targets, or a part of an object with kind and metadata.name")
	}
	p := Patch{Kind: object.Kind, Name: object.Metadata.Name, Where: at}
	if err := p.read(raw); err != nil {
		return nil, err
	}
	return []Patch{p}, nil
}

func parseEntries(at string, raw []byte) ([]Patch, error) {
	var entries []entry
	if err := yaml.UnmarshalStrict(raw, &entries); err != nil {
		return nil, err
	}
	out := make([]Patch, 0, len(entries))
	for i, e := range entries {
		p := Patch{Group: e.Target.Group, Kind: e.Target.Kind, Name: e.Target.Name, Where: fmt.Sprintf("%s entry %d", at, i+1)}
		if e.Target.LabelSelector != "" {
			sel, err := labels.Parse(e.Target.LabelSelector)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", i+1, err)
			}
			p.Labels = sel
		}
		if p.Kind == "" && p.Name == "" && p.Labels == nil {
			return nil, fmt.Errorf("entry %d: the target must have a kind, name or labelSelector", i+1)
		}
		if err := p.read(e.Patch); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// read takes a patch: a list is a JSON patch, an object a merge patch, and a
// string the text of either.
func (p *Patch) read(raw json.RawMessage) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		var err error
		if raw, err = yaml.YAMLToJSON([]byte(text)); err != nil {
			return err
		}
	}
	if len(raw) > 0 && raw[0] == '[' {
		ops, err := jsonpatch.DecodePatch(raw)
		if err == nil && len(ops) == 0 {
			err = errors.New("the patch is empty")
		}
		p.JSON = ops
		return err
	}
	if err := json.Unmarshal(raw, &p.Merge); err != nil {
		return fmt.Errorf("the patch must be a list of operations or an object: %w", err)
	}
	if len(p.Merge) == 0 {
		return errors.New("the patch is empty")
	}
	return nil
}
