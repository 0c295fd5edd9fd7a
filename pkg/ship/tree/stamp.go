// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

// Stamp identifies an inode's state by its number and timestamps. It belongs to the side that
// took it, never crosses the wire and never enters a digest: losing one costs reading, never
// correctness.
type Stamp struct {
	Ino   uint64
	CTime Time
	// BTime is zero where the filesystem does not record it.
	BTime Time
	// Settled: the ctime lies so far before the source's cut that every later change must
	// have advanced it. Only a settled stamp proves that content did not change.
	Settled bool
}

// Same reports whether s and t are those of one unchanged inode, settled or not. Entries must be compared besides (size, mtime).
func (s Stamp) Same(t Stamp) bool {
	return s.Ino != 0 && s.Ino == t.Ino && s.CTime == t.CTime && s.BTime == t.BTime
}

// Granularity, in nanoseconds, is how coarse the clock behind ctime is taken to be: a jiffy, with room.
const Granularity = 10_000_000

// Settled reports whether every change after cut must show in a ctime that now is ctime.
// Filesystems without room for nanoseconds keep whole seconds.
func Settled(ctime, cut Time) bool {
	step := int64(Granularity)
	if ctime.Nsec == 0 {
		step = 1_000_000_000
	}
	return ctime.Compare(cut.Add(-step)) < 0
}
