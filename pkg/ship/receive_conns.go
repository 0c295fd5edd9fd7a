// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"errors"
	"io"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/sender"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// receiveMemory bounds the frames that wait to be applied or are being applied.
const receiveMemory = 64 << 20

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

// attach takes a data connection.
func (x *recvSession) attach(g *greeted) bool {
	x.connMu.Lock()
	defer x.connMu.Unlock()
	if len(x.conns) >= maxConns || x.ctx.Err() != nil {
		return false
	}
	x.conns = append(x.conns, g)
	x.group.Go(func() { x.readFrames(g) })
	return true
}

// readFrames reads a data connection.
func (x *recvSession) readFrames(g *greeted) {
	var packed []byte
	for {
		h, err := wire.ReadHeader(g.in)
		if errors.Is(err, io.EOF) {
			return // the source has nothing more to send on this one
		}
		if err != nil {
			x.failed(broken(err))
			return
		}
		f := &arrivedFrame{seq: h.Seq, cost: frameCost(h)}
		if !x.window.admit(f.seq, f.cost) {
			return
		}
		if packed, err = x.readFrame(g, h, f, packed); err == nil {
			f.ops, err = wire.DecodeOps(f.raw)
		}
		if err != nil {
			x.failed(broken(err))
			return
		}
		// Its operations take more than their frame when they are many and small.
		decoded := int64(len(f.ops)) * opSize
		f.cost += decoded
		x.window.grow(f.seq, decoded)
		x.count.Sent.Add(int64(h.RawLen))
		x.frameMu.Lock()
		x.frames[f.seq] = f
		x.frameMu.Unlock()
		x.event(session.FrameArrived{Seq: f.seq})
	}
}

// frameRoom is room in a frame's buffer in front of its body, so that the data of a large
// content can be put where they are aligned.
const frameRoom = 4096

func newFrameBuffer() []byte { return fsread.AlignedBuffer(frameRoom + sender.FrameBuffer + 4096) }

// opSize is the memory of a decoded operation and of what is to be done for it, in bytes, about.
const opSize = 512

// frameCost is the memory that a frame takes until it is applied, but for its operations.
func frameCost(h wire.Header) int64 {
	if h.RawLen <= sender.SmallFrame {
		return int64(h.RawLen + 1024)
	}
	return int64(max(sender.FrameBuffer, h.RawLen) + 2*frameRoom)
}

// readFrame reads a frame's operations. What was not compressed is read once and stays there.
func (x *recvSession) readFrame(g *greeted, h wire.Header, f *arrivedFrame, packed []byte) ([]byte, error) {
	room := frameRoom + h.RawLen + 4
	if h.RawLen <= sender.SmallFrame || room > frameRoom+sender.FrameBuffer {
		f.back = make([]byte, max(room, frameRoom+h.BodyLen))
	} else {
		f.back, f.pooled = x.buffers.Get(), true
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
