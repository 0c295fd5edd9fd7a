// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package wire is what the two ends of a shipment say to each other: control messages and
// frames, with their limits. It is pure over byte slices, io.Reader and io.Writer. What comes
// from the other end is not trusted: every number is bounded before memory is taken for it,
// every encoding has one form only, and what is left over is an error.
//
// The exchange, S the sender and R the receiver, on the control connection:
//
//	S  Hello      what this pass is, and which base S has a copy of
//	R  Welcome    which base R really has: that copy or none, and what differs from it
//	R  Base...    the differences, in path order, while R looks at its target
//	S  Mark...    please make everything up to frame n durable
//	R  Ack...     everything up to frame n is durable
//	S  Done       the last frame, and the digest of the source
//	R  Verdict    the digest of the target
//	S  Commit     verify it
//	R  Committed  it is durable
//	S  Bye
//
// and either end Error at any time, and Alive every now and then. Frames flow from S to R on the data connections.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Version of the messages and frames. Other versions are refused.
const Version = 1

// MaxMessage bounds a control message.
const MaxMessage = 1 << 20

// Message is one control message.
type Message interface {
	kind() byte
	encode(b []byte) []byte
}

// Open is the first message on each connection: it says which session the connection
// belongs to. Index 0 is the control connection.
type Open struct {
	Version uint16
	Session [16]byte
	Index   uint8
}

// Hello says what a pass is.
type Hello struct {
	Sync  int64
	Image bool
	// Size of the image.
	Size int64
	Mask tree.Mask
	// Preserve special files; otherwise both ends refuse them.
	Preserve bool
	// Have is the digest of the base S has a copy of; Known says that there is one.
	Known bool
	Have  tree.Digest
}

// Welcome answers Hello.
type Welcome struct {
	// Same: R's base is what S has a copy of, but for the differences that follow.
	// Otherwise they follow on an empty base.
	Same bool
	// InPlace: the target is written in place.
	InPlace bool
	// Verified is the digest of the generation that R holds; Whole says that there is one.
	Whole    bool
	Verified tree.Digest
	// Entries R knows of, for estimates.
	Entries int64
}

// Base gives differences of R's base. Everything up to and including the path Through is
// then settled; Last means everything is. When the last record's content is of the size
// that has leaf digests, they follow in BaseRows.
type Base struct {
	Through string
	Last    bool
	Records []BaseRecord
}

// BaseRecord is one path of R's base.
type BaseRecord struct {
	Gone bool
	// Partial: there is something at the path, but of its content only the first Known
	// leaves are known.
	Partial bool
	Known   int64
	Entry   tree.Entry
}

// BaseRows gives further leaf digests of the last record.
type BaseRows struct{ Rows []byte }

// Mark asks R to make everything up to a frame durable.
type Mark struct{ Seq uint64 }

// Ack says that everything up to a frame is durable.
type Ack struct{ Seq uint64 }

// Done ends the log.
type Done struct {
	Last    uint64
	Entries int64
	Digest  tree.Digest
	// Authorize the result; otherwise what was sent only serves later passes.
	Verify bool
}

// Verdict says what R has got.
type Verdict struct{ Digest tree.Digest }

// Commit asks to verify what the verdict spoke of.
type Commit struct{}

// Committed says that the pass has ended durably.
type Committed struct {
	Verified bool
	// Strength is 1 transport, 2 stamps, 3 readback.
	Strength uint8
}

// Bye says that Committed has arrived.
type Bye struct{}

// Alive says nothing but that its end is still there. Either end sends it now and then, so
// that the other can tell work that takes long from a process that hangs.
type Alive struct{}

// Failure is an error that crosses the wire.
type Failure struct {
	Reason  fault.Reason
	HasPath bool
	Path    string
	What    string
}

const (
	kindOpen = 1 + iota
	kindHello
	kindWelcome
	kindBase
	kindBaseRows
	kindMark
	kindAck
	kindDone
	kindVerdict
	kindCommit
	kindCommitted
	kindBye
	kindFailure
	kindAlive
)

func (Open) kind() byte      { return kindOpen }
func (Hello) kind() byte     { return kindHello }
func (Welcome) kind() byte   { return kindWelcome }
func (Base) kind() byte      { return kindBase }
func (BaseRows) kind() byte  { return kindBaseRows }
func (Mark) kind() byte      { return kindMark }
func (Ack) kind() byte       { return kindAck }
func (Done) kind() byte      { return kindDone }
func (Verdict) kind() byte   { return kindVerdict }
func (Commit) kind() byte    { return kindCommit }
func (Committed) kind() byte { return kindCommitted }
func (Bye) kind() byte       { return kindBye }
func (Failure) kind() byte   { return kindFailure }
func (Alive) kind() byte     { return kindAlive }

