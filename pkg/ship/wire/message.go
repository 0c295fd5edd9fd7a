// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package wire defines what the two ends of a shipment send to each other: control messages and
// frames, with their limits. It is pure over byte slices, io.Reader and io.Writer. What the other
// end sends is not trusted: every number is bounded before memory is allocated for it, every
// encoding has one form only, and trailing data is an error.
//
// The exchange, S the sender and R the receiver, on the control connection:
//
//	S  Hello      which sync this is, and which base S has a record of
//	R  Welcome    which base R really has: that one or none, and how it is written
//	R  Base...    the differences from it, in path order, while R surveys its target
//	S  Mark...    make everything up to frame n durable
//	R  Ack...     everything up to frame n is durable
//	S  Done       the last frame, and the digest of the source
//	R  Verdict    the digest of the target
//	S  Commit     verify it
//	R  Committed  it is durable
//	S  Bye
//
// Either end may send Failure at any time, and sends Alive at intervals. Frames are sent from S to
// R on the data connections.
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

const (
	// MaxMessage bounds a control message, in bytes.
	MaxMessage = 1 << 20
	// MaxBaseRecords bounds the records of a Base: one takes a few bytes on the wire, and some
	// two hundred in memory.
	MaxBaseRecords = 8192
)

// Message is one control message.
type Message interface {
	kind() byte
	encode(b []byte) []byte
}

// Open is the first message on each connection: the session that the connection belongs to.
// Index 0 is the control connection.
type Open struct {
	Version uint16
	Session [16]byte
	Index   uint8
}

// Hello describes the sync, and the source.
type Hello struct {
	Sync  int64
	Image bool
	// Size of the image.
	Size int64
	Mask tree.Mask
	// Preserve special files; otherwise both ends refuse them.
	Preserve bool
	// Have is the digest of the base S has a record of; Known is false when there is none.
	Known bool
	Have  tree.Digest
}

// Welcome answers Hello.
type Welcome struct {
	// Same: R's base is the one S has a record of, and only differences follow. Otherwise
	// they follow on an empty base.
	Same bool
	// InPlace: the target is written in place.
	InPlace bool
	// Verified is the digest of the verified copy that R holds; Whole is false when there is
	// none.
	Whole    bool
	Verified tree.Digest
	// Entries in R's record, for estimates.
	Entries int64
}

// Base is differences of R's base: all of them up to and including the path Through, or all
// there are when Last is set. When the last record's content has leaf digests, they follow in
// BaseRows.
type Base struct {
	Through string
	Last    bool
	Records []BaseRecord
}

// BaseRecord is one path of R's base.
type BaseRecord struct {
	Gone bool
	// Partial: of the content at the path only the first Known leaves are known.
	Partial bool
	Known   int64
	Entry   tree.Entry
}

// BaseRows is further leaf digests of the last record.
type BaseRows struct{ Rows []byte }

// Mark requests that R makes everything up to a frame durable.
type Mark struct{ Seq uint64 }

// Ack confirms that everything up to a frame is durable.
type Ack struct{ Seq uint64 }

// Done ends the log.
type Done struct {
	Last    uint64
	Entries int64
	Digest  tree.Digest
	// Verify the result; otherwise what was sent only serves later syncs.
	Verify bool
}

// Verdict is the digest of what R holds.
type Verdict struct{ Digest tree.Digest }

// Commit requests the verification of what the verdict describes.
type Commit struct{}

// Committed confirms that the sync has ended durably.
type Committed struct {
	Verified bool
	// Strength is 1 transport, 2 timestamps, 3 readback.
	Strength uint8
}

// Bye confirms that Committed has arrived.
type Bye struct{}

// Alive has no content. Either end sends it at intervals, so that the other can distinguish
// work that takes long from a process that hangs.
type Alive struct{}

// Failure is the error that ends a session.
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

// Sender is who sends a message.
type Sender uint8

// The two ends, and what each of them may send.
const (
	FromSender Sender = iota
	FromReceiver
)

// maxSmall bounds every message but Base, BaseRows and Failure.
const maxSmall = 1 << 10

// limit is the largest payload of a kind of message from one end; -1 means that it does not
// send any.
func (s Sender) limit(kind byte) int {
	switch kind {
	case kindAlive:
		return 0
	case kindFailure:
		return maxSmall + tree.MaxPath + 4096
	case kindBase, kindBaseRows:
		if s == FromReceiver {
			return MaxMessage
		}
		return -1
	case kindWelcome, kindAck, kindVerdict, kindCommitted:
		if s == FromReceiver {
			return maxSmall
		}
		return -1
	default:
		if s == FromSender {
			return maxSmall
		}
		return -1
	}
}

// ReadMessage reads and decodes a message from one end; io.EOF means that the connection ended
// between two. A message that this end does not send, or that is too large for its kind, is an
// error before memory is allocated for it.
func ReadMessage(r io.Reader, from Sender) (Message, error) {
	var head [messageHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if limit := from.limit(head[0]); limit < 0 || int64(n) > int64(limit) {
		return nil, protocol("a message of type %d with %d bytes", head[0], n)
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
		if len(m.Records) == MaxBaseRecords {
			d.Fail(protocol("more than %d records in a message", MaxBaseRecords))
			break
		}
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

// Leaves is the number of leaf digests that follow a record, which is then the last of its
// message.
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
