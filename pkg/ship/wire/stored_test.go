// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"testing"
)

func framed(t *testing.T, frame []byte) (Header, []byte) {
	t.Helper()
	in := bytes.NewReader(frame)
	h, err := ReadHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	body, err := ReadBody(in, h, nil)
	if err != nil || in.Len() != 0 {
		t.Fatalf("%d bytes behind the body, %v", in.Len(), err)
	}
	return h, body
}

func TestAFrameThatWasSealedInItsBufferIsReadWithoutCopying(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 3*BlockRaw/16)
	op := Op{Kind: OpData, Offset: 7 << 30, Length: int64(len(data)), Data: data}
	frame := AppendOp(make([]byte, FrameRoom), &op)
	SealStored(frame)
	Number(frame, 5)
	h, body := framed(t, frame)
	if h.Seq != 5 || h.RawLen != len(frame)-FrameRoom {
		t.Fatalf("the header is %+v", h)
	}
	raw, ok := Whole(body, h.RawLen)
	if !ok || !bytes.Equal(raw, frame[FrameRoom:]) {
		t.Fatal("the body is not seen as one stored block")
	}
	at := DataAt(body[:32], h)
	if at == 0 || !bytes.Equal(body[at:], data) {
		t.Errorf("the data are looked for at %d", at)
	}
	unpacked, err := Unpack(nil, body, h.RawLen)
	if err != nil || !bytes.Equal(unpacked, raw) {
		t.Errorf("unpacking it gives something else: %v", err)
	}
}

func TestACompressedFrameComesBackAndIsNotTakenForAStoredOne(t *testing.T) {
	raw := bytes.Repeat([]byte("all alike "), 60_000)
	var p Packer
	frame := p.Seal([]byte("before"), raw)[len("before"):]
	Number(frame, 9)
	h, body := framed(t, frame)
	if len(frame) > len(raw)/2 {
		t.Errorf("%d bytes for %d", len(frame), len(raw))
	}
	if _, ok := Whole(body, h.RawLen); ok || DataAt(body, h) != 0 {
		t.Error("it is taken for a stored frame")
	}
	back, err := Unpack(nil, body, h.RawLen)
	if err != nil || h.Seq != 9 || !bytes.Equal(back, raw) {
		t.Errorf("it does not come back: %+v, %v", h, err)
	}
}

func TestAStoredBlockThatIsNeitherABlockNorTheRestIsRefused(t *testing.T) {
	raw := bytes.Repeat([]byte{1}, 2*BlockRaw)
	frame := append(make([]byte, FrameRoom), raw...)
	SealStored(frame)
	Number(frame, 1)
	_, body := framed(t, frame)
	if _, err := Unpack(nil, body, len(raw)+BlockRaw); err == nil {
		t.Error("a block of two, with more to follow, was taken")
	}
}
