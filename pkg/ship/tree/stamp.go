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

// Granularity, in nanoseconds, is how coarse the clock behind ctime is taken to be: a jiffy, with room.
const Granularity = 10_000_000

// Settled says whether every change after cut must show in a ctime that now is ctime.
// Filesystems without room for nanoseconds keep whole seconds.
func Settled(ctime, cut Time) bool {
	step := int64(Granularity)
	if ctime.Nsec == 0 {
		step = 1_000_000_000
	}
	return ctime.Compare(cut.Add(-step)) < 0
}
