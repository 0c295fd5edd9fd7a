// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// The encodings are canonical, so each decoder has an exact oracle: what it
// accepts must be, byte for byte, what the encoder writes of what it decoded.

func someOps() []Op {
	return []Op{
		{Kind: OpDelete, Path: "a\x00b"},
		{Kind: OpPut, Content: ContentInline, Data: []byte("words"), Entry: tree.Entry{Path: "c", Kind: tree.File, Mode: 0o644, Size: 5}},
		{Kind: OpOpen, Path: "d", Size: 1 << 20, Patch: true},
		{Kind: OpData, Offset: 16 << 10, Data: bytes.Repeat([]byte{7}, 100)},
		{Kind: OpZero, Offset: 0, Length: 16 << 10},
	}
}

func encodeOps(ops []Op) []byte {
	var b []byte
	for i := range ops {
		b = AppendOp(b, &ops[i])
	}
	return b
}

func TestOperationsComeBackAsTheyWereSent(t *testing.T) {
	raw := encodeOps(someOps())
	ops, err := DecodeOps(raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(ops) != len(someOps()) || !bytes.Equal(encodeOps(ops), raw) {
		t.Errorf("%d operations came back: %+v", len(ops), ops)
	}
}

func TestACutOffFrameIsAlwaysAnError(t *testing.T) {
	raw := encodeOps(someOps()[1:2])
	for n := 1; n < len(raw); n++ {
		if _, err := DecodeOps(raw[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(raw))
		}
	}
}

func FuzzDecodeOps(f *testing.F) {
	f.Add(encodeOps(someOps()))
	for _, op := range someOps() {
		f.Add(AppendOp(nil, &op))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ops, err := DecodeOps(raw)
		if err == nil && !bytes.Equal(encodeOps(ops), raw) {
			t.Errorf("accepted %x, which nobody writes; it means %x", raw, encodeOps(ops))
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	for kind := range byte(20) {
		f.Add(kind, []byte{})
		f.Add(kind, bytes.Repeat([]byte{1}, 40))
	}
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		m, err := DecodeMessage(kind, payload)
		if err != nil {
			return
		}
		again := AppendMessage(nil, m)
		if _, ok := m.(Failure); ok {
			// A reason that this version does not know is taken for Internal, so
			// only the meaning has to survive.
			if back, err := DecodeMessage(again[0], again[messageHeader:]); err != nil || back != m {
				t.Errorf("%+v comes back as %+v, %v", m, back, err)
			}
			return
		}
		if again[0] != kind || !bytes.Equal(again[messageHeader:], payload) {
			t.Errorf("accepted %d %x, which nobody writes; it means %x", kind, payload, again)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	var p Packer
	for _, raw := range [][]byte{nil, []byte("words"), bytes.Repeat([]byte("words "), 60_000)} {
		f.Add(p.Pack(nil, raw, true), len(raw))
		f.Add(p.Pack(nil, raw, false), len(raw))
	}
	f.Fuzz(func(t *testing.T, body []byte, rawLen int) {
		raw, err := Unpack(nil, body, rawLen)
		if err != nil {
			return
		}
		if len(raw) != rawLen || len(raw) > MaxRaw {
			t.Fatalf("%d bytes came out of a frame of %d", len(raw), rawLen)
		}
		var p Packer
		back, err := Unpack(nil, p.Pack(nil, raw, true), len(raw))
		if err != nil || !bytes.Equal(back, raw) {
			t.Errorf("what was unpacked does not survive packing: %v", err)
		}
	})
}
