// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// prune returns the orphans to delete: those that the source does not have for sure,
// and PVCs only with PruneVolumes.
func (b *builder) prune() []inventory.Ref {
	var out []inventory.Ref
	for _, o := range b.orphans {
		ref := o.Ref
		switch {
		case !o.Gone:
			b.warn(Finding{Code: CodeNotPruned, Object: &ref, Message: "not pruned, because it is unknown whether it was deleted on the source: " + o.Unclear})
		case ref.GroupKind() == kindClaim && !b.request.PruneVolumes:
			b.warn(Finding{
				Code: CodeNotPruned, Object: &ref, Message: "it was deleted on the source; not pruned, because it holds data",
				Hint: "use --prune-volumes to delete it with its data",
			})
		default:
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, inventory.Ref.Compare)
	return out
}
