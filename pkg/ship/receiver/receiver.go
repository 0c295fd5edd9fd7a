// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package receiver carries out the operations of a pass on a target: frames come in order, and what
// they say is checked in order; the work is done in parallel. A Journal puts what came of it on
// record, in order again.
//
// What an operation needs of the target's present state it asks the survey's record, which may
// still be in the making: a frame waits until the survey has passed its paths. Only a content that
// was opened may go on over several frames, and nothing else comes in between.
package receiver

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// Workers write in parallel.
const Workers = 24

// backlog is how many frames may wait for a worker.
const backlog = 2048

// Options of an applier.
type Options struct {
	// InPlace: nothing on the target is to be protected. Otherwise it is staged.
	InPlace bool
	// Preserve takes special files; otherwise the first one is an error.
	Preserve bool
	// MaxSize bounds what the target may occupy, in bytes; 0 means its filesystem's size.
	MaxSize int64
	// Base is what the target has. It is closed with the applier.
	Base *verify.Record
	// Staged is the last number of a staged inode that an earlier session may have given.
	Staged uint64
	Count  *count.Counters
	// Fail is told what goes wrong, from any goroutine.
	Fail func(error)
}

// Applier carries out the operations of a pass: Dispatch in order, Work in parallel.
type Applier struct {
	target fswrite.Target
	o      Options
	staged atomic.Uint64 // last number of a staged inode
	got    atomic.Int64  // bytes of content so far

	// Only for the dispatcher:
	last  string // path of the last operation
	taken int64  // bytes of room for files with a block for every byte
	left  int64  // may still come before the target is looked at again
	any   bool
	open  *incoming

	work   chan *Frame
	mu     sync.Mutex // guards what follows
	wake   sync.Cond
	prefix uint64
	files  map[fswrite.File]struct{} // open contents
	over   error                     // why nothing goes on, when nothing does
}

// Frame is a frame being applied.
type Frame struct {
	Seq uint64
	// Done is called when everything in it was carried out. What it has to say to the Journal
	// stays in memory until it is there.
	Done func(*Frame)
	// Held is the caller's own: what that memory was counted as, in bytes.
	Held int64

	tasks   []func() error
	results []result
}

// resultSize is the memory of a result, its record and a path, in bytes, about.
const resultSize = 512

// Size is about how much memory the frame takes until the Journal has it, in bytes.
func (f *Frame) Size() int64 {
	n := int64(len(f.results)) * resultSize
	for i := range f.results {
		n += int64(len(f.results[i].rows))
	}
	return n
}

// result is what the journal must know of an operation: a record, or leaf digests of the
// content that was opened last.
type result struct {
	record *index.Record
	open   *incoming
	closes *incoming
	rows   []byte
	offset int64
	zero   int64
}

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

// New makes an applier for one session, which ends with ctx.
func New(ctx context.Context, target fswrite.Target, o Options) *Applier {
	a := &Applier{target: target, o: o, work: make(chan *Frame, backlog), files: map[fswrite.File]struct{}{}}
	a.staged.Store(o.Staged)
	a.wake.L = &a.mu
	context.AfterFunc(ctx, func() {
		a.mu.Lock()
		a.over = context.Cause(ctx)
		a.mu.Unlock()
		a.wake.Broadcast()
	})
	return a
}

// Got is how many bytes of content were dispatched.
func (a *Applier) Got() int64 { return a.got.Load() }

// Work applies frames until ctx ends.
func (a *Applier) Work(ctx context.Context) {
	for {
		select {
		case f := <-a.work:
			for _, task := range f.tasks {
				if err := task(); err != nil {
					a.o.Fail(err)
					return
				}
			}
			f.tasks = nil
			f.Done(f)
		case <-ctx.Done():
			return
		}
	}
}

// Reached tells that all frames up to seq are applied.
func (a *Applier) Reached(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prefix = seq
	a.wake.Broadcast()
}

// after waits until all frames before seq are applied.
func (a *Applier) after(seq uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.prefix+1 < seq && a.over == nil {
		a.wake.Wait()
	}
	if a.over != nil {
		return a.over
	}
	return nil
}

// written tells that a write to a content is over.
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

// Close closes the contents that were left open, and the base. Nothing works any more.
func (a *Applier) Close() {
	for f := range a.files {
		_ = f.Close()
	}
	_ = a.o.Base.Close()
}

// Dispatch begins to apply a frame. Frames must come in order.
func (a *Applier) Dispatch(f *Frame, ops []wire.Op) error {
	for i := range ops {
		if err := a.op(f, &ops[i]); err != nil {
			return err
		}
	}
	a.work <- f
	return nil
}

