// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package sender reads the source for one sync: it joins a walk of the source with the entries of
// the target, reads what may differ in parallel, and writes frames numbered in path order, and the
// index of what was read.
//
// The planner joins the walk with the base and with the index of earlier syncs, and cuts the
// result into jobs; readers execute them; the consumer takes the results in order again, so
// that numbers, digest and index are those of a single reader. A large content is read in
// pieces, each a job of its own. One budget bounds what all of them hold.
package sender

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

const (
	// readers read and describe in parallel; most of the time they wait for the disk.
	readers = 24
	// jobs is how many of them may be under way.
	jobs = 256
	// largeReads are under way at a time. Through the page cache more of them spoil its reading
	// ahead (decision 0004); past it there was no difference, and 8 MiB keep a fast disk busy.
	largeReads = 8
	// memory bounds what jobs and frames take, in bytes.
	memory = 64 << 20
	// queued is how many frames may wait for a connection.
	queued = 16
	// FrameBuffer is the size of a buffer that holds any frame of a sync, with the last entry that
	// fits no more.
	FrameBuffer = wire.TargetRaw + index.InlineLimit + 64<<10
)

// Options of a sync. All of them are needed but the booleans.
type Options struct {
	Source fsread.Source
	Store  *index.Store
	// Mask is what is left out.
	Mask tree.Mask
	// Preserve ships special files; otherwise the first one is an error.
	Preserve bool
	// Precopy: the sync is not to be verified.
	Precopy bool
	// ReadAll reads every content, regardless of its timestamps.
	ReadAll bool
	Count   *count.Counters
	// Queued is called for each frame, in order, from one goroutine.
	Queued func(session.Queued)
}

// Sync reads the source once and turns it into frames and into a manifest.
type Sync struct {
	o      Options
	budget *pipe.Budget
	spare  spares
	// frameBufs are for frames, pieceBufs for pieces with room in front of them.
	frameBufs, pieceBufs *pipe.Buffers
	// trusting: settled timestamps are trusted.
	trusting bool
	// frames goes to the connections.
	frames chan Frame
	// reading has a place for each large read.
	reading chan struct{}

	probe atomic.Uint64
	poor  atomic.Bool // compression did not pay when last tried
	// narrow: it is the network that frames wait for.
	narrow atomic.Bool

	mu   sync.Mutex
	open map[fsread.Content]struct{}

	// Only for the consumer:
	seq    uint64
	root   *tree.Root
	record *index.Writer
}

// New prepares a sync, and the run of the store that its index is written to.
func New(o Options) (*Sync, error) {
	info := o.Source.Info()
	record, err := o.Store.NewRun()
	if err != nil {
		return nil, err
	}
	return &Sync{
		o: o, budget: pipe.NewBudget(memory), record: record, root: tree.NewRoot(o.Mask),
		trusting: !o.ReadAll && (o.Precopy || info.Trusted && info.ChangeDetection == fsread.ByTimestamps), frames: make(chan Frame, queued), reading: make(chan struct{}, largeReads), open: map[fsread.Content]struct{}{},
		frameBufs: pipe.NewBuffers(readers+queued, func() []byte { return make([]byte, FrameBuffer) }),
		pieceBufs: pipe.NewBuffers(readers+queued, func() []byte { return fsread.AlignedBuffer(pieceRoom + pieceSize) }),
	}, nil
}

// Frames are for the connections, any of them, until Run has ended.
func (p *Sync) Frames() <-chan Frame { return p.frames }

// Waiting is how many frames no connection has taken yet.
func (p *Sync) Waiting() int { return len(p.frames) }

// Narrow reports whether it is the network that frames wait for: then they are compressed.
func (p *Sync) Narrow(is bool) { p.narrow.Store(is) }

// Manifest is the index that Run has read, complete when it has ended without an error.
func (p *Sync) Manifest() *index.Writer { return p.record }

// Digest is that of the tree that Run has read.
func (p *Sync) Digest() tree.Digest { return p.root.Sum() }

// Last is the number of the last frame; 0 when nothing had to be sent.
func (p *Sync) Last() uint64 { return p.seq }

// Frame is a frame on its way to a connection.
type Frame struct {
	body
	pass    *Sync
	release int64
}

// Bytes is the frame as it goes over the wire, until Done.
func (f *Frame) Bytes() []byte { return f.frame }

// Done gives the frame's memory back.
func (f *Frame) Done() {
	f.free()
	f.pass.budget.Release(f.release)
}

func (p *Sync) allowed(e *tree.Entry) error {
	if p.o.Preserve {
		return nil
	}
	if what := tree.Special(e); what != "" {
		return fault.At(fault.SpecialFileRefused, e.Path, nil, "it is "+what+", which the policy refuses")
	}
	return nil
}

// moved counts an entry that changed under the reader, or fails when the view promised to
// stand still.
func (p *Sync) moved(path string) error {
	if !p.o.Source.Info().Live {
		return fault.At(fault.SourceChanged, path, nil, "changed during read, in a source that must not change")
	}
	p.o.Count.AddChangedDuringRead(path)
	return nil
}

// compressing reports whether the next frame is to be compressed: when frames wait because the
// network is slow, and where it paid when it was last tried. One frame in sixteen is tried all
// the same.
func (p *Sync) compressing() bool {
	if !p.narrow.Load() || len(p.frames) == 0 {
		return false
	}
	return !p.poor.Load() || p.probe.Add(1)%16 == 0
}

func (p *Sync) keepOpen(c fsread.Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = struct{}{}
}

