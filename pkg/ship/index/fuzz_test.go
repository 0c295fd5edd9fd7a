// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

func someRecords() []Record {
	stamp := tree.Stamp{Ino: 12, CTime: tree.Time{Sec: 5, Nsec: 6}, BTime: tree.Time{Sec: 1}, Settled: true}
	dir := tree.Entry{Kind: tree.Dir, Mode: 0o755, MTime: tree.Time{Sec: 1}}
	file := tree.Entry{Path: "a", Kind: tree.File, Mode: 0o600, Size: 300_000, Content: tree.EmptyContent()}
	return []Record{
		{Entry: dir, Stamp: stamp, Found: true},
		{Entry: file, Stamp: stamp, Rows: Rows{Run: 3, Offset: 160}, Staged: 1 << 32, Patch: true},
		{Entry: tree.Entry{Path: "a\x00gone"}, Gone: true},
		{Entry: func() tree.Entry { e := file; e.Path, e.Allocated = "ab", true; return e }(), Partial: true, Known: 2},
	}
}

func encodeRecords(records []Record) []byte {
	var b []byte
	previous := ""
	for i := range records {
		b = appendRecord(b, &records[i], previous)
		previous = records[i].Entry.Path
	}
	return b
}

func decodeRecords(raw []byte) (out []Record, err error) {
	d := tree.NewDecoder(raw)
	previous := ""
	for len(d.Rest()) > 0 && d.Err() == nil {
		r := decodeRecord(d, previous)
		previous = r.Entry.Path
		out = append(out, r)
	}
	return out, d.Err()
}

func TestRecordsComeBackAsTheyWereWritten(t *testing.T) {
	got, err := decodeRecords(encodeRecords(someRecords()))
	if err != nil || !reflect.DeepEqual(got, someRecords()) {
		t.Errorf("%v\n%+v\n%+v", err, got, someRecords())
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encodeRecords(someRecords()))
	for _, r := range someRecords() {
		f.Add(encodeRecords([]Record{r}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, err := decodeRecords(raw)
		if err == nil && !bytes.Equal(encodeRecords(records), raw) {
			t.Errorf("accepted %x, not canonical; it means %x", raw, encodeRecords(records))
		}
	})
}

func someHead() Head {
	return Head{
		Phase: Rolling, Digest: "aa", Expected: "bb", ExpectedSync: 7, Mask: 1, Sync: 6, Entries: 3, Base: 1,
		Journal: []uint64{2, 3}, Stage: ".kubectl-motion-stage.0123456789abcdef", Staged: 1 << 32, NextRun: 4,
	}
}

// The checksum is made right, so that the fuzzer gets past it.
func FuzzDecodeHead(f *testing.F) {
	for _, h := range []Head{{}, someHead()} {
		data, err := encodeHead(h)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := bytes.Cut(data, []byte("\n"))
		f.Add(bytes.TrimSuffix(body, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		data := fmt.Appendf(nil, "%s %08x\n%s\n", headMagic, crc32.Checksum(body, castagnoli), body)
		h, err := decodeHead(data)
		if err != nil {
			return
		}
		if again, err := encodeHead(h); err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted %q, not canonical; it means %q, %v", data, again, err)
		}
	})
}

// aRun makes the bytes of a run of one block of records and a mark.
func aRun(payload []byte, records int64) []byte {
	var out bytes.Buffer
	block := func(kind byte, payload []byte) {
		var head [blockHeader]byte
		putHead(head[:], kind, payload)
		out.Write(head[:])
		out.Write(payload)
	}
	out.WriteString(runMagic)
	block(typeRecords, payload)
	block(typeMark, mark{value: 1, records: records}.encode())
	return out.Bytes()
}

// Whatever is in a run, reading it ends, with records or with ErrCorrupt.
func FuzzReadRun(f *testing.F) {
	f.Add(encodeRecords(someRecords()), int64(len(someRecords())))
	f.Add([]byte{}, int64(0))
	f.Add([]byte{1, 0, 0}, int64(9))
	f.Fuzz(func(t *testing.T, payload []byte, records int64) {
		if len(payload) > maxBlock {
			return
		}
		file := filepath.Join(t.TempDir(), "run")
		data := aRun(payload, records)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, _, ok := lastMark(bytes.NewReader(data))
		if !ok || m.records != records {
			return
		}
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newReader(in, m)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for n := int64(0); ; n++ {
			if _, err = r.Next(); err != nil {
				break
			}
			if n > records {
				t.Fatalf("record %d of %d", n, records)
			}
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("it ends with %v", err)
		}
	})
}
