// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// TestAFrameOfTinyOperationsTakesLittleMemory decodes the worst frame: three bytes on the wire
// make an operation of some hundred bytes in memory.
func TestAFrameOfTinyOperationsTakesLittleMemory(t *testing.T) {
	raw := bytes.Repeat([]byte{byte(OpZero), 0, 1}, MaxRaw/3)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := DecodeOps(raw)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("accepted: %v", err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20 {
		t.Errorf("decoding allocated %d MiB", taken>>20)
	}
	if n := MaxOpsOf(len(raw)); n != MaxOps {
		t.Errorf("a frame of %d bytes may have %d operations", len(raw), n)
	}
	if ops, err := DecodeOps(raw[:3*MaxOps]); err != nil || len(ops) != MaxOps {
		t.Errorf("%d operations, %v", len(ops), err)
	}
}

func TestAMessageOfTinyRecordsIsRejected(t *testing.T) {
	var m Base
	for i := range MaxBaseRecords + 1 {
		m.Records = append(m.Records, BaseRecord{Gone: true, Entry: tree.Entry{Path: string(rune('a' + i%26))}})
	}
	if _, err := ReadMessage(bytes.NewReader(AppendMessage(nil, m)), FromReceiver); !errors.Is(err, ErrProtocol) {
		t.Errorf("accepted: %v", err)
	}
	m.Records = m.Records[1:]
	if _, err := ReadMessage(bytes.NewReader(AppendMessage(nil, m)), FromReceiver); err != nil {
		t.Error(err)
	}
}

func TestAnEndAcceptsOnlyTheMessagesOfTheOther(t *testing.T) {
	for _, c := range []struct {
		m    Message
		from Sender
	}{
		{Hello{}, FromSender},
		{Mark{}, FromSender},
		{Base{}, FromReceiver},
		{Ack{}, FromReceiver},
	} {
		for _, from := range []Sender{FromSender, FromReceiver} {
			_, err := ReadMessage(bytes.NewReader(AppendMessage(nil, c.m)), from)
			if (err == nil) != (from == c.from) {
				t.Errorf("%T from %d: %v", c.m, from, err)
			}
		}
	}
	var head [messageHeader]byte
	head[0] = kindDone
	binary.LittleEndian.PutUint32(head[1:], MaxMessage)
	if _, err := ReadMessage(bytes.NewReader(head[:]), FromSender); !errors.Is(err, ErrProtocol) {
		t.Errorf("a large Done: %v", err)
	}
}
