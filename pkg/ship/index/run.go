// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// A run is a file of blocks:
//
//	length   4 bytes, little endian: of the payload
//	type     1 byte: 'R' records, 'M' mark
//	CRC-32C  4 bytes over type and payload
//	payload
//
// A payload of records begins without a previous path. A mark's payload is numbers: the
// caller's mark, the records before it, the length of the file of leaf digests (8 bytes
// each), the time of the cut (seconds 8 bytes, nanoseconds 4), and the CRC-32C of the file
// of leaf digests up to that length. What lies behind the last good mark does not count:
// records may reach the disk before what they speak of does.
const (
	runMagic    = "motion run 2\n"
	blockHeader = 9
	blockSize   = 64 << 10
	maxBlock    = blockSize + tree.MaxEntry + tree.MaxPath + 256
	typeRecords = 'R'
	typeMark    = 'M'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is wrapped by every complaint about a file of the state.
var ErrCorrupt = errors.New("corrupt state")

// mark is the payload of a mark block.
type mark struct {
	value   uint64
	records int64
	rows    int64
	// cut: timestamps older than this are settled; zero when nothing is known about it.
	cut tree.Time
	// rowsSum is the checksum of that many bytes of leaf digests.
	rowsSum uint32
}

const markSize = 40

func (m mark) encode() []byte {
	var b [markSize]byte
	binary.LittleEndian.PutUint64(b[0:], m.value)
	binary.LittleEndian.PutUint64(b[8:], uint64(m.records))
	binary.LittleEndian.PutUint64(b[16:], uint64(m.rows))
	binary.LittleEndian.PutUint64(b[24:], uint64(m.cut.Sec))
	binary.LittleEndian.PutUint32(b[32:], m.cut.Nsec)
	binary.LittleEndian.PutUint32(b[36:], m.rowsSum)
	return b[:]
}

func decodeMark(b []byte) mark {
	return mark{
		value:   binary.LittleEndian.Uint64(b[0:]),
		records: int64(binary.LittleEndian.Uint64(b[8:])),
		rows:    int64(binary.LittleEndian.Uint64(b[16:])),
		cut:     tree.Time{Sec: int64(binary.LittleEndian.Uint64(b[24:])), Nsec: binary.LittleEndian.Uint32(b[32:])},
		rowsSum: binary.LittleEndian.Uint32(b[36:]),
	}
}

// Writer appends records to a new run, in ascending order of their paths; a path that
// is written twice counts as written last.
type Writer struct {
	number   uint64
	run      *os.File
	rowsFile *os.File
	rows     *bufio.Writer
	out      *bufio.Writer

	block    []byte
	previous string // path of the last record in block
	last     string // path of the last record at all
	any      bool
	records  int64
	rowsLen  int64
	rowsSum  uint32
	err      error // sticks
}

func newWriter(number uint64, run, rows *os.File) *Writer {
	w := &Writer{number: number, run: run, rowsFile: rows, out: bufio.NewWriterSize(run, 256<<10), rows: bufio.NewWriterSize(rows, 64<<10)}
	_, w.err = w.out.WriteString(runMagic)
	return w
}

// Number of the run.
func (w *Writer) Number() uint64 { return w.number }

// Records written so far.
func (w *Writer) Records() int64 { return w.records }

// Add appends a record.
func (w *Writer) Add(r *Record) error {
	if w.err != nil {
		return w.failure()
	}
	if w.any && r.Entry.Path < w.last {
		w.err = fmt.Errorf("internal error: the record of %q comes after %q", r.Entry.Path, w.last)
		return w.failure()
	}
	w.block = appendRecord(w.block, r, w.previous)
	w.previous, w.last, w.any = r.Entry.Path, r.Entry.Path, true
	w.records++
	if len(w.block) >= blockSize {
		w.flushBlock()
	}
	return w.failure()
}

// failure is the error that sticks, with the reason StateFull where there is no space.
func (w *Writer) failure() error {
	if w.err == nil {
		return nil
	}
	return fault.State(w.err, "write the state")
}

// Rows gives the place at which the next AddRows will write.
func (w *Writer) Rows() Rows { return Rows{Run: w.number, Offset: w.rowsLen} }

// AddRows appends leaf digests.
func (w *Writer) AddRows(rows []byte) error {
	if w.err == nil {
		_, w.err = w.rows.Write(rows)
		w.rowsLen += int64(len(rows))
		w.rowsSum = crc32.Update(w.rowsSum, castagnoli, rows)
	}
	return w.failure()
}

func (w *Writer) flushBlock() {
	if len(w.block) > 0 {
		w.writeBlock(typeRecords, w.block)
	}
	w.block, w.previous = w.block[:0], ""
}

func (w *Writer) writeBlock(kind byte, payload []byte) {
	var head [blockHeader]byte
	putHead(head[:], kind, payload)
	if w.err == nil {
		_, w.err = w.out.Write(head[:])
	}
	if w.err == nil {
		_, w.err = w.out.Write(payload)
	}
}

func putHead(head []byte, kind byte, payload []byte) {
	binary.LittleEndian.PutUint32(head[0:], uint32(len(payload)))
	head[4] = kind
	binary.LittleEndian.PutUint32(head[5:], blockSum(kind, payload))
}

func blockSum(kind byte, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, payload)
}

