// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// prune decides which orphans go: those whose source is proved to be gone, and
// claims only when their data may go, too.
func (b *builder) prune() []inventory.Ref {
	var out []inventory.Ref
	for _, o := range b.orphans {
		ref := o.Ref
		switch {
		case !o.Gone:
			b.warn(Finding{Code: CodeNotPruned, Object: &ref, Message: "whether the source still has it is not clear, so it stays: " + o.Unclear})
		case ref.GroupKind() == kindClaim && !b.request.PruneVolumes:
			b.warn(Finding{
				Code: CodeNotPruned, Object: &ref, Message: "the source does not have it any more; it holds data, so it stays",
				Hint: "--prune-volumes deletes it, data included",
			})
		default:
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, inventory.Ref.Compare)
	return out
}
