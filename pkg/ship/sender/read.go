// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// outcome is what came of a job.
type outcome struct {
	cost    int64
	frames  []body
	records []recorded
	piece   *pieceOutcome
}

// body is a frame without its number.
type body struct {
	frame []byte
	// back is the buffer that frame is in, to be given to from afterwards.
	back           []byte
	from           *pipe.Buffers
	bytes, entries int64
}

// free gives the frame's memory back.
func (b *body) free() {
	if b.from != nil {
		b.from.Put(b.back)
	}
	b.frame, b.back, b.from = nil, nil, nil
}

// recorded is one entry of the sync, as it goes into the sender's index.
type recorded struct {
	r index.Record
	// from is where leaf digests that are kept can be read.
	from index.Rows
}

type pieceOutcome struct {
	*piece
	rows []byte
	data *body // the operations, when there are any
}

// reader carries out jobs. Each worker has its own.
type reader struct {
	p      *Sync
	packer wire.Packer
	raw    []byte // operations behind wire.FrameRoom bytes
	back   []byte // the buffer that raw is in
	buf    []byte
	ranges []changedRange
}

// begin makes room for the operations of a frame.
func (r *reader) begin() {
	if r.back == nil {
		r.back = r.p.frameBufs.Get()
	}
	r.raw = r.back[:wire.FrameRoom]
}

// end gives back what the next frame was to be in.
func (r *reader) end() {
	if r.back != nil {
		r.p.frameBufs.Put(r.back)
	}
	r.raw, r.back = nil, nil
}

func (r *reader) do(_ context.Context, j job) (outcome, error) {
	out := outcome{cost: j.cost}
	var err error
	if j.piece != nil {
		out.piece, err = r.piece(j.piece)
		return out, err
	}
	r.begin()
	defer r.end()
	out.records = r.p.spare.recorded()
	var bytes, entries int64
	flush := func() {
		if len(r.raw) > wire.FrameRoom {
			out.frames = append(out.frames, r.pack(bytes, entries))
			bytes, entries = 0, 0
		}
	}
	for i := range j.entries {
		before := len(r.raw)
		rec, n, err := r.entry(&j.entries[i])
		if err != nil {
			return out, err
		}
		if len(r.raw) > before {
			bytes, entries = bytes+n, entries+1
		}
		if rec != nil {
			out.records = append(out.records, *rec)
		}
		if len(r.raw) >= wire.TargetRaw {
			flush()
		}
	}
	flush()
	r.p.spare.planned.Put(&j.entries)
	return out, nil
}

// SmallFrame is the size up to which a frame is copied rather than to keep a whole buffer for it.
const SmallFrame = 64 << 10

// pack makes a frame of r.raw, and begins the next one.
func (r *reader) pack(bytes, entries int64) body {
	out := body{bytes: bytes, entries: entries}
	defer r.begin()
	switch {
	case r.p.compressing():
		out.from, out.back = r.p.frameBufs, r.p.frameBufs.Get()
		out.frame = r.packer.Seal(out.back[:0], r.raw[wire.FrameRoom:])
		r.p.poor.Store(len(out.frame) > len(r.raw)-len(r.raw)/20)
		if len(out.frame) <= SmallFrame {
			kept := slices.Clone(out.frame)
			out.free()
			out.frame = kept
		}
	case len(r.raw) <= SmallFrame:
		out.frame = slices.Clone(r.raw)
		wire.SealStored(out.frame)
	default:
		out.frame = r.raw
		wire.SealStored(out.frame)
		if cap(r.raw) == cap(r.back) { // it did not outgrow its buffer
			out.from, out.back = r.p.frameBufs, r.back
			r.back = nil
		}
	}
	return out
}

// entry describes one path and appends the operation it takes, if any; bytes is the
// content in it. A nil record means that the path vanished.
func (r *reader) entry(e *planned) (_ *recorded, bytes int64, err error) {
	if e.node == nil {
		r.op(&wire.Op{Kind: wire.OpDelete, Path: e.path})
		return nil, 0, nil
	}
	rec := &recorded{}
	var data []byte
	if e.isKnown {
		rec.r, rec.from = e.known, e.known.Rows
		rec.r.Stamp = e.node.Stamp
	} else {
		rec.r = index.Record{Entry: e.node.Entry, Stamp: e.node.Stamp}
		if data, err = r.describe(e, &rec.r); err != nil || rec.r.Entry.Kind == 0 {
			return nil, 0, err
		}
	}
	rec.r.Rows, rec.r.Staged, rec.r.Patch = index.Rows{}, 0, false
	entry := &rec.r.Entry
	if err := r.p.allowed(entry); err != nil {
		return nil, 0, err
	}
	if e.inBase && e.base.Is(entry) {
		return rec, 0, nil
	}
	op := wire.Op{Kind: wire.OpPut, Entry: *entry}
	if entry.Kind == tree.File && !(e.inBase && !e.base.Partial && e.base.Entry.Kind == tree.File && e.base.Entry.Content == entry.Content) {
		if data == nil {
			if data, err = r.reread(e, entry); err != nil || data == nil {
				return nil, 0, err
			}
		}
		op.Content, op.Data = wire.ContentInline, data
	}
	r.op(&op)
	return rec, int64(len(op.Data)), nil
}