func (p *Sync) closed(c fsread.Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (p *Sync) closeOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

// Run reads everything, and returns how the log ends. base is what the target has, known what
// earlier syncs knew, nil when that is what in base is our own copy; both are closed.
func (p *Sync) Run(ctx context.Context, base, known index.Iterator) (wire.Done, error) {
	defer close(p.frames)
	defer p.closeOpen()
	walker := fsread.Walk(ctx, p.o.Source, fsread.NewLinks(p.o.Store.Dir()))
	l := &planner{p: p, walker: walker, base: index.NewCursor(base)}
	if known != nil {
		l.memory = index.NewCursor(known)
	}
	defer l.close()
	var workers sync.Pool
	workers.New = func() any { return &reader{p: p} }
	err := pipe.Ordered(ctx, readers, jobs, l.run,
		func(ctx context.Context, j job) (outcome, error) {
			r := workers.Get().(*reader)
			defer workers.Put(r)
			return r.do(ctx, j)
		},
		func(out outcome) error { return p.consume(ctx, out) })
	if err != nil {
		return wire.Done{}, err
	}
	return wire.Done{Last: p.seq, Entries: p.root.Count(), Digest: p.root.Sum(), Verify: !p.o.Precopy && p.o.Count.ChangedDuringRead() == 0}, nil
}

func (l *planner) close() {
	_ = l.walker.Close()
	_ = l.base.Close()
	if l.memory != nil {
		_ = l.memory.Close()
	}
}

// consume takes the outcomes in path order.
func (p *Sync) consume(ctx context.Context, out outcome) error {
	left := out.cost
	frames := out.frames
	if out.piece != nil && out.piece.data != nil {
		frames = append(frames, *out.piece.data)
	}
	if c := out.piece; c != nil && c.c.open != nil {
		if err := p.beginPiece(ctx, c); err != nil {
			return err
		}
	}
	for i, f := range frames {
		share := int64(0)
		if i == len(frames)-1 {
			share = left
			left = 0
		}
		if err := p.send(ctx, f, share); err != nil {
			return err
		}
	}
	if left > 0 {
		p.budget.Release(left)
	}
	for i := range out.records {
		if err := p.remember(&out.records[i]); err != nil {
			return err
		}
	}
	if out.records != nil {
		p.spare.records.Put(&out.records)
	}
	if c := out.piece; c != nil && c.last && c.c.open != nil {
		return p.endContent(ctx, c.c)
	}
	return nil
}

func (p *Sync) send(ctx context.Context, b body, release int64) error {
	p.seq++
	wire.Number(b.frame, p.seq)
	f := Frame{body: b, pass: p, release: release}
	p.o.Count.Sent.Add(b.bytes)
	select {
	case p.frames <- f:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.o.Queued(session.Queued{Seq: p.seq, Bytes: b.bytes, Entries: b.entries})
	return nil
}

func (p *Sync) sendOp(ctx context.Context, op *wire.Op) error {
	frame := wire.AppendOp(make([]byte, wire.FrameRoom), op)
	wire.SealStored(frame)
	return p.send(ctx, body{frame: frame, entries: 1}, 0)
}

// remember puts an entry into the digest and the manifest.
func (p *Sync) remember(rec *recorded) error {
	p.root.Add(&rec.r.Entry)
	if rec.from.Run != 0 {
		rec.r.Rows = p.record.Rows()
		if err := p.o.Store.CopyRows(p.record, rec.from, tree.LeafCount(rec.r.Entry.Size)); err != nil {
			return err
		}
	}
	return p.record.Add(&rec.r)
}

func (p *Sync) beginPiece(ctx context.Context, o *pieceOutcome) error {
	c := o.c
	if o.first {
		c.hash, c.rows = tree.NewContent(c.size), p.record.Rows()
	}
	c.hash.Add(o.rows)
	if err := p.record.AddRows(o.rows); err != nil {
		return err
	}
	if o.data != nil {
		return p.beginContent(ctx, c)
	}
	return nil
}

// beginContent puts the opening of a content into the log, once.
func (p *Sync) beginContent(ctx context.Context, c *content) error {
	if c.opened {
		return nil
	}
	c.opened = true
	return p.sendOp(ctx, &wire.Op{Kind: wire.OpOpen, Path: c.path, Size: c.size, Patch: c.patch, Allocated: c.node.Allocated})
}

// endContent puts the entry of a large content into log, digest and index.
func (p *Sync) endContent(ctx context.Context, c *content) error {
	rec := recorded{r: index.Record{Entry: c.node.Entry, Stamp: c.node.Stamp, Rows: c.rows}}
	e := &rec.r.Entry
	e.Size, e.Content = c.size, c.hash.Sum()
	if c.moved.Load() {
		rec.r.Stamp.Settled = false
		if err := p.moved(c.path); err != nil {
			return err
		}
	}
	if err := p.allowed(e); err != nil {
		return err
	}
	if !c.opened && c.inBase && c.base.Is(e) {
		return p.remember(&rec)
	}
	op := wire.Op{Kind: wire.OpPut, Entry: *e, Content: wire.ContentKept}
	if c.opened || !c.inBase || c.base.Partial || c.base.Entry.Kind != e.Kind || c.base.Entry.Content != e.Content {
		op.Content = wire.ContentOpen
		if err := p.beginContent(ctx, c); err != nil {
			return err
		}
	}
	p.o.Count.Changed.Add(1)
	if err := p.sendOp(ctx, &op); err != nil {
		return err
	}
	return p.remember(&rec)
}
