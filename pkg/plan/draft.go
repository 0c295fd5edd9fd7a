// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// Draft is a plan before the dry-runs on the target.
type Draft struct {
	request Request
	inv     *inventory.Inventory
	facts   Facts
	options transform.Options
	items   []Item
	volumes []Volume
	orphans []Orphan
	// rollbacks are the problems of pods that a rollback creates, by workload.
	rollbacks map[types.UID]*apply.Problem
	blockers  []Finding
	warnings  []Finding
}

var kindClaim = schema.GroupKind{Kind: "PersistentVolumeClaim"}

// NewDraft transforms every migrated object. It is pure.
func NewDraft(inv *inventory.Inventory, facts Facts, req Request) (*Draft, error) {
	d := &Draft{request: req, inv: inv, facts: facts}
	d.options = transform.Options{
		Source:         ref.Namespace{ClusterID: inv.ClusterID, Namespace: inv.Namespace},
		Target:         ref.Namespace{ClusterID: facts.ClusterID, Namespace: req.TargetNamespace},
		Standby:        true,
		StorageClasses: map[string]string{},
		Images:         req.Images, LoadBalancers: req.LoadBalancers, Patches: req.Patches,
		Originals: req.Originals, IPFamilies: facts.IPFamilies, Services: map[string]bool{},
		RuntimeClasses: map[string]transform.RuntimeClass{},
	}
	for _, c := range facts.SourceRuntimeClasses.List {
		d.options.RuntimeClasses[c.Name] = c.RuntimeClass
	}
	for _, o := range inv.Objects {
		if o.Ref.GroupKind() == (schema.GroupKind{Kind: "Service"}) {
			d.options.Services[o.Ref.Name] = true
		}
	}
	if facts.NamespaceMissing {
		d.block(Finding{
			Code:    CodeNamespaceMissing,
			Message: fmt.Sprintf("the namespace %s does not exist on the target", req.TargetNamespace),
			Hint:    "ask an administrator to run kubectl motion pair for it, or choose another namespace with --to-namespace",
		})
	}
	for _, o := range inv.Objects {
		if err := d.mapClasses(o); err != nil {
			return nil, err
		}
	}
	for _, o := range inv.Objects {
		if err := d.add(o); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// WithOrphans sets the objects that an earlier run created and that are missing on
// the source.
func (d *Draft) WithOrphans(orphans []Orphan) *Draft {
	d.orphans = orphans
	return d
}

// WithRollbacks sets the answers of the source about the pods of a rollback.
func (d *Draft) WithRollbacks(problems map[types.UID]*apply.Problem) *Draft {
	d.rollbacks = problems
	return d
}

func (d *Draft) block(f Finding) { d.blockers = append(d.blockers, f) }
func (d *Draft) warn(f Finding)  { d.warnings = append(d.warnings, f) }

// mapClasses selects the target's storage classes for the PVCs and templates of o.
func (d *Draft) mapClasses(o *inventory.Object) error {
	if o.Verdict != inventory.Move || !o.AsksForVolumes() {
		return nil
	}
	u, err := o.Unstructured()
	if err != nil {
		return err
	}
	for _, name := range classNames(u) {
		d.mapClass(o.Ref, name)
	}
	return nil
}

func (d *Draft) mapClass(ref inventory.Ref, name string) {
	if _, done := d.options.StorageClasses[name]; done {
		return
	}
	class, guessed, ok := d.facts.resolveClass(name, d.request.StorageClasses)
	d.options.StorageClasses[name] = class
	switch {
	case !ok:
		delete(d.options.StorageClasses, name)
		d.block(Finding{
			Code: CodeStorageClassMissing, Object: &ref,
			Message: fmt.Sprintf("the target has no storage class %q and no suitable replacement", name),
			Hint:    "choose one with --storage-class " + name + "=CLASS",
		})
	case guessed:
		d.warn(Finding{
			Code: CodeStorageClassSelected, Object: &ref,
			Message: fmt.Sprintf("the target has no storage class %q, selected %q", name, class),
			Hint:    "choose another with --storage-class " + name + "=CLASS",
		})
	}
}

// classNames returns the storage classes of a PVC, of the volume claim templates of
// a StatefulSet or of the ephemeral volumes of a pod. A template without a class gets
// the target's default class.
func classNames(u *unstructured.Unstructured) []string {
	if u.GetKind() == kindClaim.Kind {
		name, found, _ := unstructured.NestedString(u.Object, "spec", "storageClassName")
		if !found {
			name = u.GetAnnotations()["volume.beta.kubernetes.io/storage-class"]
		}
		return []string{name}
	}
	var out []string
	for _, t := range inventory.ClaimTemplates(u) {
		if name, found, _ := unstructured.NestedString(t, "spec", "storageClassName"); found && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// add adds the item of one object.
func (d *Draft) add(o *inventory.Object) error {
	item := Item{Source: o.Ref, Verdict: o.Verdict, Reason: o.Reason, Detail: o.Detail}
	if o.Verdict == inventory.Skip {
		d.items = append(d.items, item)
		return nil
	}
	before, err := o.Unstructured()
	if err != nil {
		return err
	}
	after, changes, err := transform.Object(before, d.options)
	if err != nil {
		ref := o.Ref
		d.block(Finding{Code: CodeTransformFailed, Object: &ref, Message: err.Error(), Hint: "change it on the source, or use --exclude " + named(o.Ref)})
		d.items = append(d.items, item)
		return nil //nolint:nilerr // it is a finding, and the other objects are planned
	}
	target := inventory.RefOf(after, o.Ref.Resource)
	item.Target, item.Changes, item.Stage = &target, changes, d.stage(o, before)
	if item.json, err = json.Marshal(after.Object); err != nil {
		return fmt.Errorf("%s: %w", o.Ref, err)
	}
	if item.Stage == StageVolume {
		v, err := newVolume(item, before, after)
		if err != nil {
			return err
		}
		v.Pods, v.Workloads = d.inv.Users(v.Claim)
		d.volumes = append(d.volumes, v)
	}
	d.items = append(d.items, item)
	return nil
}

// stage returns the step in which the object is written.
func (d *Draft) stage(o *inventory.Object, u *unstructured.Unstructured) Stage {
	switch {
	case o.Ref.GroupKind() == kindClaim:
		if name, _, _ := unstructured.NestedString(u.Object, "spec", "volumeName"); name != "" {
			return StageVolume
		}
	case o.Ref.GroupKind() == schema.GroupKind{Kind: "Pod"} && len(o.Claims()) > 0:
		return StageActivation
	case !inventory.BuiltIn(o.Ref.Group) && (d.inv.RunsPods(o) || o.IsRun() || o.Final()):
		return StageActivation
	}
	return StageStandby
}

// ours is true for the source annotation of an object that was created from this
// source.
func (d *Draft) ours(source string) bool {
	return strings.HasPrefix(source, d.options.SourceAnnotation(""))
}
