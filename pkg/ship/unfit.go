// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
)

// unfits says whether the session ends because there is no room for the stage. Then the
// next one writes in place.
func (x *recvSession) unfits(known *fault.Error) bool {
	phase := x.store.Head().Phase
	x.fallBack = known != nil && known.Reason == fault.TargetFull && !known.Remote && !x.inPlace && phase != index.Rolling &&
		!x.beyond()
	return x.fallBack
}

// beyond says whether the source has sent more than the target may ever hold: in place it
// would not fit either, and the generation that is there should stay.
func (x *recvSession) beyond() bool {
	return x.applier != nil && x.o.MaxBytes > 0 && x.applier.Got() > x.o.MaxBytes
}

// tear gives up the stage and with it the verified generation: from now on, until a pass is
// verified, the target is torn. What is known of the standing tree stays known.
func (r *receiveEnd) tear(cause error) error {
	r.log.Warn("the increment does not fit beside what the target has; it is written in place, and the target is torn until that is done")
	head := r.store.Head()
	head.Phase, head.Stage, head.Journal = index.Torn, "", nil
	if err := r.store.Commit(head); err != nil {
		return err
	}
	if err := r.target.RemoveStages(""); err != nil {
		return err
	}
	return cause
}
