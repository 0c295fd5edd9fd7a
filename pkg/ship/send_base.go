// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// baseAhead is how many messages of the base may be queued.
const baseAhead = 8

// baseStream turns the messages of the target's base, as they arrive, into records.
type baseStream struct {
	ctx   context.Context
	slots chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	queue   []wire.Message
	ended   bool

	// Only for the reading goroutine:
	rows    *index.Writer // keeps the leaf digests
	room    int64         // how many more bytes of them are kept
	records []wire.BaseRecord
	through string
	began   bool
	last    bool
	path    string // of the previous record
	any     bool
}

// newBaseStream keeps at most room bytes of leaf digests in rows.
func newBaseStream(ctx context.Context, rows *index.Writer, room int64) *baseStream {
	b := &baseStream{ctx: ctx, slots: make(chan struct{}, baseAhead), rows: rows, room: room}
	b.changed.L = &b.mu
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
		b.changed.Broadcast()
	})
	return b
}

// admit waits until there is room for one more message.
func (b *baseStream) admit() error {
	select {
	case b.slots <- struct{}{}:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// feed queues a message that was admitted. It does not block.
func (b *baseStream) feed(m wire.Message) {
	b.mu.Lock()
	b.queue = append(b.queue, m)
	b.mu.Unlock()
	b.changed.Broadcast()
}

func (b *baseStream) next() (wire.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.ended {
		b.changed.Wait()
	}
	if len(b.queue) == 0 {
		return nil, context.Cause(b.ctx)
	}
	m := b.queue[0]
	b.queue = b.queue[1:]
	<-b.slots
	return m, nil
}

// head reports whether there is a next record whose path is limit or before it. With all there is no limit.
func (b *baseStream) head(limit string, all bool) (ok bool, err error) {
	for len(b.records) == 0 {
		if b.last || b.began && !all && b.through >= limit {
			return false, nil
		}
		m, err := b.next()
		if err != nil {
			return false, err
		}
		base, isBase := m.(wire.Base)
		if !isBase || b.last || b.began && !base.Last && base.Through < b.through {
			return false, fault.New(fault.PeerRejected, "the target sent %T in the middle of its base", m)
		}
		b.records, b.through, b.last, b.began = base.Records, base.Through, base.Last, true
	}
	return all || b.records[0].Entry.Path <= limit, nil
}

// take returns the record that head returned, with its leaf digests.
func (b *baseStream) take() (index.Record, error) {
	r := b.records[0]
	b.records = b.records[1:]
	if b.any && r.Entry.Path <= b.path {
		return index.Record{}, fault.New(fault.PeerRejected, "the target's base is not in order")
	}
	b.path, b.any = r.Entry.Path, true
	rec := index.Record{Entry: r.Entry, Gone: r.Gone, Partial: r.Partial, Known: r.Known}
	left := r.Leaves() * tree.LeafDigestSize
	if left == 0 {
		return rec, nil
	}
	if len(b.records) != 0 {
		return rec, fault.New(fault.PeerRejected, "the target's base has leaf digests in the middle of a message")
	}
	if r.Entry.Size > maxContent {
		return rec, fault.At(fault.PeerRejected, r.Entry.Path, nil, "the target describes a content larger than any filesystem holds")
	}
	keep := left <= b.room
	hash := tree.NewContent(r.Entry.Size)
	rec.Rows = b.rows.Rows()
	for left > 0 {
		m, err := b.next()
		if err != nil {
			return rec, err
		}
		rows, ok := m.(wire.BaseRows)
		if !ok || int64(len(rows.Rows)) > left {
			return rec, fault.New(fault.PeerRejected, "the target sent %T instead of leaf digests", m)
		}
		hash.Add(rows.Rows)
		if keep {
			if err := b.rows.AddRows(rows.Rows); err != nil {
				return rec, err
			}
			b.room -= int64(len(rows.Rows))
		}
		left -= int64(len(rows.Rows))
	}
	if !r.Partial && hash.Sum() != r.Entry.Content {
		return rec, fault.At(fault.PeerRejected, r.Entry.Path, nil, "the target's leaf digests do not match its content")
	}
	if !keep {
		// Without its digests the content is unknown: it is sent whole.
		rec.Rows, rec.Partial, rec.Known = index.Rows{}, true, 0
		return rec, nil
	}
	return rec, b.rows.FlushRows()
}

const (
	// maxContent is more than any filesystem holds in a file that can be digested, in bytes.
	maxContent = 1 << 50
	// minBaseRoom and maxBaseRoom bound the leaf digests of the target's base that are kept, in
	// bytes: of 64 GiB of content, and of 16 TiB.
	minBaseRoom = 64 << 20
	maxBaseRoom = 16 << 30
)

// baseRoom is how many bytes of leaf digests of the target's base are kept: what an image of
// the source's size needs, and otherwise no more than a quarter of what is free beside the
// state. A target may describe more than it has, to fill this end's disk.
func (x *sendSession) baseRoom() int64 {
	if info := x.source.Info(); info.Image {
		return max(minBaseRoom, tree.LeafCount(info.Size)*tree.LeafDigestSize)
	}
	return min(max(minBaseRoom, freeBytes(x.store.Dir())/4), maxBaseRoom)
}

// baseJoin is the target's base: this end's record of it, with the target's differences on top.
// It waits for the target only as far as it must.
type baseJoin struct {
	kept   *index.Cursor
	stream *baseStream
	hidden string
	hides  bool
}

func newBaseJoin(kept index.Iterator, stream *baseStream) index.Iterator {
	return index.Present(&baseJoin{kept: index.NewCursor(kept), stream: stream})
}

// Next returns the next record.
func (j *baseJoin) Next() (index.Record, error) {
	kept, ok, err := j.kept.Peek()
	for err == nil && ok && j.hides && tree.Inside(kept.Entry.Path, j.hidden) {
		j.kept.Skip()
		kept, ok, err = j.kept.Peek()
	}
	if err != nil {
		return index.Record{}, err
	}
	differs, err := j.stream.head(kept.Entry.Path, !ok)
	if err != nil {
		return index.Record{}, err
	}
	if !differs {
		if !ok {
			return index.Record{}, io.EOF
		}
		j.kept.Skip()
		r := *kept
		r.Kept = true
		return r, nil
	}
	r, err := j.stream.take()
	if err != nil {
		return index.Record{}, err
	}
	if ok && kept.Entry.Path == r.Entry.Path {
		j.kept.Skip()
	}
	if r.Gone || r.Entry.Kind != tree.Dir {
		j.hidden, j.hides = r.Entry.Path, true
	}
	return r, nil
}

// Close closes this end's record.
func (j *baseJoin) Close() error { return j.kept.Close() }

var errLost = errors.New("a connection to the other end broke")
