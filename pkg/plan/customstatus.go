// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// customStatus warns about custom resources whose status matters: it is not migrated.
func (b *builder) customStatus(items []Item) {
	for i := range items {
		o := b.inv.FindUID(items[i].Source.UID)
		if items[i].Verdict != inventory.Move || o == nil || inventory.BuiltIn(o.Ref.Group) {
			continue
		}
		ref := o.Ref
		if o.Final() {
			b.warn(Finding{
				Code: CodeFinalStatus, Object: &ref,
				Message: "its status on the source is final and is not migrated: its operator on the target takes it for new; it is created on activation",
				Hint:    "if it must not run again, use --exclude " + named(ref),
			})
		}
		if b.inv.RunsPods(o) || b.hasVolumes(o) {
			b.identity(o)
		}
	}
}

// hasVolumes is true when a migrated PVC is owned by o or has its name in a label.
func (b *builder) hasVolumes(o *inventory.Object) bool {
	return slices.ContainsFunc(b.inv.Claims(), func(c *inventory.Object) bool {
		return c.Verdict == inventory.Move && (b.inv.Root(c) == o || slices.Contains(slices.Collect(maps.Values(c.Labels)), o.Ref.Name))
	})
}

// identity warns about identities in the status of a custom resource with volumes: the
// data has the same identity, and an operator may reject data of another one.
func (b *builder) identity(o *inventory.Object) {
	u, err := o.Unstructured()
	if err != nil {
		return
	}
	status, _, _ := unstructured.NestedMap(u.Object, "status")
	ids := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(status)) {
		if s, ok := status[k].(string); ok && s != "" && identityField(k) {
			ids[k] = s
		}
	}
	if len(ids) == 0 {
		return
	}
	patch, err := json.Marshal(map[string]any{"status": ids})
	if err != nil {
		return
	}
	ref := o.Ref
	b.warn(Finding{
		Code: CodeStatusNotMoved, Object: &ref,
		Message: fmt.Sprintf("its status is not migrated, but has an identity that its data may depend on (%s)", strings.Join(slices.Sorted(maps.Keys(ids)), ", ")),
		Hint: fmt.Sprintf("pause its operator on the target before the activation, and run there: kubectl -n %s patch %s --subresource=status --type=merge -p '%s'",
			b.request.TargetNamespace, named(ref), patch),
	})
}

func identityField(name string) bool {
	lower := strings.ToLower(name)
	return lower == "id" || strings.HasSuffix(name, "Id") || strings.HasSuffix(name, "ID") || strings.HasSuffix(lower, "uuid") || strings.HasSuffix(lower, "fsid")
}