func (a *Applier) op(f *Frame, op *wire.Op) error {
	if got := a.got.Add(int64(len(op.Data))); a.o.MaxSize > 0 && got > a.o.MaxSize {
		return fault.New(fault.TargetFull, "the source has sent more than the target's capacity of %d bytes", a.o.MaxSize)
	}
	if err := a.admit(int64(len(op.Data))); err != nil {
		return err
	}
	switch op.Kind {
	case wire.OpData, wire.OpZero:
		return a.data(f, op)
	case wire.OpOpen:
		return a.begin(f, op)
	case wire.OpDelete:
		if err := a.turn(op.Path, false); err != nil {
			return err
		}
		return a.remove(f, op.Path)
	}
	if err := a.turn(op.Entry.Path, op.Content == wire.ContentOpen); err != nil {
		return err
	}
	if what := tree.Special(&op.Entry); what != "" && !a.o.Preserve {
		return fault.At(fault.SpecialFileRefused, op.Entry.Path, nil, "it is "+what+", and the policy of the target refuses those")
	}
	if err := a.target.Holds(&op.Entry); err != nil {
		return err
	}
	if op.Content == wire.ContentOpen {
		return a.complete(f, op)
	}
	base, ok, err := a.o.Base.Find(op.Entry.Path)
	if err != nil {
		return err
	}
	if !ok {
		base = index.Record{}
	}
	a.o.Count.Changed.Add(1)
	switch {
	case op.Entry.Kind == tree.Image:
		return fault.New(fault.PeerProtocol, "an image without content")
	case op.Entry.Kind == tree.Dir:
		return a.directory(f, op, base)
	case op.Entry.Kind == tree.Hardlink:
		return a.link(f, op)
	case op.Entry.Kind != tree.File:
		return a.special(f, op)
	case op.Content == wire.ContentKept:
		return a.keep(f, op, base)
	default:
		return a.whole(f, op, base)
	}
}

// leastRoom is what may come between two looks at the target, as a part of its
// capacity: a full one is not walked for every file that is written anew.
const leastRoom = 64

// admit keeps what stands on the target, what is staged beside it and what this and
// earlier sessions brought within the capacity, where the filesystem does not. What is
// being written at the moment is not seen.
func (a *Applier) admit(n int64) error {
	if a.o.MaxSize <= 0 || n == 0 {
		return nil
	}
	if a.left -= n; a.left >= 0 {
		return nil
	}
	used, bounded, err := a.target.Usage(a.o.MaxSize)
	if err != nil {
		return err
	}
	switch {
	case bounded:
		a.left = math.MaxInt64
	case used > a.o.MaxSize:
		return fault.New(fault.TargetFull, "the target holds %d bytes, more than its capacity of %d", used, a.o.MaxSize)
	default:
		a.left = max(a.o.MaxSize-used, a.o.MaxSize/leastRoom)
	}
	return nil
}

// turn checks that paths ascend, and that nothing comes between the operations of a content.
func (a *Applier) turn(path string, closes bool) error {
	if closes {
		if a.open == nil || a.open.path != path {
			return fault.At(fault.PeerProtocol, path, nil, "a content ends that was not opened")
		}
		return nil
	}
	if a.open != nil || a.any && path <= a.last {
		return fault.At(fault.PeerProtocol, path, nil, "an operation out of order")
	}
	a.last, a.any = path, true
	return nil
}

func (a *Applier) remove(f *Frame, path string) error {
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
		return fault.At(fault.PeerProtocol, op.Entry.Path, nil, "it should keep a content that it does not have")
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
		return fault.At(fault.DigestMismatch, e.Path, nil, "its content is not what was announced")
	}
	file, err := a.fresh(p, edit)
	if err != nil {
		return err
	}
	defer file.Close()
	// Only blocks of zeros need help: they are left out where nothing else is said.
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

// begin opens a large content.
func (a *Applier) begin(f *Frame, op *wire.Op) error {
	if err := a.turn(op.Path, false); err != nil {
		return err
	}
	base, ok, err := a.o.Base.Find(op.Path)
	if err != nil {
		return err
	}
	if !ok {
		base = index.Record{}
	}
	in := &incoming{
		path: op.Path, size: op.Size, base: base, patch: op.Patch, keep: op.Allocated,
		fresh: !op.Patch && !a.target.Image(), image: a.target.Image(),
	}
	if in.patch && base.Leaves() == 0 {
		return fault.At(fault.PeerProtocol, op.Path, nil, "it should be patched, but there is nothing to patch")
	}
	if a.o.MaxSize > 0 && op.Allocated {
		// Room is taken for it before a byte of it comes.
		if a.taken += min(op.Size, a.o.MaxSize+1); a.taken > a.o.MaxSize {
			return fault.At(fault.TargetFull, op.Path, nil, "with it, the room that files take exceeds the target's capacity")
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
		return fault.New(fault.PeerProtocol, "data outside the open content")
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
		return fault.At(fault.PeerProtocol, in.path, nil, "its size changed on the way")
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
