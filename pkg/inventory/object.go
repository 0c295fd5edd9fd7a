// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Object is one object of the source with its verdict.
type Object struct {
	Ref         Ref
	Labels      map[string]string
	Annotations map[string]string
	Owners      []metav1.OwnerReference
	Finalizers  []string
	Terminating bool

	Verdict Verdict
	Reason  Reason
	// Detail is one line about the reason: the owner's name, or the object that needs
	// it.
	Detail string
	// Needs are the objects that this one references in typed fields.
	Needs []Need

	// OnTarget is false when the target does not serve the kind.
	OnTarget bool

	facts facts
	raw   []byte
}

// Need is a typed reference from one object to another of the same namespace.
type Need struct {
	ID ID
	// Path is the field with the reference.
	Path string
	// Optional is true when the object works without the reference.
	Optional bool
}

// facts are the fields that verdicts depend on, beside the metadata.
type facts struct {
	secretType     string
	hasSelector    bool              // Service, Job with manualSelector
	selector       map[string]string // Service
	finished       bool              // Job, Pod
	phase          string
	pod            *podFacts // Pod, or the template of a workload
	claim          *claimFacts
	claimTemplates []string // StatefulSet
	targetRefs     bool     // Endpoints: its addresses are pods
	final          bool     // custom resource: its status has the signs of an end
	gitOpsManager  string   // the GitOps tool among the field managers
	usersOnly      bool     // RoleBinding without a service account
}

type podFacts struct {
	node      string
	ephemeral []string // volume names
	claims    []string
}

type claimFacts struct{ volumeName string }

// Unstructured decodes the object as it was listed. Each call returns a new value.
func (o *Object) Unstructured() (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(o.raw); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Ref, err)
	}
	return u, nil
}

// NewObject returns u as an object of the source of kind k. It keeps no reference to
// u, and modifies it.
func NewObject(k Kind, u *unstructured.Unstructured) (*Object, error) {
	u.SetGroupVersionKind(k.GVK())
	manager := gitOpsManager(u)
	stripManagedFields(k, u)
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.Kind, u.GetName(), err)
	}
	o := &Object{
		Ref:    RefOf(u, k.GVR.Resource),
		Labels: u.GetLabels(), Annotations: shortAnnotations(u.GetAnnotations()),
		Owners:      u.GetOwnerReferences(),
		Finalizers:  u.GetFinalizers(),
		Terminating: u.GetDeletionTimestamp() != nil,
		OnTarget:    k.OnTarget,
		raw:         raw,
	}
	o.facts = factsOf(u)
	o.facts.gitOpsManager = manager
	o.Needs = needsOf(u)
	return o, nil
}

// stripManagedFields drops what is of no use for the decision, except on
// Services: there it tells a chosen node port from an allocated one.
func stripManagedFields(k Kind, u *unstructured.Unstructured) {
	if k.GVR.Group == "" && k.Kind == "Service" {
		return
	}
	u.SetManagedFields(nil)
}

// longAnnotation is the size from which the value of an annotation is kept in raw
// only. Annotations that a verdict depends on are shorter.
const longAnnotation = 1024

func shortAnnotations(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for k, v := range in {
		if len(v) > longAnnotation {
			v = ""
		}
		out[k] = v
	}
	return out
}

// NotExamined is a kind that could not be listed.
type NotExamined struct {
	Group    string `json:"group,omitempty"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
	// Reason is Forbidden, Unavailable or Failed.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Inventory has all objects of one namespace.
type Inventory struct {
	ClusterID string
	Namespace string
	// Objects in the order of Ref.Compare.
	Objects     []*Object
	NotExamined []NotExamined
	Ignored     []Ignored
	// Kinds that were listed.
	Kinds []Kind

	byID  map[ID]*Object
	byUID map[types.UID]*Object
	// users are the pods and templates that reference a PVC, by its name.
	users map[string][]*Object
	// sets are the objects with volume claim templates.
	sets []*Object
	// running are the owners at the top of pods or templates of pods.
	running map[*Object]bool
}

// NewInventory returns an inventory of objects without verdicts: see Judge.
func NewInventory(clusterID, namespace string, objects []*Object) *Inventory {
	inv := &Inventory{ClusterID: clusterID, Namespace: namespace, Objects: objects}
	slices.SortFunc(inv.Objects, func(a, b *Object) int { return a.Ref.Compare(b.Ref) })
	inv.index()
	return inv
}

// Find returns the object with the identity id, or nil.
func (inv *Inventory) Find(id ID) *Object { return inv.byID[id] }

// FindUID returns the object with the UID, or nil.
func (inv *Inventory) FindUID(uid types.UID) *Object { return inv.byUID[uid] }

func (inv *Inventory) index() {
	inv.byID = make(map[ID]*Object, len(inv.Objects))
	inv.byUID = make(map[types.UID]*Object, len(inv.Objects))
	inv.users, inv.running, inv.sets = map[string][]*Object{}, map[*Object]bool{}, nil
	for _, o := range inv.Objects {
		inv.byID[o.Ref.ID()] = o
		inv.byUID[o.Ref.UID] = o
	}
	for _, o := range inv.Objects {
		if reason, _ := ours(inv, o); reason != "" {
			continue // a mount pod is not a user of its PVCs
		}
		for _, c := range o.Claims() {
			inv.users[c] = append(inv.users[c], o)
		}
		if len(o.facts.claimTemplates) > 0 {
			inv.sets = append(inv.sets, o)
		}
		if root := inv.Root(o); o.facts.pod != nil && root != o {
			inv.running[root] = true
		}
	}
}
