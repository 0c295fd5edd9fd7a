// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// recheck compares the timestamps of everything that was read with the present ones, after the
// filesystem was synced once more. It reports whether the source is still as it was read: names,
// links, attributes and contents, because each change advances the ctime of an inode or of its
// directory.
//
// Where ctime lies after the first cut an equal one proves nothing: its page may have been dirty
// when it was read, and a store through a mapping to a dirty page advances no ctime. So what is not
// settled counts as changed, on filesystems that are known to keep ctime. Nothing can be found out
// about a block device, and a snapshot does not change.
func (x *sendSession) recheck(ctx context.Context) (unchanged bool, err error) {
	info := x.source.Info()
	source, ok := x.source.(fsread.Rechecker)
	if !ok || info.Frozen || info.Image {
		return true, nil
	}
	if err := source.Resync(); err != nil {
		return false, err
	}
	w := x.pass.Manifest()
	if err := x.store.Seal(w, x.pass.Last(), tree.Time{}); err != nil {
		return false, err
	}
	it, err := x.store.Read(w.Number())
	if err != nil {
		return false, err
	}
	defer it.Close()
	settled := info.Trusted && info.ChangeDetection == fsread.ByTimestamps
	unchanged = true
	err = pipe.Ordered(ctx, recheckers, recheckAhead,
		func(_ context.Context, emit func(*siblings) error) error { return eachSiblings(it, emit) },
		func(_ context.Context, s *siblings) ([]string, error) { return s.changed(source, settled) },
		func(paths []string) error {
			for _, path := range paths {
				if !info.Live {
					return fault.At(fault.SourceChanged, path, nil, "it changed during read, although the source must not change")
				}
				unchanged = false
				x.count.AddChangedDuringRead(path)
			}
			return nil
		})
	return unchanged, err
}

const (
	// recheckers compare in parallel, ahead of the result by so many groups of siblings.
	recheckers, recheckAhead = 16, 64
	// maxSiblings is how many entries of a directory are compared in one go.
	maxSiblings = 1024
)

// siblings are entries of one directory, as they were read.
type siblings struct {
	dir    string
	names  []string
	stamps []tree.Stamp
}

// eachSiblings groups the records of an index by directory.
func eachSiblings(it index.Iterator, emit func(*siblings) error) error {
	var open *siblings
	err := index.Each(it, func(r *index.Record) error {
		dir, name := tree.Split(r.Entry.Path)
		if open != nil && (open.dir != dir || len(open.names) == maxSiblings) {
			if err := emit(open); err != nil {
				return err
			}
			open = nil
		}
		if open == nil {
			open = &siblings{dir: dir}
		}
		open.names = append(open.names, name)
		open.stamps = append(open.stamps, r.Stamp)
		return nil
	})
	if err == nil && open != nil {
		err = emit(open)
	}
	return err
}

// changed returns the paths that are not as they were read.
func (s *siblings) changed(source fsread.Rechecker, settled bool) ([]string, error) {
	now, err := source.Timestamps(s.dir, s.names)
	if err != nil {
		return nil, err
	}
	var paths []string
	for i, stamp := range s.stamps {
		if !stamp.Same(now[i]) || settled && !stamp.Settled {
			path := s.names[i]
			if path != "" {
				path = tree.Join(s.dir, path)
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}
