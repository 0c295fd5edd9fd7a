// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// links are the owner references that are set again on the target, where owner and
// object are both migrated: deleting the owner there deletes the object as on the
// source.
func (b *builder) links(items []Item) []apply.Link {
	moving := map[types.UID]*Item{}
	for i := range items {
		if items[i].Verdict == inventory.Move && items[i].Target != nil {
			moving[items[i].Source.UID] = &items[i]
		}
	}
	var out []apply.Link
	for i := range items {
		item := &items[i]
		o := b.inv.FindUID(item.Source.UID)
		if moving[item.Source.UID] == nil || o == nil {
			continue
		}
		for _, ref := range o.Owners {
			owner := moving[ref.UID]
			if owner == nil || owner == item || !linkable(owner.Source.GroupKind(), item.Source.GroupKind()) {
				continue
			}
			out = append(out, apply.Link{
				Child: *item.Target, Owner: *owner.Target,
				ChildSource: b.options.SourceAnnotation(string(item.Source.UID)),
				OwnerSource: b.options.SourceAnnotation(string(owner.Source.UID)),
				Controller:  ref.Controller != nil && *ref.Controller,
				Block:       ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion,
			})
		}
	}
	return out
}

// linkable excludes owners that are Pods, which are deleted and created with every
// activation, and the PVCs of a StatefulSet, which its controller owns according to
// its retention policy.
func linkable(owner, child schema.GroupKind) bool {
	return owner != kindPod && (child != kindClaim || owner != schema.GroupKind{Group: "apps", Kind: "StatefulSet"})
}
