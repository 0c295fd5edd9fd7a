// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import "os"

// SpecialFiles is the policy for setuid-root files, devices, file capabilities and
// trusted.* attributes.
type SpecialFiles uint8

const (
	// Refuse stops at the first one with its path.
	Refuse SpecialFiles = iota
	// Preserve ships them.
	Preserve
)

// Options of OpenTree and OpenDevice.
type Options struct {
	// ChangeDetection is how changes in the source are found.
	ChangeDetection ChangeDetection
	// Live: the view's writer goes on while it is read.
	Live bool
	// CutUnixNano is the instant of a snapshot; 0 means that the view is read in place:
	// the cut is then taken when it is opened, and its filesystem synced.
	CutUnixNano int64
	// Direct is the block device once more, with O_DIRECT, for callers that cannot open
	// devices themselves (O_EXCL); it stays the caller's. Without it OpenDevice opens one.
	Direct *os.File
}