// FlushRows makes the leaf digests written so far readable by Store.ReadRows.
func (w *Writer) FlushRows() error {
	if w.err == nil {
		w.err = w.rows.Flush()
	}
	return w.failure()
}

// checkpoint makes everything written so far durable and puts value on record as the
// last mark. What the records speak of must be durable before: by a sync that began at cut,
// which makes settled the timestamps that are older (see tree.Settled). A zero cut settles nothing.
func (w *Writer) checkpoint(value uint64, cut tree.Time) (mark, error) {
	w.flushBlock()
	if w.err == nil {
		w.err = w.rows.Flush()
	}
	if w.err == nil && w.rowsLen > 0 {
		w.err = w.rowsFile.Sync()
	}
	m := mark{value: value, records: w.records, rows: w.rowsLen, cut: cut, rowsSum: w.rowsSum}
	w.writeBlock(typeMark, m.encode())
	if w.err == nil {
		w.err = w.out.Flush()
	}
	if w.err == nil {
		w.err = w.run.Sync()
	}
	return m, w.err
}

// Close closes the files without making anything durable.
func (w *Writer) Close() error {
	err := w.run.Close()
	if rowsErr := w.rowsFile.Close(); err == nil {
		err = rowsErr
	}
	return err
}

// Iterator gives records in ascending order of their paths.
type Iterator interface {
	// Next gives the next record, and io.EOF after the last.
	Next() (Record, error)
	Close() error
}

// reader reads a run up to a given mark.
type reader struct {
	f       *os.File
	in      *bufio.Reader
	left    int64 // records before the mark
	cut     tree.Time
	block   []byte
	d       *tree.Decoder
	prev    string
	pending *Record
}

func newReader(f *os.File, m mark) (*reader, error) {
	r := &reader{f: f, in: bufio.NewReaderSize(f, 256<<10), left: m.records, cut: m.cut}
	if err := readMagic(r.in); err != nil {
		return nil, err
	}
	return r, nil
}

func readMagic(in io.Reader) error {
	var magic [len(runMagic)]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil || string(magic[:]) != runMagic {
		return fmt.Errorf("%w: no run header", ErrCorrupt)
	}
	return nil
}

// Next gives the newest record of the next path.
func (r *reader) Next() (Record, error) {
	rec, err := r.take()
	if err != nil {
		return rec, err
	}
	for {
		next, err := r.take()
		if errors.Is(err, io.EOF) {
			return rec, nil
		}
		if err != nil {
			return Record{}, err
		}
		if next.Entry.Path != rec.Entry.Path {
			r.pending = &next
			return rec, nil
		}
		rec = next
	}
}

func (r *reader) take() (Record, error) {
	if p := r.pending; p != nil {
		r.pending = nil
		return *p, nil
	}
	if r.left == 0 {
		return Record{}, io.EOF
	}
	for r.d == nil || len(r.d.Rest()) == 0 {
		kind, payload, err := readBlock(r.in, r.block)
		if err != nil {
			return Record{}, fmt.Errorf("%w: truncated run", ErrCorrupt)
		}
		if kind == typeRecords {
			r.block, r.prev, r.d = payload[:0], "", tree.NewDecoder(payload)
		}
	}
	rec := decodeRecord(r.d, r.prev)
	if err := r.d.Err(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	r.left--
	r.prev = rec.Entry.Path
	if r.cut != (tree.Time{}) && rec.Stamp.Ino != 0 && tree.Settled(rec.Stamp.CTime, r.cut) {
		rec.Stamp.Settled = true
	}
	return rec, nil
}

func (r *reader) Close() error { return r.f.Close() }

// readBlock reads one block into buf's array when it is large enough.
func readBlock(in *bufio.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var head [blockHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(head[0:]))
	if n > maxBlock {
		return 0, nil, fmt.Errorf("%w: a block of %d bytes", ErrCorrupt, n)
	}
	if cap(buf) < n {
		buf = make([]byte, max(n, blockSize+4<<10))
	}
	payload = buf[:n]
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, err
	}
	if blockSum(head[4], payload) != binary.LittleEndian.Uint32(head[5:]) {
		return 0, nil, fmt.Errorf("%w: checksum of a block", ErrCorrupt)
	}
	return head[4], payload, nil
}

// lastMark finds the last good mark of a run; whole means that nothing follows it, and ok
// is false when there is none.
func lastMark(f io.Reader) (last mark, whole, ok bool) {
	in := bufio.NewReaderSize(f, 256<<10)
	if readMagic(in) != nil {
		return mark{}, false, false
	}
	var buf []byte
	for {
		kind, payload, err := readBlock(in, buf)
		if err != nil {
			return last, whole && errors.Is(err, io.EOF), ok
		}
		buf = payload[:0]
		whole = kind == typeMark && len(payload) == markSize
		if whole {
			last = decodeMark(payload)
			ok = last.records >= 0 && last.rows >= 0
		}
	}
}
