// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Object is what shall be on the target: where, and its JSON.
type Object struct {
	// Ref names the object on the target; its UID is of no matter.
	Ref  inventory.Ref
	JSON []byte
	// Same is the resourceVersion at which the target's object was found to be
	// just what JSON would make of it. While it is at that version nothing is
	// written: some kinds get a new resourceVersion from an apply that changes
	// nothing. Empty when it was not found so.
	Same string
}

// Of makes an Object of u; ref says which resource it is.
func Of(ref inventory.Ref, u *unstructured.Unstructured) (Object, error) {
	body, err := u.MarshalJSON()
	if err != nil {
		return Object{}, fmt.Errorf("%s: %w", ref, err)
	}
	ref.Namespace, ref.Name, ref.UID = u.GetNamespace(), u.GetName(), ""
	return Object{Ref: ref, JSON: body}, nil
}

// Writer writes to one cluster.
type Writer struct {
	cluster *cluster.Cluster
	// meta reads back nothing but the metadata, which is most of the cost.
	meta metadata.Interface
	full dynamic.Interface
}

// NewWriter returns a writer for c with c's identity.
func NewWriter(c *cluster.Cluster) (*Writer, error) {
	meta, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	full, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return &Writer{cluster: c, meta: meta, full: full}, nil
}

// patchOptions are those of an apply. What is only tried is validated strictly.
// What is written has been tried, and an apply refuses fields that the schema does
// not have without being asked; strict would have the server parse it once more.
func patchOptions(force bool, dryRun ...string) metav1.PatchOptions {
	validation := metav1.FieldValidationIgnore
	if len(dryRun) > 0 {
		validation = metav1.FieldValidationStrict
	}
	return metav1.PatchOptions{
		FieldManager:    v1alpha1.FieldManager,
		FieldValidation: validation,
		Force:           &force,
		DryRun:          dryRun,
	}
}

// Write applies o and returns its metadata as the server has it now. The error
// is the API server's own.
func (w *Writer) Write(ctx context.Context, o Object, force bool) (*metav1.PartialObjectMetadata, error) {
	return resolving(ctx, w, o, force, func(force bool) (*metav1.PartialObjectMetadata, error) {
		return w.meta.Resource(o.Ref.GVR()).Namespace(o.Ref.Namespace).
			Patch(ctx, o.Ref.Name, types.ApplyPatchType, o.JSON, patchOptions(force))
	})
}

// Try asks the server what Write would do, admission included, and writes
// nothing. It returns the object as it would be.
func (w *Writer) Try(ctx context.Context, o Object, force bool) (*unstructured.Unstructured, error) {
	return resolving(ctx, w, o, force, func(force bool) (*unstructured.Unstructured, error) {
		return w.dryRun(ctx, o, force)
	})
}

func (w *Writer) dryRun(ctx context.Context, o Object, force bool) (*unstructured.Unstructured, error) {
	return w.full.Resource(o.Ref.GVR()).Namespace(o.Ref.Namespace).
		Patch(ctx, o.Ref.Name, types.ApplyPatchType, o.JSON, patchOptions(force, metav1.DryRunAll))
}

// resolving forces an apply whose conflicts take nothing from another manager:
//
//   - conflicts with our own updates: stopping and starting a workload are updates,
//     and for the API server the same manager that updates is another owner than
//     the one that applies;
//   - conflicts over fields that keep their value. A list that is owned as a whole
//     (volumeClaimTemplates) conflicts although it differs in defaults only, which
//     the server fills in again. A forced dry run shows it.
func resolving[T any](ctx context.Context, w *Writer, o Object, force bool, apply func(force bool) (T, error)) (T, error) {
	t, err := apply(force)
	p := Explain(err)
	if force || p == nil || p.Cause != CauseConflict {
		return t, err
	}
	if p.withOurselves() || w.keepsValues(ctx, o, p.Conflicts) {
		return apply(true)
	}
	return t, err
}

// keepsValues reports whether a forced apply of o would leave the conflicting
// fields with the values that they have. What cannot be found out counts as no.
func (w *Writer) keepsValues(ctx context.Context, o Object, conflicts []Conflict) bool {
	live, err := w.full.Resource(o.Ref.GVR()).Namespace(o.Ref.Namespace).Get(ctx, o.Ref.Name, metav1.GetOptions{})
	if err != nil {
		return false
	}
	forced, err := w.dryRun(ctx, o, true)
	if err != nil {
		return false
	}
	for _, c := range conflicts {
		if !equality.Semantic.DeepEqual(fieldAt(live, c.Field), fieldAt(forced, c.Field)) {
			return false
		}
	}
	return true
}

// fieldAt is the value at a path as conflicts name it (spec.template.spec). A path
// into a list ends at the list: comparing more than the field errs on the safe side.
func fieldAt(u *unstructured.Unstructured, path string) any {
	path, _, _ = strings.Cut(path, "[")
	value, _, err := unstructured.NestedFieldNoCopy(u.Object, strings.Split(strings.Trim(path, "."), ".")...)
	if err != nil {
		return err
	}
	return value
}

// TryNew is Try for an object that is known not to be there: only the metadata
// comes back, for a quarter of the cost.
func (w *Writer) TryNew(ctx context.Context, o Object, force bool) error {
	_, err := w.meta.Resource(o.Ref.GVR()).Namespace(o.Ref.Namespace).
		Patch(ctx, o.Ref.Name, types.ApplyPatchType, o.JSON, patchOptions(force, metav1.DryRunAll))
	return err
}

// TryPod asks the server whether it would take the pod, and creates nothing.
func (w *Writer) TryPod(ctx context.Context, pod *unstructured.Unstructured) error {
	_, err := w.full.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(pod.GetNamespace()).
		Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: v1alpha1.FieldManager})
	return err
}
