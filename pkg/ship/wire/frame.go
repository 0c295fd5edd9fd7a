// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// Limits of frames, in bytes, checked before memory is allocated.
const (
	// TargetRaw is where a sender closes a frame.
	TargetRaw = 1 << 20
	// MaxRaw is the largest frame before compression.
	MaxRaw = 2 << 20
	// BlockRaw is how much of a frame is compressed as one block.
	BlockRaw = 256 << 10
	// frameHeader: sequence 8, raw length 4, body length 4.
	frameHeader = 16
	maxBody     = MaxRaw + (MaxRaw/BlockRaw+1)*4
	stored      = 1 << 31
)

// Packer makes frames' bodies. It is not for concurrent use.
type Packer struct {
	lz lz4.Compressor
}

// Pack appends raw as a body: for each 256 KiB a length with the top bit for "stored", and
// the block. Without compress all blocks are stored; a block that would save less than
// 5 % is stored too. A stored block may also be longer, if nothing follows it.
func (p *Packer) Pack(body, raw []byte, compress bool) []byte {
	for len(raw) > 0 {
		block := raw[:min(len(raw), BlockRaw)]
		raw = raw[len(block):]
		at := len(body)
		body = append(body, 0, 0, 0, 0)
		n := 0
		if compress {
			body, n = p.compress(body, block)
		}
		if n == 0 {
			body = append(body[:at+4], block...)
			n = len(block) | stored
		}
		binary.LittleEndian.PutUint32(body[at:], uint32(n))
	}
	return body
}

// compress appends the compressed block and gives its length, or 0 when it saves too little.
func (p *Packer) compress(body, block []byte) ([]byte, int) {
	room := len(block) - len(block)/20
	at := len(body)
	if cap(body)-at < room {
		grown := make([]byte, at, max(2*cap(body), at+room))
		copy(grown, body)
		body = grown
	}
	n, err := p.lz.CompressBlock(block, body[at:at+room])
	if err != nil || n == 0 {
		return body, 0
	}
	return body[:at+n], n
}

// Unpack appends the raw bytes of body to raw, whose total must be rawLen.
func Unpack(raw, body []byte, rawLen int) ([]byte, error) {
	if rawLen < 0 || rawLen > MaxRaw {
		return nil, protocol("a frame of %d bytes", rawLen)
	}
	end := len(raw) + rawLen
	for len(raw) < end {
		if len(body) < 4 {
			return nil, protocol("a frame's body ends early")
		}
		head := binary.LittleEndian.Uint32(body)
		n := int(head &^ stored)
		want := min(end-len(raw), BlockRaw)
		if body = body[4:]; n > len(body) || n > MaxRaw {
			return nil, protocol("a block of %d bytes", n)
		}
		block := body[:n]
		body = body[n:]
		if head&stored != 0 {
			if n != want && n != end-len(raw) {
				return nil, protocol("a stored block of %d bytes instead of %d", n, want)
			}
			raw = append(raw, block...)
			continue
		}
		at := len(raw)
		raw = append(raw, make([]byte, want)...)
		got, err := lz4.UncompressBlock(block, raw[at:])
		if err != nil || got != want {
			return nil, protocol("a block that does not decompress")
		}
	}
	if len(body) != 0 {
		return nil, protocol("%d bytes behind a frame's body", len(body))
	}
	return raw, nil
}

// Frame is a part of a sync's log on a data connection.
type Frame struct {
	// Seq numbers the frames of a session: 1, 2, 3 ...
	Seq uint64
	// RawLen is the length of the operations before compression.
	RawLen int
	Body   []byte
}

// AppendFrameHeader encodes what comes before the body.
func AppendFrameHeader(b []byte, f Frame) []byte {
	b = binary.LittleEndian.AppendUint64(b, f.Seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.RawLen))
	return binary.LittleEndian.AppendUint32(b, uint32(len(f.Body)))
}

// Header is a frame's header as it was read.
type Header struct {
	Seq     uint64
	RawLen  int
	BodyLen int
}

// ReadHeader reads a frame's header; io.EOF means the connection ended between frames.
func ReadHeader(r io.Reader) (Header, error) {
	var b [frameHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Header{}, err
	}
	h := Header{
		Seq:     binary.LittleEndian.Uint64(b[0:]),
		RawLen:  int(binary.LittleEndian.Uint32(b[8:])),
		BodyLen: int(binary.LittleEndian.Uint32(b[12:])),
	}
	if h.Seq == 0 || h.RawLen > MaxRaw || h.BodyLen > maxBody || h.BodyLen < 4 && h.RawLen > 0 {
		return Header{}, protocol("frame %d with %d bytes in %d", h.Seq, h.RawLen, h.BodyLen)
	}
	return h, nil
}

// FrameRoom is how many bytes are left free before the operations of a frame that is stored.
const FrameRoom = frameHeader + 4

// SealStored makes a frame of b, which has its operations behind FrameRoom bytes: as one
// stored block. Number sets its number.
func SealStored(b []byte) {
	n := len(b) - FrameRoom
	header := AppendFrameHeader(b[:0], Frame{RawLen: n})
	binary.LittleEndian.PutUint32(b[8+4:], uint32(n+4))
	binary.LittleEndian.PutUint32(b[len(header):], uint32(n)|stored)
}

// Seal appends to b the frame of raw, compressed. Number sets its number.
func (p *Packer) Seal(b, raw []byte) []byte {
	at := len(b)
	b = AppendFrameHeader(b, Frame{RawLen: len(raw)})
	b = p.Pack(b, raw, true)
	binary.LittleEndian.PutUint32(b[at+8+4:], uint32(len(b)-at-frameHeader))
	return b
}

// Number sets the number of a sealed frame.
func Number(frame []byte, seq uint64) { binary.LittleEndian.PutUint64(frame, seq) }

// DataAt returns, from the beginning of a body that is one stored block and begins with an
// operation's data, where in the body these data begin; otherwise 0.
func DataAt(body []byte, h Header) int {
	if len(body) < 5 || binary.LittleEndian.Uint32(body) != uint32(h.RawLen)|stored || OpKind(body[4]) != OpData {
		return 0
	}
	at := 5
	for range 2 {
		_, n := binary.Uvarint(body[at:])
		if n <= 0 {
			return 0
		}
		at += n
	}
	return at
}

// Whole returns the operations in body without copying them, if it is one stored block.
func Whole(body []byte, rawLen int) (raw []byte, ok bool) {
	if len(body) != rawLen+4 || rawLen <= 0 || rawLen > MaxRaw || binary.LittleEndian.Uint32(body) != uint32(rawLen)|stored {
		return nil, false
	}
	return body[4:], true
}

// ReadBody reads the body of h into buf's array when it is large enough.
func ReadBody(r io.Reader, h Header, buf []byte) ([]byte, error) {
	if cap(buf) < h.BodyLen {
		buf = make([]byte, h.BodyLen)
	}
	buf = buf[:h.BodyLen]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, fmt.Errorf("a frame was cut off: %w", noEOF(err))
	}
	return buf, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
