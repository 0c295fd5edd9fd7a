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

// baseAhead is how many messages of the base may wait to be used.
const baseAhead = 8

// baseStream takes the differences of the target's base as they come from the other end,
// and gives them as records.
type baseStream struct {
	ctx   context.Context
	slots chan struct{}

	mu    sync.Mutex
	wake  sync.Cond
	queue []wire.Message
	ended bool

	// Only for the reading goroutine:
	rows    *index.Writer // takes the leaf digests
	records []wire.BaseRecord
	through string
	began   bool
	last    bool
	path    string // of the record before
	any     bool
}

func newBaseStream(ctx context.Context, rows *index.Writer) *baseStream {
	b := &baseStream{ctx: ctx, slots: make(chan struct{}, baseAhead), rows: rows}
	b.wake.L = &b.mu
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
		b.wake.Broadcast()
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

// feed takes a message for which there is room. It does not block.
func (b *baseStream) feed(m wire.Message) {
	b.mu.Lock()
	b.queue = append(b.queue, m)
	b.mu.Unlock()
	b.wake.Broadcast()
}

func (b *baseStream) next() (wire.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.ended {
		b.wake.Wait()
	}
	if len(b.queue) == 0 {
		return nil, context.Cause(b.ctx)
	}
	m := b.queue[0]
	b.queue = b.queue[1:]
	<-b.slots
	return m, nil
}

// head gives the next record if it comes before limit or at it; ok is false when there
// is none up to limit. With all there is no limit.
func (b *baseStream) head(limit string, all bool) (r *wire.BaseRecord, ok bool, err error) {
	for len(b.records) == 0 {
		if b.last || b.began && !all && b.through >= limit {
			return nil, false, nil
		}
		m, err := b.next()
		if err != nil {
			return nil, false, err
		}
		base, isBase := m.(wire.Base)
		if !isBase || b.last || b.began && !base.Last && base.Through < b.through {
			return nil, false, fault.New(fault.PeerProtocol, "the other end sent %T in the middle of its base", m)
		}
		b.records, b.through, b.last, b.began = base.Records, base.Through, base.Last, true
	}
	r = &b.records[0]
	return r, all || r.Entry.Path <= limit, nil
}

// take turns the record that head gave into one of ours, with its leaf digests.
func (b *baseStream) take() (index.Record, error) {
	r := b.records[0]
	b.records = b.records[1:]
	if b.any && r.Entry.Path <= b.path {
		return index.Record{}, fault.New(fault.PeerProtocol, "the other end's base is not in order")
	}
	b.path, b.any = r.Entry.Path, true
	rec := index.Record{Entry: r.Entry, Gone: r.Gone, Partial: r.Partial, Known: r.Known}
	left := r.Leaves() * tree.LeafDigestSize
	if left == 0 {
		return rec, nil
	}
	if len(b.records) != 0 {
		return rec, fault.New(fault.PeerProtocol, "the other end's base has leaf digests in the middle of a message")
	}
	rec.Rows = b.rows.Rows()
	hash := tree.NewContent(r.Entry.Size)
	for left > 0 {
		m, err := b.next()
		if err != nil {
			return rec, err
		}
		rows, ok := m.(wire.BaseRows)
		if !ok || int64(len(rows.Rows)) > left {
			return rec, fault.New(fault.PeerProtocol, "the other end sent %T instead of leaf digests", m)
		}
		hash.Add(rows.Rows)
		if err := b.rows.AddRows(rows.Rows); err != nil {
			return rec, err
		}
		left -= int64(len(rows.Rows))
	}
	if !r.Partial && hash.Sum() != r.Entry.Content {
		return rec, fault.At(fault.PeerProtocol, r.Entry.Path, nil, "the other end's leaf digests are not those of its content")
	}
	return rec, b.rows.FlushRows()
}

// baseJoin gives the target's base: what we have a copy of, and the differences on top. It
// waits for the other end only as far as it must.
type baseJoin struct {
	kept   *index.Cursor
	stream *baseStream
	hidden string
	hides  bool
}

func newBaseJoin(kept index.Iterator, stream *baseStream) index.Iterator {
	return index.Present(&baseJoin{kept: index.NewCursor(kept), stream: stream})
}

// Next gives the next record.
func (j *baseJoin) Next() (index.Record, error) {
	kept, ok, err := j.kept.Peek()
	for err == nil && ok && j.hides && tree.Inside(kept.Entry.Path, j.hidden) {
		j.kept.Skip()
		kept, ok, err = j.kept.Peek()
	}
	if err != nil {
		return index.Record{}, err
	}
	_, differs, err := j.stream.head(kept.Entry.Path, !ok)
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

// Close closes our copy.
func (j *baseJoin) Close() error { return j.kept.Close() }

var errLost = errors.New("a connection to the other end broke")
