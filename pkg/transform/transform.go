// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package transform converts an object of the source into the object for the target.
//
// It is pure: it takes an object and options and returns a new object and the list of
// changes. It uses no network and no clock, and does not modify its input. Kinds with
// their own rules have one file each; all other kinds, custom resources included, get
// the rules of metadata.go only.
//
// The result has the fields that users set, not those that the source's API server or
// its controllers added: identities, allocated addresses, bindings and status are
// removed. Every removed field that a user may have set is in a Change.
package transform

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// LoadBalancers is how Services of type LoadBalancer are converted.
type LoadBalancers string

const (
	// LoadBalancersClusterIP changes the type to ClusterIP and removes the settings
	// of the external load balancer.
	LoadBalancersClusterIP LoadBalancers = "clusterip"
	// LoadBalancersKeep keeps the type and the annotations; the target's provider
	// assigns a new address.
	LoadBalancersKeep LoadBalancers = "keep"
)

// Options are the same for all objects of a run.
type Options struct {
	Source, Target ref.Namespace
	// Standby puts workloads on standby (see package workload).
	Standby bool
	// StorageClasses maps the source's classes to the target's; other classes keep
	// their name. The key "" is for PVCs without a class.
	StorageClasses map[string]string
	// Images maps prefixes of image names: registry, registry/path or a full name
	// with its tag. The longest match wins.
	Images map[string]string
	// LoadBalancers defaults to LoadBalancersClusterIP.
	LoadBalancers LoadBalancers
	// IPFamilies are those of the target's network (IPv4, IPv6), the first one
	// first; empty when unknown.
	IPFamilies []string
	// Services are the names of the source's Services, to find them in strings.
	Services map[string]bool
	// Originals are the original states of source workloads that a migration has
	// stopped, by their UID, in the format of package workload: they are restored on
	// the target.
	Originals map[types.UID][]byte
	// RuntimeClasses of the source, by name.
	RuntimeClasses map[string]RuntimeClass
	// Patches are the user's, applied last but before workloads are put on standby.
	Patches []Patch
}

// RuntimeClass is what admission adds to pods of a RuntimeClass.
type RuntimeClass struct {
	NodeSelector map[string]string
	Tolerations  []map[string]any
}

// Change is one difference of the object on the target. It never has values of
// Secrets.
type Change struct {
	// Path is the field, dotted, with list indices in brackets.
	Path string `json:"path"`
	// From and To are the old and the new value, shortened; To is empty when the
	// field was removed.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Why is one line for people.
	Why string `json:"why"`
	// Notable changes are in the text of the plan.
	Notable bool `json:"notable,omitempty"`
}

// Object returns obj as it must be written to the target, and the changes. An error
// names the object: its shape is invalid for its API, or a patch cannot be applied.
func Object(obj *unstructured.Unstructured, opts Options) (*unstructured.Unstructured, []Change, error) {
	r := &transformation{u: obj.DeepCopy(), uid: obj.GetUID(), opts: opts}
	r.gk = r.u.GroupVersionKind().GroupKind()
	r.o = r.u.Object
	r.kind()
	r.podTemplate()
	r.defaults()
	r.metadata()
	r.hints()
	if err := r.patch(); err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	if path := inventory.PodSpecPath(r.u); path != nil {
		if err := r.duplicates(strings.Join(path, "."), nested(r.o, path...)); err != nil {
			return nil, nil, fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	if err := r.standby(); err != nil {
		return nil, nil, err
	}
	return r.u, r.changes, nil
}

// transformation is the conversion of one object.
type transformation struct {
	u       *unstructured.Unstructured
	o       map[string]any
	gk      schema.GroupKind
	uid     types.UID
	opts    Options
	changes []Change
}

// kind runs the rules of the object's kind.
func (r *transformation) kind() {
	switch r.gk {
	case schema.GroupKind{Kind: "Service"}:
		r.service()
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		r.claim()
	case schema.GroupKind{Group: "route.openshift.io", Kind: "Route"}:
		r.route()
	case schema.GroupKind{Kind: "Pod"}:
		r.pod()
	case schema.GroupKind{Kind: "Secret"}, schema.GroupKind{Kind: "ConfigMap"}:
		r.helmRelease()
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		r.statefulSet()
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		r.job()
	case schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:
		r.roleBinding()
	case schema.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:
		r.networkPolicy()
	case schema.GroupKind{Kind: "Endpoints"}, schema.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:
		r.endpoints()
	}
}

// standby comes last: the original state is that of the target, with the user's
// patches.
func (r *transformation) standby() error {
	if was, found := r.opts.Originals[r.uid]; found {
		if err := workload.Activate(r.u, was); err != nil {
			return err
		}
	}
	if !r.opts.Standby {
		return nil
	}
	was, changed, err := workload.Suspend(r.u)
	if err != nil {
		return err
	}
	if changed {
		r.note(Change{Path: "spec", To: "on standby", From: string(was), Why: "workloads run on the target after the activation"})
	}
	return nil
}

func (r *transformation) note(c Change) { r.changes = append(r.changes, c) }

// drop removes a field if it is set, and records a Change.
func (r *transformation) drop(why string, notable bool, path ...string) {
	drop(r, r.o, "", why, notable, path...)
}

// drop removes a field of the object o at prefix.
func drop(r *transformation, o map[string]any, prefix, why string, notable bool, path ...string) {
	v, found, err := unstructured.NestedFieldNoCopy(o, path...)
	if !found || err != nil {
		return
	}
	unstructured.RemoveNestedField(o, path...)
	r.note(Change{Path: prefix + strings.Join(path, "."), From: short(v), Why: why, Notable: notable})
}

// set changes the value of a field, and records a Change if it differs.
func (r *transformation) set(why string, notable bool, value string, path ...string) {
	old, _, _ := unstructured.NestedString(r.o, path...)
	if old == value {
		return
	}
	if err := unstructured.SetNestedField(r.o, value, path...); err != nil {
		return
	}
	r.note(Change{Path: strings.Join(path, "."), From: old, To: value, Why: why, Notable: notable})
}

// maxShort is the length of a value in a Change, in bytes.
const maxShort = 120

func short(v any) string {
	var s string
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		s = v
	case []any:
		if len(v) > 0 {
			if _, nested := v[0].(map[string]any); nested {
				return fmt.Sprintf("%d entries", len(v))
			}
		}
		s = fmt.Sprint(v)
	case map[string]any:
		return fmt.Sprintf("%d fields", len(v))
	default:
		s = fmt.Sprint(v)
	}
	if len(s) > maxShort {
		return strings.ToValidUTF8(s[:maxShort], "") + "..."
	}
	return s
}

// elements returns the elements of a list of objects, without copying them.
func elements(o map[string]any, path ...string) []map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	list, _ := v.([]any)
	out := make([]map[string]any, 0, len(list))
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
