// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func volumeAt(seconds int, state VolumeState, done int64) Event {
	return Event{
		Time: time.Unix(1000+int64(seconds), 0), Type: Volume,
		Volume: &VolumeProgress{Claim: "data", State: state, Sync: 1, DoneBytes: done, TotalBytes: 100 << 20},
	}
}

func TestPlainPrintsChangesAndHeartbeatsOnly(t *testing.T) {
	var out bytes.Buffer
	s := newPlain(&out)
	s.Emit(volumeAt(0, VolumeShipping, 0))
	s.Emit(volumeAt(1, VolumeShipping, 10<<20))
	s.Emit(volumeAt(6, VolumeShipping, 60<<20))
	s.Emit(volumeAt(7, VolumeVerified, 100<<20))
	s.Emit(volumeAt(8, VolumeVerified, 100<<20))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("want begin, heartbeat, end; got:\n%s", out.String())
	}
	if want := "60.0 MiB of 100.0 MiB, 10.0 MiB/s, 4s left"; !strings.Contains(lines[1], want) {
		t.Errorf("heartbeat %q lacks %q", lines[1], want)
	}
}

func TestControlCharactersOfAClusterDoNotReachTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newPlain(&out)
	Warnf(s, "pod %s", "a\x1b[2J\u009b31m\u202eb\rc")
	e := volumeAt(0, VolumeFailed, 0)
	e.Volume.Detail = "\x1b]0;owned\x07"
	s.Emit(e)
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u009b\u202e") {
		t.Errorf("control characters in %q", out.String())
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	s, err := NewSink(ModeJSON, &out)
	if err != nil {
		t.Fatal(err)
	}
	Stepf(s, "one")
	s.Emit(volumeAt(0, VolumeShipping, 7))
	for line := range strings.Lines(out.String()) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

func TestATerminalEndsEvenWhenAVolumeNeverFinished(t *testing.T) {
	var out bytes.Buffer
	s := newTerminal(&out)
	s.Emit(volumeAt(0, VolumeShipping, 1))
	Notef(s, "hello")
	s.Close() // hangs when a bar is neither completed nor aborted
	if !strings.Contains(out.String(), "hello") {
		t.Errorf("note is missing in %q", out.String())
	}
}

func TestAnUnknownModeIsRefused(t *testing.T) {
	if _, err := NewSink("fancy", nil); err == nil {
		t.Error("no error")
	}
}

func TestBytesHaveBinaryUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 40: "5.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
