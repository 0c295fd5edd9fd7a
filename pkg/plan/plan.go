// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/invocation"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// Request holds the options of a plan.
type Request struct {
	SourceNamespace string
	// TargetNamespace is the same as SourceNamespace unless mapped.
	TargetNamespace string
	Mode            v1alpha1.Mode
	Selection       inventory.Selection

	// StorageClasses maps the source's classes to the target's, as given with
	// --storage-class; the plan selects the others.
	StorageClasses map[string]string
	Images         map[string]string
	Patches        []transform.Patch
	LoadBalancers  transform.LoadBalancers
	// ForceConflicts takes over fields that others own on the target.
	ForceConflicts bool
	// Recreate allows deleting and recreating objects with immutable changes that
	// are nothing but their content (see apply.Recreatable).
	Recreate bool
	// Prune deletes objects that an earlier run created and that were deleted on the
	// source; PruneVolumes deletes such PVCs, too, with their data.
	Prune        bool
	PruneVolumes bool
	// Route is the route that the volumes' data may take.
	Route route.Mode
	// Hooks are the hooks for snapshots that were given as flags.
	Hooks []hooks.Rule
	// CopyMethods chooses how volumes are read while their application runs.
	CopyMethods snapshot.Chooser
	// Originals are the original states of stopped source workloads (see transform.Options).
	Originals map[types.UID][]byte
	// Invocation is how the user named the two ends, for the commands in hints.
	Invocation invocation.Invocation
}

// Plan is what a migration will do.
type Plan struct {
	Source ref.Namespace `json:"source"`
	Target ref.Namespace `json:"target"`
	Mode   v1alpha1.Mode `json:"mode"`
	// Items are all objects of the source's namespace, in the order of
	// inventory.Ref.Compare.
	Items   []Item   `json:"items"`
	Volumes []Volume `json:"volumes,omitempty"`
	// Groups are the volumes that one pod uses together.
	Groups []Group `json:"volumeGroups,omitempty"`
	// Transfer is the upper bound of bytes and time.
	Transfer *Transfer `json:"transfer,omitempty"`
	// Route is the route of the volumes' data; nil without volumes, or when there is
	// no route.
	Route *route.Choice `json:"route,omitempty"`
	// Routes are the observations that the route was chosen by.
	Routes route.Options `json:"-"`
	// Links are owner references that are set once both objects are on the target.
	Links    []apply.Link `json:"ownerLinks,omitempty"`
	Blockers []Finding    `json:"blockers,omitempty"`
	Warnings []Finding    `json:"warnings,omitempty"`
	// Hooks are run around the snapshots of volumes, by pod.
	Hooks []hooks.Pod `json:"snapshotHooks,omitempty"`
	// Prune are the objects of the target that will be deleted; their UIDs are
	// those of the target.
	Prune []inventory.Ref `json:"prune,omitempty"`
	// Manifests are the objects that an administrator of the target has to create.
	Manifests []map[string]any `json:"needsAdminManifests,omitempty"`
	// NotExamined are kinds that could not be listed on the source.
	NotExamined []inventory.NotExamined `json:"notExamined,omitempty"`
	// Ignored are kinds that are never migrated.
	Ignored []inventory.Ignored `json:"ignoredKinds,omitempty"`
}

// End is one side of the migration.
type End struct {
	Cluster   string `json:"cluster"`
	ClusterID string `json:"clusterID,omitempty"`
	Namespace string `json:"namespace"`
}

// Stage is the step of a migration in which an object is written.
type Stage string

const (
	// StageStandby is for objects that are written before anything runs.
	StageStandby Stage = "Standby"
	// StageVolume is for PVCs whose data is copied; each is created with its mount pod.
	StageVolume Stage = "Volume"
	// StageActivation is for objects that cannot be on standby: bare pods that use
	// a PVC, custom resources whose operator starts pods or that are one piece of work.
	StageActivation Stage = "Activation"
)

// Action is the effect of writing an object on the target.
type Action string

// Actions of items with the verdict Move.
const (
	Create    Action = "Create"
	Configure Action = "Configure"
	Unchanged Action = "Unchanged"
	// Recreate deletes the target's object and creates it again.
	Recreate Action = "Recreate"
)

// Item is one object of the source.
type Item struct {
	Source  inventory.Ref     `json:"object"`
	Verdict inventory.Verdict `json:"verdict"`
	Reason  inventory.Reason  `json:"reason,omitempty"`
	Detail  string            `json:"detail,omitempty"`

	// The rest is set when the verdict is Move or NeedsAdmin.

	Target  *inventory.Ref     `json:"target,omitempty"`
	Action  Action             `json:"action,omitempty"`
	Stage   Stage              `json:"stage,omitempty"`
	Changes []transform.Change `json:"changes,omitempty"`

	json []byte
	same string
}

