// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// OpKind is the type of an operation.
type OpKind uint8

const (
	// OpDelete: nothing exists at Path any more, nor below it.
	OpDelete OpKind = 1
	// OpPut: Entry exists. A file's content is the base's (ContentKept), in Data
	// (ContentInline), or what the operations since OpOpen made (ContentOpen).
	OpPut OpKind = 2
	// OpOpen begins a large content: of the entry at Path, Size bytes long. With Patch it
	// begins as the base's content cut or lengthened with zeros, otherwise as zeros. Only
	// OpData and OpZero follow, in ascending order of Offset, and the OpPut that ends it.
	OpOpen OpKind = 3
	// OpData: the open content has Data at Offset.
	OpData OpKind = 4
	// OpZero: the open content has Length zeros at Offset.
	OpZero OpKind = 5
)

// Content is where the content of an entry is.
type Content uint8

const (
	// ContentKept: as in the base, or there is none.
	ContentKept Content = 0
	// ContentInline: in the operation itself.
	ContentInline Content = 1
	// ContentOpen: the open content, which ends here.
	ContentOpen Content = 2
)

// Op is one operation of a sync's log.
type Op struct {
	Kind      OpKind
	Path      string // OpDelete, OpOpen
	Entry     tree.Entry
	Content   Content
	Patch     bool
	Size      int64
	Allocated bool
	Offset    int64
	Length    int64
	// Data belongs to the buffer that was decoded.
	Data []byte
}

const (
	opAllocated = 1 << iota
	opPatch
)

// AppendOp encodes op.
func AppendOp(b []byte, op *Op) []byte {
	b = append(b, byte(op.Kind))
	switch op.Kind {
	case OpDelete:
		b = appendText(b, op.Path)
	case OpPut:
		b = append(b, byte(op.Content), flag(op.Entry.Allocated, opAllocated))
		b = tree.AppendEntry(b, &op.Entry)
		if op.Content == ContentInline {
			b = binary.AppendUvarint(b, uint64(len(op.Data)))
			b = append(b, op.Data...)
		}
	case OpOpen:
		b = append(b, flag(op.Allocated, opAllocated)|flag(op.Patch, opPatch))
		b = appendText(b, op.Path)
		b = binary.AppendUvarint(b, uint64(op.Size))
	case OpData:
		b = append(AppendDataHead(b[:len(b)-1], op), op.Data...)
	case OpZero:
		b = binary.AppendUvarint(b, uint64(op.Offset))
		b = binary.AppendUvarint(b, uint64(op.Length))
	default:
		panic(fmt.Sprintf("internal error: operation %d", op.Kind))
	}
	return b
}

// AppendDataHead encodes what comes before the data of an OpData.
func AppendDataHead(b []byte, op *Op) []byte {
	b = append(b, byte(OpData))
	b = binary.AppendUvarint(b, uint64(op.Offset))
	return binary.AppendUvarint(b, uint64(len(op.Data)))
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// ErrProtocol is wrapped by every error about what the other end sent.
var ErrProtocol = errors.New("the other end violates the protocol")

func protocol(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, args...)...)
}

const (
	// MaxOps bounds the operations of a frame: one takes a few bytes on the wire, and some
	// hundred in memory. A sender puts about 1,000 entries into a frame.
	MaxOps = 8192
	// minOp is the size of the shortest operation.
	minOp = 3
)

// MaxOpsOf is how many operations a frame of rawLen bytes can have.
func MaxOpsOf(rawLen int) int { return min(MaxOps, rawLen/minOp) }

// DecodeOps decodes a frame's operations. Data refers to raw. Nothing that exceeds a limit
// is accepted; whether the operations are consistent with each other is for the receiver to check.
func DecodeOps(raw []byte) ([]Op, error) {
	d := tree.NewDecoder(raw)
	var ops []Op
	for len(d.Rest()) > 0 {
		if len(ops) == MaxOps {
			return nil, protocol("more than %d operations in a frame", MaxOps)
		}
		op := decodeOp(d)
		if err := d.Err(); err != nil {
			return nil, protocol("%w", err)
		}
		ops = append(ops, op)
	}
	return ops, d.Err()
}

func decodeOp(d *tree.Decoder) (op Op) {
	op.Kind = OpKind(d.Byte())
	switch op.Kind {
	case OpDelete:
		op.Path = d.Path()
		if op.Path == "" {
			d.Fail(protocol("an operation deletes the root"))
		}
	case OpPut:
		decodePut(d, &op)
	case OpOpen:
		f := flags(d, opAllocated|opPatch)
		op.Allocated, op.Patch = f&opAllocated != 0, f&opPatch != 0
		op.Path = d.Path()
		op.Size = int64(d.Uvarint(1<<63 - 1))
	case OpData:
		op.Offset = int64(d.Uvarint(1<<63 - 1))
		op.Data = d.Bytes(int(d.Uvarint(MaxRaw)))
		op.Length = int64(len(op.Data))
		span(d, &op)
	case OpZero:
		op.Offset = int64(d.Uvarint(1<<63 - 1))
		op.Length = int64(d.Uvarint(1<<63 - 1))
		span(d, &op)
	default:
		d.Fail(protocol("operation %d", op.Kind))
	}
	return op
}

func decodePut(d *tree.Decoder, op *Op) {
	op.Content = Content(d.Byte())
	allocated := flags(d, opAllocated)&opAllocated != 0
	op.Entry = d.Entry()
	op.Entry.Allocated = allocated
	if d.Err() != nil {
		return
	}
	hasContent := op.Entry.Kind == tree.File || op.Entry.Kind == tree.Image
	switch op.Content {
	case ContentKept:
	case ContentInline:
		op.Data = d.Bytes(int(d.Uvarint(index.InlineLimit)))
		if d.Err() == nil && (op.Entry.Kind != tree.File || int64(len(op.Data)) != op.Entry.Size) {
			d.Fail(protocol("inline content of another size than the entry's"))
		}
	case ContentOpen:
		if !hasContent {
			d.Fail(protocol("a %s with content", op.Entry.Kind))
		}
	default:
		d.Fail(protocol("content of kind %d", op.Content))
	}
	if allocated && op.Entry.Kind != tree.File {
		d.Fail(protocol("a %s that is allocated", op.Entry.Kind))
	}
}

// span checks that the range is not empty and begins at a leaf.
func span(d *tree.Decoder, op *Op) {
	if d.Err() == nil && (op.Length == 0 || op.Offset%tree.LeafSize != 0 || op.Offset+op.Length < op.Offset) {
		d.Fail(protocol("a range of %d bytes at %d", op.Length, op.Offset))
	}
}

func flags(d *tree.Decoder, allowed byte) byte {
	f := d.Byte()
	if f&^allowed != 0 {
		d.Fail(protocol("unknown flags %#x", f))
	}
	return f
}
