// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/hex"
	cmdline "flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

var update = cmdline.Bool("update", false, "write the test vectors anew")

// A vector is a value and the bytes that stand for it, in testdata/vectors.txt; docs/formats.md
// explains them. They change only together with Version.
type vector struct {
	name    string
	message Message
	op      *Op
	frame   *Frame
}

func vectors() []vector {
	d := tree.Digest{0: 0xd1, 31: 0x1d}
	file := tree.Entry{
		Path: "dir\x00file", Kind: tree.File, Mode: 0o644, UID: 1000, GID: 1000, MTime: tree.Time{Sec: 1, Nsec: 2},
		Size: 5, Content: tree.Content(5, tree.Leaves(nil, []byte("words"))), Xattrs: []tree.Xattr{{Name: "user.x", Value: "y"}},
	}
	var session [16]byte
	copy(session[:], "sixteen bytes id")
	body := new(Packer).Pack(nil, []byte("a body of 20 bytes.."), false)
	return []vector{
		{name: "open", message: Open{Version: Version, Session: session, Index: 1}},
		{name: "hello", message: Hello{Sync: 7, Mask: tree.MaskSELinux, Known: true, Have: d}},
		{name: "hello-image", message: Hello{Sync: 1, Image: true, Size: 1 << 30, Preserve: true}},
		{name: "welcome", message: Welcome{Same: true, Whole: true, Verified: d, Entries: 3}},
		{name: "base", message: Base{Through: "dir\x00file", Records: []BaseRecord{{Entry: file}, {Gone: true, Entry: tree.Entry{Path: "e"}}}}},
		{name: "base-last", message: Base{Last: true}},
		{name: "base-rows", message: BaseRows{Rows: bytes.Repeat([]byte{0xab}, 16)}},
		{name: "mark", message: Mark{Seq: 300}},
		{name: "ack", message: Ack{Seq: 300}},
		{name: "done", message: Done{Last: 301, Entries: 9, Digest: d, Verify: true}},
		{name: "verdict", message: Verdict{Digest: d}},
		{name: "commit", message: Commit{}},
		{name: "committed", message: Committed{Verified: true, Strength: 2}},
		{name: "bye", message: Bye{}},
		{name: "alive", message: Alive{}},
		{name: "failure", message: Failure{Reason: fault.TargetFull, HasPath: true, Path: "dir\x00file", What: "write"}},
		{name: "op-delete", op: &Op{Kind: OpDelete, Path: "dir\x00gone"}},
		{name: "op-put-kept", op: &Op{Kind: OpPut, Entry: file, Content: ContentKept}},
		{name: "op-put-inline", op: &Op{Kind: OpPut, Entry: file, Content: ContentInline, Data: []byte("words")}},
		{name: "op-put-open", op: &Op{Kind: OpPut, Entry: file, Content: ContentOpen}},
		{name: "op-open", op: &Op{Kind: OpOpen, Path: "dir\x00large", Size: 1 << 20, Patch: true}},
		{name: "op-data", op: &Op{Kind: OpData, Offset: 32 << 10, Length: 3, Data: []byte("abc")}},
		{name: "op-zero", op: &Op{Kind: OpZero, Offset: 16 << 10, Length: 16 << 10}},
		{name: "frame-stored", frame: &Frame{Seq: 1, RawLen: 20, Body: body}},
	}
}

func (v *vector) encode() []byte {
	switch {
	case v.message != nil:
		return AppendMessage(nil, v.message)
	case v.op != nil:
		return AppendOp(nil, v.op)
	default:
		return append(AppendFrameHeader(nil, *v.frame), v.frame.Body...)
	}
}

func (v *vector) decode(b []byte) (same bool, err error) {
	switch {
	case v.message != nil:
		m, err := ReadMessage(bytes.NewReader(b), FromSender)
		if err != nil {
			m, err = ReadMessage(bytes.NewReader(b), FromReceiver)
		}
		return reflect.DeepEqual(m, v.message), err
	case v.op != nil:
		ops, err := DecodeOps(b)
		return err == nil && len(ops) == 1 && reflect.DeepEqual(&ops[0], v.op), err
	default:
		in := bytes.NewReader(b)
		h, err := ReadHeader(in)
		if err != nil {
			return false, err
		}
		body, err := ReadBody(in, h, nil)
		return h.Seq == v.frame.Seq && h.RawLen == v.frame.RawLen && bytes.Equal(body, v.frame.Body) && in.Len() == 0, err
	}
}

func TestTheBytesOnTheWireAreThoseOfTheVectors(t *testing.T) {
	const file = "testdata/vectors.txt"
	if *update {
		var out strings.Builder
		for _, v := range vectors() {
			fmt.Fprintf(&out, "%s %x\n", v.name, v.encode())
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if known[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if len(known) != len(vectors()) {
		t.Errorf("%d vectors, and %d values", len(known), len(vectors()))
	}
	for _, v := range vectors() {
		want := known[v.name]
		if got := v.encode(); !bytes.Equal(got, want) {
			t.Errorf("%s is written as %x, the vector is %x", v.name, got, want)
		}
		if same, err := v.decode(want); err != nil || !same {
			t.Errorf("%s is not read as what it stands for: %v", v.name, err)
		}
		for n := range want { // what is cut off is always an error
			if same, err := v.decode(want[:n]); err == nil && same {
				t.Errorf("%s is understood from %d of %d bytes", v.name, n, len(want))
			}
		}
	}
}
