// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// incoming is a large content that is being received.
type incoming struct {
	path  string
	size  int64
	base  index.Record
	patch bool
	file  fswrite.File
	place fswrite.Place
	// overlay: the file holds only what changes; zeros need not be written.
	overlay bool
	keep    bool // zeros stay allocated
	fresh   bool // what is not written is zero
	image   bool
	stamp   tree.Stamp
	end     int64
	writes  int // under way; guarded by the applier's mu
}

// written marks a write to a content as done.
func (a *Applier) written(in *incoming) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.writes--; in.writes == 0 {
		a.wake.Broadcast()
	}
}

// finish waits until all writes to a content are over, and takes it from the open ones.
func (a *Applier) finish(in *incoming) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for in.writes > 0 && a.over == nil {
		a.wake.Wait()
	}
	if a.over != nil {
		return a.over
	}
	delete(a.files, in.file)
	return nil
}

// begin opens a large content.
func (a *Applier) begin(f *Frame, op *wire.Op) error {
	if err := a.checkOrder(op.Path, false); err != nil {
		return err
	}
	base, err := a.base(op.Path)
	if err != nil {
		return err
	}
	in := &incoming{
		path: op.Path, size: op.Size, base: base, patch: op.Patch, keep: op.Allocated,
		fresh: !op.Patch && !a.target.Image(), image: a.target.Image(),
	}
	if in.patch && base.Leaves() == 0 {
		return fault.At(fault.PeerRejected, op.Path, nil, "a patch of a content that does not exist")
	}
	if a.o.MaxSize > 0 && op.Allocated {
		// Room is taken for it before a byte of it comes.
		if a.taken += min(op.Size, a.o.MaxSize+1); a.taken > a.o.MaxSize {
			return fault.At(fault.TargetFull, op.Path, nil, "allocated files exceed the capacity of the target")
		}
		if err := a.admit(op.Size); err != nil {
			return err
		}
	}
	if err := a.openContent(in, op); err != nil {
		return err
	}
	a.open = in
	f.results = append(f.results, result{open: in})
	return nil
}

func (a *Applier) openContent(in *incoming, op *wire.Op) (err error) {
	switch {
	case a.o.InPlace && in.patch:
		in.place = fswrite.Place{Path: op.Path}
		in.file, err = a.target.Edit(in.place)
	case a.o.InPlace:
		in.place = fswrite.Place{Path: op.Path}
		in.file, err = a.fresh(in.place, in.base.Entry.Kind == tree.File || a.target.Image())
	case in.patch && in.base.Staged != 0:
		in.place, in.overlay = fswrite.Place{Path: op.Path, Staged: in.base.Staged}, in.base.Patch
		in.file, err = a.target.Edit(in.place)
	default:
		in.place, in.overlay = a.place(op.Path), in.patch
		in.file, err = a.target.Create(in.place)
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.files[in.file] = struct{}{}
	a.mu.Unlock()
	if err := in.file.Resize(op.Size, op.Allocated && !in.overlay); err != nil {
		return err
	}
	in.stamp, err = in.file.Stamp()
	return err
}

// data writes a part of the open content.
func (a *Applier) data(f *Frame, op *wire.Op) error {
	in := a.open
	if in == nil || op.Offset < in.end || op.Offset+op.Length > in.size ||
		op.Length%tree.LeafSize != 0 && op.Offset+op.Length != in.size {
		return fault.New(fault.PeerRejected, "data outside the open content")
	}
	in.end = op.Offset + op.Length
	i := len(f.results)
	f.results = append(f.results, result{offset: op.Offset})
	a.mu.Lock()
	in.writes++
	a.mu.Unlock()
	data, offset, length := op.Data, op.Offset, op.Length
	if op.Kind == wire.OpZero {
		f.results[i].zero = length
		f.tasks = append(f.tasks, func() error {
			defer a.written(in)
			if in.overlay {
				return nil
			}
			return in.file.Zero(offset, length, in.keep)
		})
		return nil
	}
	f.tasks = append(f.tasks, func() error {
		defer a.written(in)
		f.results[i].rows = tree.Leaves(nil, data)
		return in.file.WriteAt(data, offset)
	})
	return nil
}

// complete ends the open content.
func (a *Applier) complete(f *Frame, op *wire.Op) error {
	in := a.open
	a.open = nil
	a.o.Count.Changed.Add(1)
	if op.Entry.Size != in.size {
		return fault.At(fault.PeerRejected, in.path, nil, "its size differs from the announced size")
	}
	rec := &index.Record{Entry: op.Entry, Staged: in.place.Staged, Patch: in.overlay}
	f.results = append(f.results, result{record: rec, closes: in})
	f.tasks = append(f.tasks, func() error {
		if err := a.finish(in); err != nil {
			return err
		}
		defer in.file.Close()
		if in.overlay {
			var err error
			rec.Stamp, err = in.file.Stamp()
			return err
		}
		n, err := in.file.Describe(&rec.Entry)
		return settle(rec, n, err)
	})
	return nil
}
