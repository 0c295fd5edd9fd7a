// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

// Stamp tells whether an inode is still as it was. It belongs to the side that took
// it and never crosses the wire nor enters a digest: losing one costs reading, never
// correctness.
type Stamp struct {
	Ino   uint64
	CTime Time
	// BTime is zero where the filesystem does not tell it.
	BTime Time
	// Settled: the ctime lies so far before the view's cut that every later change must
	// have moved it. Only a settled stamp proves that content did not change.
	Settled bool
}

// Same says whether s and t are the stamps of one unchanged inode, whether settled or
// not. Entries must be compared besides (size, mtime).
func (s Stamp) Same(t Stamp) bool {
	return s.Ino != 0 && s.Ino == t.Ino && s.CTime == t.CTime && s.BTime == t.BTime
}
