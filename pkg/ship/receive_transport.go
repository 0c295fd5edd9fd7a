// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/sender"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// receiveMemory bounds the frames that wait to be applied or are being applied, in bytes.
const receiveMemory = 64 << 20

// transport is the connections of one session at the receiver. It reads control messages and
// frames, decodes them within the window, and writes control messages.
type transport struct {
	control *greeted
	id      [16]byte
	idle    time.Duration
	count   *count.Counters
	events  events
	out     *outbox
	window  *window
	buffers *pipe.Buffers
	// start runs a goroutine of the session.
	start func(func())

	mu     sync.Mutex
	closed bool
	conns  []*greeted
	frames map[uint64]*arrivedFrame // decoded, and not yet taken
}

func newTransport(ctx context.Context, c *greeted, r *receiveEnd, ev events) *transport {
	return &transport{
		control: c, id: c.open.Session, idle: r.o.Idle, count: r.count, events: ev,
		out: newOutbox(ctx, c, r.count), window: newWindow(ctx, receiveMemory),
		buffers: pipe.NewBuffers(receiver.Workers, newFrameBuffer), frames: map[uint64]*arrivedFrame{},
	}
}

// arrivedFrame is a decoded frame.
type arrivedFrame struct {
	seq  uint64
	ops  []wire.Op
	raw  []byte
	back []byte // the buffer that raw is in
	// pooled: back is one of the session's buffers.
	pooled bool
	cost   int64
}

// attach adds a data connection, and starts to read it. It is false when the session takes
// no more connections.
func (t *transport) attach(ctx context.Context, g *greeted) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= maxConns || ctx.Err() != nil {
		return false
	}
	t.conns = append(t.conns, g)
	t.start(func() { t.readFrames(ctx, g) })
	return true
}

// close closes all connections.
func (t *transport) close() {
	_ = t.control.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.conns {
		_ = c.Close()
	}
}

// take removes a decoded frame, whose turn has come.
func (t *transport) take(seq uint64) *arrivedFrame {
	t.mu.Lock()
	f := t.frames[seq]
	delete(t.frames, seq)
	t.mu.Unlock()
	t.window.passed(seq + 1)
	return f
}

// recycle returns the buffer of a frame that was applied.
func (t *transport) recycle(f *arrivedFrame) {
	f.ops, f.raw = nil, nil
	if f.pooled {
		t.buffers.Put(f.back)
	}
	f.back = nil
}

// readControl reads the control connection.
func (t *transport) readControl(ctx context.Context) {
	for {
		_ = t.control.SetReadDeadline(time.Now().Add(t.idle))
		m, err := wire.ReadMessage(t.control.in, wire.FromSender)
		if err != nil {
			t.events.put(ctx, session.Failed{Err: silent(err, t.idle)})
			return
		}
		if _, ok := m.(wire.Alive); ok {
			continue
		}
		t.events.put(ctx, session.Message{M: m})
	}
}

// readFrames reads a data connection.
func (t *transport) readFrames(ctx context.Context, g *greeted) {
	var packed []byte
	for {
		h, err := wire.ReadHeader(g.in)
		if errors.Is(err, io.EOF) {
			return // the source has nothing more to send on this one
		}
		if err != nil {
			t.events.put(ctx, session.Failed{Err: broken(err)})
			return
		}
		// What its operations can take is counted before they are decoded.
		decoded := int64(wire.MaxOpsOf(h.RawLen)) * opSize
		f := &arrivedFrame{seq: h.Seq, cost: frameCost(h) + decoded}
		if !t.window.admit(f.seq, f.cost) {
			return
		}
		if packed, err = t.readFrame(g, h, f, packed); err == nil {
			f.ops, err = wire.DecodeOps(f.raw)
		}
		if err != nil {
			t.events.put(ctx, session.Failed{Err: broken(err)})
			return
		}
		surplus := decoded - opsCost(f.ops)
		f.cost -= surplus
		t.window.grow(f.seq, -surplus)
		t.count.Sent.Add(int64(h.RawLen))
		t.mu.Lock()
		t.frames[f.seq] = f
		t.mu.Unlock()
		t.events.put(ctx, session.FrameArrived{Seq: f.seq})
	}
}

// frameRoom is left free in a frame's buffer before its body, so that the data of a large
// content can be aligned.
const frameRoom = 4096

func newFrameBuffer() []byte { return fsread.AlignedBuffer(frameRoom + sender.FrameBuffer + 4096) }

const (
	// opSize is the memory of a decoded operation and of what applying it needs, about, in bytes.
	opSize = 512
	// attributeSize is the memory of a decoded attribute, without its name and value.
	attributeSize = 48
)

// opsCost is the memory of decoded operations, in bytes, about.
func opsCost(ops []wire.Op) int64 {
	n := int64(len(ops)) * opSize
	for i := range ops {
		n += int64(len(ops[i].Entry.Xattrs)) * attributeSize
	}
	return n
}

// frameCost is the memory that a frame takes until it is applied, without its operations.
func frameCost(h wire.Header) int64 {
	if h.RawLen <= sender.SmallFrame {
		return int64(h.RawLen + 1024)
	}
	return int64(max(sender.FrameBuffer, h.RawLen) + 2*frameRoom)
}

// readFrame reads a frame's operations. What was not compressed is read once and stays there.
func (t *transport) readFrame(g *greeted, h wire.Header, f *arrivedFrame, packed []byte) ([]byte, error) {
	room := frameRoom + h.RawLen + 4
	if h.RawLen <= sender.SmallFrame || room > frameRoom+sender.FrameBuffer {
		f.back = make([]byte, max(room, frameRoom+h.BodyLen))
	} else {
		f.back, f.pooled = t.buffers.Get(), true
	}
	peek, err := g.in.Peek(min(h.BodyLen, 32))
	if err != nil {
		return packed, err
	}
	body := f.back[frameRoom-wire.DataAt(peek, h):]
	if h.BodyLen != h.RawLen+4 { // compressed
		if packed, err = wire.ReadBody(g.in, h, packed); err != nil {
			return packed, err
		}
		f.raw, err = wire.Unpack(f.back[:0], packed, h.RawLen)
		return packed, err
	}
	if body, err = wire.ReadBody(g.in, h, body[:h.BodyLen:h.BodyLen]); err != nil {
		return packed, err
	}
	var ok bool
	if f.raw, ok = wire.Whole(body, h.RawLen); ok {
		return packed, nil
	}
	f.raw, err = wire.Unpack(make([]byte, 0, h.RawLen), body, h.RawLen)
	return packed, err
}

// sendAlive reports to the source, at intervals, that this end works.
func (t *transport) sendAlive(ctx context.Context) {
	every(ctx, t.idle/4, func() error { t.out.pushIfIdle(wire.Alive{}); return nil })
}

// silent is broken, with a message of its own for an end that sent nothing.
func silent(err error, idle time.Duration) error {
	if isTimeout(err) {
		return fault.New(fault.ConnectionLost, "the other end sent nothing for %s", idle)
	}
	return broken(err)
}
