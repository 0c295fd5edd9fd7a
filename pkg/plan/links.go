// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// links are the owners that moving objects get back on the target: where owner
// and object both move, so that deleting the one there collects the other as it
// would on the source.
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

// linkable: a Pod comes and goes with every activation, and nothing may go with
// it; the claims of a StatefulSet are its controller's to tie, by the policy that
// it reads itself.
func linkable(owner, child schema.GroupKind) bool {
	return owner != kindPod && (child != kindClaim || owner != schema.GroupKind{Group: "apps", Kind: "StatefulSet"})
}