func (m Open) encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, m.Version)
	b = append(b, m.Session[:]...)
	return append(b, m.Index)
}

func (m Hello) encode(b []byte) []byte {
	b = binary.AppendVarint(b, m.Sync)
	b = appendBools(b, m.Image, m.Preserve, m.Known)
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = binary.AppendUvarint(b, uint64(m.Mask))
	return append(b, m.Have[:]...)
}

func (m Welcome) encode(b []byte) []byte {
	b = appendBools(b, m.Same, m.InPlace, m.Whole)
	b = append(b, m.Verified[:]...)
	return binary.AppendUvarint(b, uint64(m.Entries))
}

func (m Base) encode(b []byte) []byte {
	b = appendBools(b, m.Last)
	b = appendText(b, m.Through)
	for i := range m.Records {
		b = appendBaseRecord(b, &m.Records[i])
	}
	return b
}

func appendBaseRecord(b []byte, r *BaseRecord) []byte {
	b = appendBools(b, r.Gone, r.Partial, r.Entry.Allocated)
	if r.Gone {
		return appendText(b, r.Entry.Path)
	}
	if r.Partial {
		b = binary.AppendUvarint(b, uint64(r.Known))
	}
	return tree.AppendEntry(b, &r.Entry)
}

func (m BaseRows) encode(b []byte) []byte { return append(b, m.Rows...) }
func (m Mark) encode(b []byte) []byte     { return binary.AppendUvarint(b, m.Seq) }
func (m Ack) encode(b []byte) []byte      { return binary.AppendUvarint(b, m.Seq) }

func (m Done) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, m.Last)
	b = binary.AppendUvarint(b, uint64(m.Entries))
	b = appendBools(b, m.Verify)
	return append(b, m.Digest[:]...)
}

func (m Verdict) encode(b []byte) []byte { return append(b, m.Digest[:]...) }
func (m Commit) encode(b []byte) []byte  { return b }

func (m Committed) encode(b []byte) []byte { return append(appendBools(b, m.Verified), m.Strength) }
func (m Bye) encode(b []byte) []byte       { return b }
func (m Alive) encode(b []byte) []byte     { return b }

func (m Failure) encode(b []byte) []byte {
	b = appendBools(b, m.HasPath)
	b = appendText(b, string(m.Reason))
	b = appendText(b, m.Path)
	return appendText(b, m.What)
}

func appendBools(b []byte, bits ...bool) []byte {
	var v byte
	for i, on := range bits {
		if on {
			v |= 1 << i
		}
	}
	return append(b, v)
}

func bools(d *tree.Decoder, bits ...*bool) {
	v := d.Byte()
	if v>>len(bits) != 0 {
		d.Fail(protocol("unknown flags %#x", v))
		return
	}
	for i, bit := range bits {
		*bit = v>>i&1 != 0
	}
}

const messageHeader = 5

// AppendMessage encodes m with its header: type 1 byte, length of the payload 4 bytes.
func AppendMessage(b []byte, m Message) []byte {
	at := len(b)
	b = append(b, m.kind(), 0, 0, 0, 0)
	b = m.encode(b)
	n := len(b) - at - messageHeader
	if n > MaxMessage {
		panic(fmt.Sprintf("internal error: a message of %d bytes", n))
	}
	binary.LittleEndian.PutUint32(b[at+1:], uint32(n))
	return b
}

