// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"testing"
)

// What comes on a data connection: header, body, operations.
func FuzzReadFrame(f *testing.F) {
	var p Packer
	for _, compress := range []bool{false, true} {
		raw := encodeOps(someOps())
		body := p.Pack(nil, raw, compress)
		f.Add(append(AppendFrameHeader(nil, Frame{Seq: 1, RawLen: len(raw), Body: body}), body...))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bytes.NewReader(stream)
		h, err := ReadHeader(in)
		if err != nil {
			return
		}
		if h.Seq == 0 || h.RawLen > MaxRaw || h.BodyLen > maxBody {
			t.Fatalf("accepted %+v", h)
		}
		if h.BodyLen > in.Len() {
			return
		}
		body, err := ReadBody(in, h, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again := AppendFrameHeader(nil, Frame{Seq: h.Seq, RawLen: h.RawLen, Body: body}); !bytes.Equal(again, stream[:frameHeader]) {
			t.Errorf("the header %x means %x", stream[:frameHeader], again)
		}
		raw, err := Unpack(nil, body, h.RawLen)
		if err != nil {
			return
		}
		if ops, err := DecodeOps(raw); err == nil && !bytes.Equal(encodeOps(ops), raw) {
			t.Errorf("accepted %x, which no end writes", raw)
		}
	})
}

// What comes on the control connection.
func FuzzReadMessage(f *testing.F) {
	for _, v := range vectors() {
		if v.message != nil {
			f.Add(AppendMessage(nil, v.message))
		}
	}
	f.Add([]byte{kindHello, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bytes.NewReader(stream)
		m, err := ReadMessage(in, FromSender)
		if err != nil {
			in.Reset(stream)
			m, err = ReadMessage(in, FromReceiver)
		}
		if err != nil {
			return
		}
		if _, ok := m.(Failure); ok {
			return // see FuzzDecodeMessage
		}
		if used := stream[:len(stream)-in.Len()]; !bytes.Equal(AppendMessage(nil, m), used) {
			t.Errorf("accepted %x, which no end writes; it means %x", used, AppendMessage(nil, m))
		}
	})
}
