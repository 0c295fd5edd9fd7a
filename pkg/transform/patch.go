// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// Patch changes the objects that it selects. Exactly one of JSON and Merge is
// set.
type Patch struct {
	// Group, Kind and Name select; an empty field selects all, and Name may be a
	// pattern of package path. Labels may be nil.
	Group  string
	Kind   string
	Name   string
	Labels labels.Selector
	// JSON is a JSON patch (RFC 6902).
	JSON jsonpatch.Patch
	// Merge is a strategic merge patch; for custom resources, a JSON merge patch
	// (RFC 7386).
	Merge map[string]any
	// Where is the file and position of the patch, for messages.
	Where string
}

// Match is true when p selects the object as it will be on the target.
func (p Patch) Match(u *unstructured.Unstructured) bool {
	gk := u.GroupVersionKind().GroupKind()
	if p.Group != "" && p.Group != gk.Group || p.Kind != "" && p.Kind != gk.Kind {
		return false
	}
	if ok, err := path.Match(p.Name, u.GetName()); p.Name != "" && (err != nil || !ok) {
		return false
	}
	return p.Labels == nil || p.Labels.Matches(labels.Set(u.GetLabels()))
}

// errIdentity is the error of a patch that changes the identity of the object.
var errIdentity = errors.New("a patch must not change apiVersion, kind, name or namespace")

// patch applies the user's patches in their order.
func (r *transformation) patch() error {
	for _, p := range r.opts.Patches {
		if !p.Match(r.u) {
			continue
		}
		was := r.u
		now, err := p.apply(was)
		if err != nil {
			return fmt.Errorf("patch %s: %w", p.Where, err)
		}
		if now.GetName() != was.GetName() || now.GetNamespace() != was.GetNamespace() || now.GroupVersionKind() != was.GroupVersionKind() {
			return fmt.Errorf("patch %s: %w", p.Where, errIdentity)
		}
		r.u, r.o = now, now.Object
		r.note(Change{Path: "*", To: p.Where, Why: "--patch", Notable: true})
	}
	return nil
}

func (p Patch) apply(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	before, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	after, err := p.bytes(u, before)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	return out, out.UnmarshalJSON(after)
}

func (p Patch) bytes(u *unstructured.Unstructured, before []byte) ([]byte, error) {
	if p.JSON != nil {
		return p.JSON.Apply(before)
	}
	merge, err := json.Marshal(p.Merge)
	if err != nil {
		return nil, err
	}
	typed, err := builtIns().New(u.GroupVersionKind())
	if runtime.IsNotRegisteredError(err) {
		return jsonpatch.MergePatch(before, merge)
	}
	if err != nil {
		return nil, err
	}
	return strategicpatch.StrategicMergePatch(before, merge, typed)
}