func (r *reader) op(op *wire.Op) {
	r.raw = wire.AppendOp(r.raw, op)
	r.p.o.Count.Changed.Add(1)
}

// describe completes a record by looking closer at its node, reading a small file whole.
// Kind 0 afterwards means that it vanished.
func (r *reader) describe(e *planned, rec *index.Record) (data []byte, err error) {
	switch e.node.Kind {
	case tree.Hardlink:
		return nil, nil
	case tree.File:
		data, err = r.small(e.node, rec)
	default:
		n := *e.node
		err = r.p.o.Source.Details(&n)
		rec.Entry = n.Entry
	}
	if moved, ok := errors.AsType[*fsread.ChangedError](err); ok {
		rec.Entry.Kind = 0
		return nil, r.p.moved(moved.Path)
	}
	return data, err
}

// small reads a file of at most manifest.InlineLimit bytes.
func (r *reader) small(n *fsread.Node, rec *index.Record) ([]byte, error) {
	c, err := r.openListed(n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if int64(cap(r.buf)) < n.Size {
		r.buf = fsread.AlignedBuffer(index.InlineLimit)
	}
	data := r.buf[:n.Size]
	got, readErr := 0, c.Details(n)
	if readErr == nil {
		if got, readErr = c.ReadAt(data, 0); errors.Is(readErr, io.EOF) {
			readErr = nil
		}
	}
	r.p.o.Count.Read.Add(int64(got))
	clear(data[got:])
	after, err := c.Node()
	if err != nil {
		return nil, err
	}
	if after.Stamp.Ino != n.Stamp.Ino || after.Kind != n.Kind {
		return nil, &fsread.ChangedError{Path: n.Path} // what was read is something else
	}
	if readErr != nil {
		return nil, readErr
	}
	rec.Entry, rec.Stamp = n.Entry, n.Stamp
	rec.Entry.Content = tree.Content(n.Size, tree.Leaves(nil, data))
	if got < len(data) || !still(n, &after) || after.Size != n.Size {
		rec.Stamp.Settled = false
		if err := r.p.moved(n.Path); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// openListed opens a file without looking at its inode, which small does afterwards.
func (r *reader) openListed(n *fsread.Node) (fsread.Content, error) {
	if o, ok := r.p.o.Source.(fsread.ListedOpener); ok {
		return o.OpenListed(n)
	}
	return r.p.o.Source.Open(n)
}

// reread reads a file whose content is known but not in the base. It must still be that.
func (r *reader) reread(e *planned, entry *tree.Entry) ([]byte, error) {
	rec := index.Record{}
	data, err := r.describe(e, &rec)
	if err != nil || rec.Entry.Kind == 0 {
		return nil, err
	}
	if rec.Entry.Content != entry.Content {
		return nil, fault.At(fault.Internal, e.path, nil, "content changed without its timestamps; delete the state and run again")
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// piece reads a part of a large content, and makes operations of what differs from the base.
func (r *reader) piece(p *piece) (*pieceOutcome, error) {
	c := p.c
	c.once.Do(func() { c.begin(r.p) })
	out := &pieceOutcome{piece: p}
	if moved, ok := errors.AsType[*fsread.ChangedError](c.err); ok {
		if !p.first {
			return out, nil
		}
		return out, r.p.moved(moved.Path)
	}
	if c.err != nil {
		return nil, c.err
	}
	if err := r.readPiece(out); err != nil {
		return nil, err
	}
	if c.left.Add(-1) == 0 {
		return out, c.end(r.p)
	}
	return out, nil
}

func (c *content) begin(p *Sync) {
	c.node = *c.planned.node
	if c.open, c.err = p.o.Source.Open(&c.node); c.err != nil {
		return
	}
	p.keepOpen(c.open)
	c.err = c.open.Details(&c.node)
}

// still reports whether two stats of an inode are equal.
func still(a, b *fsread.Node) bool {
	return a.Stamp.Ino == b.Stamp.Ino && a.Stamp.CTime == b.Stamp.CTime && a.Stamp.BTime == b.Stamp.BTime
}

// end looks at the inode again after everything was read.
func (c *content) end(p *Sync) error {
	after, err := c.open.Node()
	if err == nil && (!still(&c.node, &after) || after.Size != c.size) {
		c.moved.Store(true)
	}
	p.closed(c.open)
	if closeErr := c.open.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (r *reader) readPiece(out *pieceOutcome) error {
	p, c := out.piece, out.piece.c
	whole := r.p.pieceBufs.Get()
	defer func() {
		if whole != nil {
			r.p.pieceBufs.Put(whole)
		}
	}()
	data := whole[pieceRoom : pieceRoom+p.length]
	short, err := r.fill(c, data, p.offset)
	if err != nil {
		return err
	}
	if short {
		c.moved.Store(true)
	}
	out.rows = tree.Leaves(make([]byte, 0, tree.LeafCount(p.length)*tree.LeafDigestSize), data)
	old, err := r.oldRows(c, p)
	if err != nil {
		return err
	}
	fresh := !c.patch && c.planned.node.Kind != tree.Image
	ranges := differences(r.ranges[:0], out.rows, old, len(data), fresh)
	r.ranges = ranges
	if len(ranges) == 0 {
		return nil
	}
	if len(ranges) == 1 && ranges[0].kind == wire.OpData && len(data) > SmallFrame && !r.p.compressing() {
		// All of it in one operation: it goes out of the memory it was read into.
		op := wire.Op{Kind: wire.OpData, Offset: p.offset + int64(ranges[0].start), Data: data[ranges[0].start:ranges[0].stop]}
		var head [64]byte
		front := wire.AppendDataHead(head[:0], &op)
		at := pieceRoom + ranges[0].start - len(front) - wire.FrameRoom
		out.data = &body{frame: whole[at : pieceRoom+ranges[0].stop], back: whole, from: r.p.pieceBufs, bytes: int64(len(op.Data))}
		copy(out.data.frame[wire.FrameRoom:], front)
		wire.SealStored(out.data.frame)
		whole = nil
		return nil
	}
	r.begin()
	defer r.end()
	var sent int64
	for _, d := range ranges {
		op := wire.Op{Kind: d.kind, Offset: p.offset + int64(d.start), Length: int64(d.stop - d.start)}
		if d.kind == wire.OpData {
			op.Data = data[d.start:d.stop]
			sent += op.Length
		}
		r.raw = wire.AppendOp(r.raw, &op)
	}
	b := r.pack(sent, 0)
	out.data = &b
	return nil
}

// pieceRoom is the room in front of a piece for the heads of its frame; it keeps the piece
// aligned.
const pieceRoom = 4096

// changedRange is a part of a piece that is not as the base has it.
type changedRange struct {
	kind        wire.OpKind
	start, stop int
}

// fill reads data at off, leaving out holes. short means the file has become shorter.
func (r *reader) fill(c *content, data []byte, off int64) (short bool, err error) {
	end := off + int64(len(data))
	at := off
	for at < end {
		start, stop, err := c.open.NextData(at)
		if err != nil {
			return false, err
		}
		start, stop = min(start, end), min(stop, end)
		clear(data[at-off : start-off])
		if start == end {
			break
		}
		if start == stop { // nothing is left: it ends before the piece does
			clear(data[start-off:])
			return true, nil
		}
		r.p.reading <- struct{}{}
		n, err := c.open.ReadAt(data[start-off:stop-off], start)
		<-r.p.reading
		r.p.o.Count.Read.Add(int64(n))
		if errors.Is(err, io.EOF) {
			clear(data[start-off+int64(n):])
			return true, nil
		}
		if err != nil {
			return false, err
		}
		at = stop
	}
	return false, nil
}

// oldRows reads the base's leaf digests of p; nil means the base has none there.
func (r *reader) oldRows(c *content, p *piece) ([]byte, error) {
	if !c.patch {
		return nil, nil
	}
	first := p.offset / tree.LeafSize
	n := min(tree.LeafCount(p.length), c.base.Leaves()-first)
	if n <= 0 {
		return nil, nil
	}
	old := make([]byte, n*tree.LeafDigestSize)
	return old, r.p.o.Store.ReadRows(c.base.Rows, first, old)
}

// differences appends the ranges of leaves that are not as the base has them: data, and
// zeros, which only a fresh file has without writing. Neighbours share a range.
func differences(out []changedRange, rows, old []byte, size int, fresh bool) []changedRange {
	leaf := func(i int) []byte { return rows[i*tree.LeafDigestSize : (i+1)*tree.LeafDigestSize] }
	var zero tree.LeafDigest
	kind := func(i int) wire.OpKind {
		isZero := bytes.Equal(leaf(i), zero[:])
		at := i * tree.LeafDigestSize
		switch {
		case fresh && isZero:
			return 0
		case at < len(old) && bytes.Equal(leaf(i), old[at:at+tree.LeafDigestSize]):
			return 0
		case isZero:
			return wire.OpZero
		default:
			return wire.OpData
		}
	}
	n := len(rows) / tree.LeafDigestSize
	for i := 0; i < n; {
		k, from := kind(i), i
		for i < n && kind(i) == k {
			i++
		}
		if k != 0 {
			out = append(out, changedRange{k, from * tree.LeafSize, min(i*tree.LeafSize, size)})
		}
	}
	return out
}