// Object decodes the object as it will be written to the target.
func (i Item) Object() (*unstructured.Unstructured, error) {
	if i.Target == nil {
		return nil, fmt.Errorf("%s is not migrated: %s", i.Source, i.Reason.Explanation())
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(i.json); err != nil {
		return nil, fmt.Errorf("%s: %w", i.Source, err)
	}
	return u, nil
}

// Active decodes the object as it will be on the target once it is activated.
func (i Item) Active() (*unstructured.Unstructured, error) { return i.active() }

// Apply returns the object for package apply.
func (i Item) Apply() apply.Object { return apply.Object{Ref: *i.Target, JSON: i.json, Same: i.same} }

// Volume is a PVC whose data is copied.
type Volume struct {
	Claim       string    `json:"claim"`
	UID         types.UID `json:"uid"`
	TargetClaim string    `json:"targetClaim"`
	// Requested is the size that the PVC requests, Capacity the size of its volume,
	// and TargetRequest the larger of the two, which the target's PVC requests.
	Requested     resource.Quantity `json:"requested"`
	Capacity      resource.Quantity `json:"capacity"`
	TargetRequest resource.Quantity `json:"targetRequest"`
	// StorageClass is empty for a PVC without one.
	StorageClass string `json:"storageClass,omitempty"`
	// TargetClass is empty when the target's default class is used and the storage
	// classes cannot be read.
	TargetClass string                              `json:"targetStorageClass,omitempty"`
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes"`
	VolumeMode  corev1.PersistentVolumeMode         `json:"volumeMode"`
	VolumeName  string                              `json:"volumeName"`
	// Workloads use the PVC, with or without pods.
	Workloads []inventory.Ref `json:"workloads,omitempty"`
	// Pods reference it now.
	Pods []inventory.PodUse `json:"pods,omitempty"`
	// InUse is true while a running pod uses the PVC. Mount pods are not counted.
	InUse bool `json:"inUse,omitempty"`
	// CopyMethod is how the volume is read while it is in use.
	CopyMethod snapshot.Choice `json:"copyMethod"`
	// OnTarget is true when an earlier run created the target's PVC.
	OnTarget bool `json:"onTarget,omitempty"`
	// AtMostBytes is the upper bound of its data; BytesBasis says whether it is the
	// capacity or comes from the last shipment.
	AtMostBytes int64 `json:"atMostBytes"`
	BytesBasis  Basis `json:"bytesBasis"`

	ref  inventory.Ref
	json []byte
	same string
}

// Object decodes the PVC as it must be created in the target namespace.
func (v Volume) Object() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(v.json); err != nil {
		return nil, fmt.Errorf("%s: %w", v.ref, err)
	}
	return u, nil
}

// Apply returns the PVC for package apply.
func (v Volume) Apply() apply.Object { return apply.Object{Ref: v.ref, JSON: v.json, Same: v.same} }

// Group is the PVCs that one pod of the application mounts together. Each volume
// is in exactly one group.
type Group struct {
	// Name is unique in the plan: the name of the pod or of the PVC.
	Name   string   `json:"name"`
	Claims []string `json:"claims"`
	// Workload creates the pods; nil for an unused PVC.
	Workload *inventory.Ref `json:"workload,omitempty"`
	// Pod and Node are where the PVCs are mounted now, or empty.
	Pod  string `json:"pod,omitempty"`
	Node string `json:"node,omitempty"`
	// Template is the pod spec as it will be on the target, with its node
	// selector, affinity, tolerations and requests; nil for an unused PVC.
	Template *corev1.PodSpec `json:"-"`
	// Labels are those of the template's pods, which affinities select.
	Labels map[string]string `json:"-"`
}

// Code is the kind of a finding, from a closed set.
type Code string

// Finding is a blocker or a warning.
type Finding struct {
	Code Code `json:"code"`
	// Object is nil for findings about the whole.
	Object  *inventory.Ref `json:"object,omitempty"`
	Message string         `json:"message"`
	// Hint is the next step.
	Hint string `json:"hint,omitempty"`
	// Problem is the answer of the target's API server.
	Problem *apply.Problem `json:"problem,omitempty"`
}

// named returns TYPE/NAME for the command line, with the group for kinds that are
// not built in.
func named(r inventory.Ref) string {
	if inventory.BuiltIn(r.Group) {
		return r.Resource + "/" + r.Name
	}
	return r.Resource + "." + r.Group + "/" + r.Name
}

// String returns the finding in one line.
func (f Finding) String() string {
	s := f.Message
	if f.Object != nil {
		s = f.Object.String() + ": " + s
	}
	if f.Hint != "" {
		s += "; " + f.Hint
	}
	return s
}

// Discard frees the objects themselves, which are most of a plan's memory. The plan
// can be printed afterwards, and not run.
func (p *Plan) Discard() {
	for i := range p.Items {
		p.Items[i].json = nil
	}
	for i := range p.Volumes {
		p.Volumes[i].json = nil
	}
}

// Blocked is true when the plan must not be run.
func (p *Plan) Blocked() bool { return len(p.Blockers) > 0 }

// Objects returns the objects of a stage.
func (p *Plan) Objects(stage Stage) []apply.Object {
	var out []apply.Object
	for _, i := range p.Items {
		if i.Verdict == inventory.Move && i.Stage == stage {
			out = append(out, i.Apply())
		}
	}
	return out
}

// Workloads returns the migrated items that run pods.
func (p *Plan) Workloads() []Item {
	var out []Item
	for _, i := range p.Items {
		if i.Verdict == inventory.Move && workload.Suspendable(i.Source.GroupKind()) {
			out = append(out, i)
		}
	}
	return out
}

// NeedsAdmin returns the items that an administrator of the target must create.
func (p *Plan) NeedsAdmin() []Item {
	var out []Item
	for _, i := range p.Items {
		if i.Verdict == inventory.NeedsAdmin {
			out = append(out, i)
		}
	}
	return out
}

// Counts sums up the items as in the Migration's status, as if the plan had been
// run without a failure. Objects for the activation wait unless the plan activates.
func (p *Plan) Counts() v1alpha1.MigrationCounts {
	c := v1alpha1.MigrationCounts{NotExamined: int32(len(p.NotExamined))}
	for _, i := range p.Items {
		switch {
		case i.Verdict == inventory.Skip:
			c.Skipped++
		case i.Verdict == inventory.NeedsAdmin:
			c.NeedsAdmin++
		case i.Action == Unchanged:
			c.Unchanged++
		case i.Stage == StageActivation && p.Mode == v1alpha1.ModeStandby:
			c.Waiting++
		default:
			c.Moved++
		}
	}
	return c
}
