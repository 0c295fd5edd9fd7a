// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/manifest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/scan"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

const (
	// readers read and describe in parallel; most of the time they wait for the disk.
	readers = 24
	// jobs is how many of them may be under way.
	jobs = 256
	// sendMemory bounds what jobs and frames take.
	sendMemory = 64 << 20
	// queued is how many frames may wait for a connection.
	queued = 16
	// frameBuffer holds a frame with the last entry that fits no more.
	frameBuffer = wire.TargetRaw + manifest.InlineLimit + 64<<10
)

// pass reads the source once and turns it into frames and into a manifest.
type pass struct {
	view  View
	store *manifest.Store
	o     SendOptions
	count *counters

	budget *pipe.Budget
	spare  spares
	// frameBufs are for frames, pieceBufs for pieces with room in front of them.
	frameBufs, pieceBufs *pipe.Buffers
	mask                 tree.Mask
	// trusting: settled stamps are believed.
	trusting bool
	// frames goes to the connections.
	frames chan outFrame
	// report tells the session.
	report func(session.Input)

	probe atomic.Uint64
	poor  atomic.Bool // compression did not pay when last tried
	// narrow: it is the network that frames wait for.
	narrow atomic.Bool

	mu   sync.Mutex
	open map[scan.Content]struct{}

	// Only for the consumer:
	seq    uint64
	root   *tree.Root
	record *manifest.Writer
}

// outFrame is a frame on its way to a connection, and the memory to give back afterwards.
type outFrame struct {
	body
	release int64
}

func (p *pass) allowed(e *tree.Entry) error {
	if p.o.SpecialFiles == Preserve {
		return nil
	}
	if what := tree.Special(e); what != "" {
		return fault.At(fault.SpecialFileRefused, e.Path, nil, "it is "+what+", and the policy refuses those")
	}
	return nil
}

// moved counts an entry that changed under the reader, or fails when the view promised to
// stand still.
func (p *pass) moved(path string) error {
	if !p.view.Info().Live {
		return fault.At(fault.SourceMoved, path, nil, "it changed while it was read, though the view should stand still")
	}
	p.count.move(path)
	return nil
}

// compressing says whether the next frame is worth compressing: when frames wait because the
// network is slow, and where it paid when it was last tried. One frame in sixteen is tried all
// the same.
func (p *pass) compressing() bool {
	if !p.narrow.Load() || len(p.frames) == 0 {
		return false
	}
	return !p.poor.Load() || p.probe.Add(1)%16 == 0
}

func (p *pass) keepOpen(c scan.Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = struct{}{}
}

func (p *pass) closed(c scan.Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (p *pass) closeOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

// run reads everything, and returns how the log ends. base is what the target has, memory
// what earlier passes knew, nil when that is what in base is our own copy; both are closed.
func (p *pass) run(ctx context.Context, base, memory manifest.Iterator) (wire.Done, error) {
	defer p.closeOpen()
	walker := scan.Walk(ctx, p.view, scan.NewLinks(p.store.Dir()))
	l := &planner{p: p, walker: walker, base: manifest.NewCursor(base)}
	if memory != nil {
		l.memory = manifest.NewCursor(memory)
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
	return wire.Done{Last: p.seq, Entries: p.root.Count(), Digest: p.root.Sum(), Promote: !p.o.Precopy && p.count.moved.Load() == 0}, nil
}

func (l *planner) close() {
	_ = l.walker.Close()
	_ = l.base.Close()
	if l.memory != nil {
		_ = l.memory.Close()
	}
}

// consume takes the outcomes in path order.
func (p *pass) consume(ctx context.Context, out outcome) error {
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

func (p *pass) send(ctx context.Context, b body, release int64) error {
	p.seq++
	wire.Number(b.frame, p.seq)
	f := outFrame{body: b, release: release}
	p.count.sent.Add(b.bytes)
	select {
	case p.frames <- f:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.report(session.Queued{Seq: p.seq, Bytes: b.bytes, Entries: b.entries})
	return nil
}

func (p *pass) sendOp(ctx context.Context, op *wire.Op) error {
	frame := wire.AppendOp(make([]byte, wire.FrameRoom), op)
	wire.SealStored(frame)
	return p.send(ctx, body{frame: frame, entries: 1}, 0)
}

// remember puts an entry into the digest and the manifest.
func (p *pass) remember(rec *recorded) error {
	p.root.Add(&rec.r.Entry)
	if rec.from.Run != 0 {
		rec.r.Rows = p.record.Rows()
		if err := copyRows(p.store, p.record, rec.from, tree.LeafCount(rec.r.Entry.Size)); err != nil {
			return err
		}
	}
	return p.record.Add(&rec.r)
}

// copyRows appends n leaf digests to w.
func copyRows(store *manifest.Store, w *manifest.Writer, from manifest.Rows, n int64) error {
	const step = 4096 // leaves
	buf := make([]byte, min(n, step)*tree.LeafDigestSize)
	for first := int64(0); first < n; first += step {
		part := buf[:min(step, n-first)*tree.LeafDigestSize]
		if err := store.ReadRows(from, first, part); err != nil {
			return err
		}
		if err := w.AddRows(part); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) beginPiece(ctx context.Context, o *pieceOutcome) error {
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
func (p *pass) beginContent(ctx context.Context, c *content) error {
	if c.opened {
		return nil
	}
	c.opened = true
	return p.sendOp(ctx, &wire.Op{Kind: wire.OpOpen, Path: c.path, Size: c.size, Patch: c.patch, Allocated: c.node.Allocated})
}

// endContent puts the entry of a large content into log, digest and manifest.
func (p *pass) endContent(ctx context.Context, c *content) error {
	rec := recorded{r: manifest.Record{Entry: c.node.Entry, Stamp: c.node.Stamp, Rows: c.rows}}
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
	if !c.opened && c.inBase && same(&c.base, e) {
		return p.remember(&rec)
	}
	op := wire.Op{Kind: wire.OpPut, Entry: *e, Content: wire.ContentKept}
	if c.opened || !c.inBase || c.base.Partial || c.base.Entry.Kind != e.Kind || c.base.Entry.Content != e.Content {
		op.Content = wire.ContentOpen
		if err := p.beginContent(ctx, c); err != nil {
			return err
		}
	}
	p.count.changed.Add(1)
	if err := p.sendOp(ctx, &op); err != nil {
		return err
	}
	return p.remember(&rec)
}
