// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
)

// State is what one end keeps of one volume between syncs: the index of what the target
// durably holds, with this side's timestamps, and the journal of a sync under way. It serves both
// roles, so that shipping back is only a change of roles.
type State struct{ store *index.Store }

// OpenState opens or makes the state of one volume in dir. volumeID is the caller's opaque
// name of the volume (a PVC's UID). The state is locked until Close; a second OpenState
// of it fails with StateBusy. State that cannot be read is set aside, and the next sync
// rebuilds it from the target.
func OpenState(dir, volumeID string) (*State, error) {
	s, err := index.Open(dir, volumeID)
	if err != nil {
		return nil, err
	}
	return &State{store: s}, nil
}

// Close releases the state.
func (s *State) Close() error { return s.store.Close() }

// Verified returns the sync that the volume holds according to this state: durably
// committed, and so either in place or certain to be when the next Receive begins. ok is
// false when there is none.
func (s *State) Verified() (number int64, digest string, ok bool) {
	switch h := s.store.Head(); h.Phase {
	case index.Whole:
		return h.Sync, h.Digest, true
	case index.Rolling:
		return h.ExpectedSync, h.Expected, true
	default:
		return 0, "", false
	}
}

// PartiallyApplied reports whether a part of a sync is applied to the volume: nothing may be
// started on it. It may be called while Receive runs.
func (s *State) PartiallyApplied() bool {
	phase := s.store.Head().Phase
	return phase == index.Torn || phase == index.Rolling
}
