// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

func (a *Applier) remove(f *Frame, path string) error {
	if err := a.checkOrder(path, false); err != nil {
		return err
	}
	a.o.Count.Changed.Add(1)
	f.results = append(f.results, result{record: &index.Record{Entry: tree.Entry{Path: path}, Gone: true}})
	if a.o.InPlace {
		f.tasks = append(f.tasks, func() error { return a.target.Remove(path) })
	}
	return nil
}

func (a *Applier) directory(f *Frame, op *wire.Op, base index.Record) error {
	rec := &index.Record{Entry: op.Entry}
	f.results = append(f.results, result{record: rec})
	if !a.o.InPlace || base.Entry.Kind == tree.Dir {
		return nil
	}
	return a.target.Mkdir(op.Entry.Path)
}

func (a *Applier) link(f *Frame, op *wire.Op) error {
	rec := &index.Record{Entry: op.Entry}
	f.results = append(f.results, result{record: rec})
	if !a.o.InPlace {
		return nil
	}
	path, first, seq := op.Entry.Path, op.Entry.Link, f.Seq
	f.tasks = append(f.tasks, func() error {
		if err := a.after(seq); err != nil {
			return err
		}
		n, err := a.target.Link(path, first)
		rec.Stamp = n.Stamp
		return err
	})
	return nil
}

func (a *Applier) place(path string) fswrite.Place {
	if a.o.InPlace {
		return fswrite.Place{Path: path}
	}
	return fswrite.Place{Path: path, Staged: a.staged.Add(1)}
}

func (a *Applier) special(f *Frame, op *wire.Op) error {
	p := a.place(op.Entry.Path)
	rec := &index.Record{Entry: op.Entry, Staged: p.Staged}
	f.results = append(f.results, result{record: rec})
	f.tasks = append(f.tasks, func() error {
		n, err := a.target.Make(p, &rec.Entry)
		return settle(rec, n, err)
	})
	return nil
}

// settle takes into the record what the inode now is.
func settle(rec *index.Record, n fsread.Node, err error) error {
	if err != nil {
		return err
	}
	content, size, allocated := rec.Entry.Content, rec.Entry.Size, rec.Entry.Allocated
	rec.Entry, rec.Stamp = n.Entry, n.Stamp
	rec.Entry.Content, rec.Entry.Size, rec.Entry.Allocated = content, size, allocated
	return nil
}

// keep changes the description of a file that keeps its content.
func (a *Applier) keep(f *Frame, op *wire.Op, base index.Record) error {
	if base.Entry.Kind != tree.File || base.Partial || base.Entry.Content != op.Entry.Content || base.Entry.Size != op.Entry.Size {
		return fault.At(fault.PeerRejected, op.Entry.Path, nil, "keeps a content that the target does not have")
	}
	rec := &index.Record{Entry: op.Entry, Stamp: base.Stamp, Rows: base.Rows, Staged: base.Staged, Patch: base.Patch}
	f.results = append(f.results, result{record: rec})
	if a.o.InPlace {
		f.tasks = append(f.tasks, func() error {
			n, err := a.target.Describe(&rec.Entry)
			return settle(rec, n, err)
		})
	}
	return nil
}

// whole writes a file that came whole.
func (a *Applier) whole(f *Frame, op *wire.Op, base index.Record) error {
	p := a.place(op.Entry.Path)
	rec := &index.Record{Entry: op.Entry, Staged: p.Staged}
	f.results = append(f.results, result{record: rec})
	data, edit := op.Data, a.o.InPlace && base.Entry.Kind == tree.File
	f.tasks = append(f.tasks, func() error { return a.writeWhole(p, rec, data, edit) })
	return nil
}

func (a *Applier) writeWhole(p fswrite.Place, rec *index.Record, data []byte, edit bool) error {
	e := &rec.Entry
	if tree.Content(e.Size, tree.Leaves(nil, data)) != e.Content {
		return fault.At(fault.DigestMismatch, e.Path, nil, "content does not match its digest")
	}
	file, err := a.fresh(p, edit)
	if err != nil {
		return err
	}
	defer file.Close()
	// Only blocks of zeros need help: they are left out where the entry is not allocated.
	zeros := hasZeroBlock(data)
	if zeros && e.Allocated {
		if err := file.Resize(e.Size, true); err != nil {
			return err
		}
	}
	if err := file.WriteAt(data, 0); err != nil {
		return err
	}
	if zeros && !e.Allocated {
		if err := file.Resize(e.Size, false); err != nil {
			return err
		}
	}
	n, err := file.Describe(e)
	return settle(rec, n, err)
}

func hasZeroBlock(data []byte) bool {
	for len(data) > 0 {
		n := min(len(data), tree.BlockSize)
		if tree.IsZero(data[:n]) {
			return true
		}
		data = data[n:]
	}
	return false
}

// fresh gives an empty file: a new one, or, with edit, the one that is there.
func (a *Applier) fresh(p fswrite.Place, edit bool) (fswrite.File, error) {
	if !edit {
		return a.target.Create(p)
	}
	file, err := a.target.Edit(p)
	if err != nil {
		return nil, err
	}
	if err := file.Resize(0, false); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