// ReadMessage reads and decodes a message; io.EOF means the connection ended between two.
func ReadMessage(r io.Reader) (Message, error) {
	var head [messageHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > MaxMessage {
		return nil, protocol("a message of %d bytes", n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("a message was cut off: %w", noEOF(err))
	}
	return DecodeMessage(head[0], payload)
}

// DecodeMessage decodes a payload.
func DecodeMessage(kind byte, payload []byte) (Message, error) {
	d := tree.NewDecoder(payload)
	m := decodeMessage(kind, d)
	if d.Err() == nil && len(d.Rest()) != 0 {
		d.Fail(protocol("%d bytes behind a message", len(d.Rest())))
	}
	if err := d.Err(); err != nil {
		return nil, protocol("%w", err)
	}
	return m, nil
}

func decodeMessage(kind byte, d *tree.Decoder) Message {
	switch kind {
	case kindOpen:
		return decodeOpen(d)
	case kindHello:
		return decodeHello(d)
	case kindWelcome:
		return decodeWelcome(d)
	case kindBase:
		return decodeBase(d)
	case kindBaseRows:
		return decodeBaseRows(d)
	case kindMark:
		return Mark{Seq: d.Uvarint(1<<64 - 1)}
	case kindAck:
		return Ack{Seq: d.Uvarint(1<<64 - 1)}
	case kindDone:
		m := Done{Last: d.Uvarint(1<<64 - 1), Entries: int64(d.Uvarint(1<<63 - 1))}
		bools(d, &m.Verify)
		copy(m.Digest[:], d.Bytes(len(m.Digest)))
		return m
	case kindVerdict:
		var m Verdict
		copy(m.Digest[:], d.Bytes(len(m.Digest)))
		return m
	case kindCommit:
		return Commit{}
	case kindCommitted:
		var m Committed
		bools(d, &m.Verified)
		m.Strength = d.Byte()
		return m
	case kindBye:
		return Bye{}
	case kindFailure:
		return decodeFailure(d)
	case kindAlive:
		return Alive{}
	default:
		d.Fail(protocol("a message of type %d", kind))
		return nil
	}
}

func decodeOpen(d *tree.Decoder) Message {
	var m Open
	if b := d.Bytes(2); b != nil {
		m.Version = binary.LittleEndian.Uint16(b)
	}
	copy(m.Session[:], d.Bytes(len(m.Session)))
	m.Index = d.Byte()
	return m
}

func decodeHello(d *tree.Decoder) Message {
	m := Hello{Sync: d.Varint()}
	bools(d, &m.Image, &m.Preserve, &m.Known)
	m.Size = int64(d.Uvarint(1<<63 - 1))
	m.Mask = tree.Mask(d.Uvarint(1<<32 - 1))
	copy(m.Have[:], d.Bytes(len(m.Have)))
	return m
}

func decodeWelcome(d *tree.Decoder) Message {
	var m Welcome
	bools(d, &m.Same, &m.InPlace, &m.Whole)
	copy(m.Verified[:], d.Bytes(len(m.Verified)))
	m.Entries = int64(d.Uvarint(1<<63 - 1))
	return m
}

func decodeBase(d *tree.Decoder) Message {
	var m Base
	bools(d, &m.Last)
	m.Through = d.Path()
	for d.Err() == nil && len(d.Rest()) > 0 {
		var r BaseRecord
		decodeBaseRecord(d, &r)
		m.Records = append(m.Records, r)
	}
	return m
}

func decodeBaseRecord(d *tree.Decoder, r *BaseRecord) {
	var allocated bool
	bools(d, &r.Gone, &r.Partial, &allocated)
	if r.Gone {
		r.Entry.Path = d.Path()
		if r.Partial || allocated {
			d.Fail(protocol("flags on what is gone"))
		}
		return
	}
	if r.Partial {
		r.Known = int64(d.Uvarint(1<<63 - 1))
	}
	r.Entry = d.Entry()
	r.Entry.Allocated = allocated
	if d.Err() == nil && r.Partial && (!hasContent(&r.Entry) || r.Known > tree.LeafCount(r.Entry.Size)) {
		d.Fail(protocol("%d leaves of a %s of %d bytes", r.Known, r.Entry.Kind, r.Entry.Size))
	}
}

func hasContent(e *tree.Entry) bool { return e.Kind == tree.File || e.Kind == tree.Image }

func decodeBaseRows(d *tree.Decoder) Message {
	rows := d.Bytes(len(d.Rest()))
	if len(rows) == 0 || len(rows)%tree.LeafDigestSize != 0 {
		d.Fail(protocol("leaf digests of %d bytes", len(rows)))
	}
	return BaseRows{Rows: rows}
}

func decodeFailure(d *tree.Decoder) Message {
	var m Failure
	bools(d, &m.HasPath)
	m.Reason = fault.Parse(d.Text(64))
	m.Path = d.Text(tree.MaxPath)
	m.What = d.Text(4096)
	return m
}

// Leaves says how many leaf digests follow a record, which then comes last in its message.
func (r *BaseRecord) Leaves() int64 {
	switch {
	case r.Gone || !hasContent(&r.Entry):
		return 0
	case r.Partial:
		return r.Known
	case r.Entry.Kind == tree.Image || index.HasRows(r.Entry.Size):
		return tree.LeafCount(r.Entry.Size)
	default:
		return 0
	}
}
