// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubectl-motion/kubectl-motion/pkg/text"
)

// heartbeat bounds how long Plain is silent about a volume that moves, and how
// often it speaks.
const heartbeat = 5 * time.Second

// Mode is a value of the flag --progress.
type Mode string

// The modes.
const (
	ModeAuto  Mode = "auto"
	ModeTTY   Mode = "tty"
	ModePlain Mode = "plain"
	ModeJSON  Mode = "json"
	ModeQuiet Mode = "quiet"
)

// NewSink returns the sink of a mode that writes to w. ModeAuto is ModeTTY on a
// terminal and ModePlain elsewhere.
func NewSink(mode Mode, w io.Writer) (Sink, error) {
	switch mode {
	case ModeAuto, "":
		if printers.IsTerminal(w) {
			return newTerminal(w), nil
		}
		return newPlain(w), nil
	case ModeTTY:
		return newTerminal(w), nil
	case ModePlain:
		return newPlain(w), nil
	case ModeJSON:
		return &jsonSink{enc: json.NewEncoder(w)}, nil
	case ModeQuiet:
		return Discard{}, nil
	}
	return nil, fmt.Errorf("--progress must be one of auto, tty, plain, json, quiet; not %q", mode)
}

// Discard shows nothing.
type Discard struct{}

// Emit does nothing.
func (Discard) Emit(Event) {}

// Close does nothing.
func (Discard) Close() {}

type jsonSink struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (s *jsonSink) Emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A reader that went away must not end the migration.
	_ = s.enc.Encode(e)
}

func (s *jsonSink) Close() {}

// plain prints a line per change of a volume's state and a heartbeat while it
// moves; it never rewrites a line.
type plain struct {
	mu    sync.Mutex
	w     io.Writer
	lines map[string]*plainLine
}

type plainLine struct {
	state VolumeState
	gen   int64
	shown time.Time
	rate  meter
}

func newPlain(w io.Writer) *plain { return &plain{w: w, lines: map[string]*plainLine{}} }

func (s *plain) Emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type != Volume {
		_, _ = fmt.Fprintln(s.w, Escape(decorate(e)))
		return
	}
	v := *e.Volume
	l, found := s.lines[v.Claim]
	if !found {
		l = &plainLine{}
		s.lines[v.Claim] = l
	}
	if l.gen != v.Sync {
		l.rate = meter{}
	}
	l.rate.add(e.Time, v.DoneBytes)
	same := found && l.state == v.State && l.gen == v.Sync
	if same && (v.State != VolumeShipping || e.Time.Sub(l.shown) < heartbeat) {
		return
	}
	l.state, l.gen, l.shown = v.State, v.Sync, e.Time
	_, _ = fmt.Fprintln(s.w, Escape("  "+volumeText(v, l.rate)))
}

func (s *plain) Close() {}

func decorate(e Event) string {
	switch e.Type {
	case Step:
		return "==> " + e.Message
	case Warning:
		return "warning: " + e.Message
	case Note:
		return "    " + e.Message
	default:
		return "  " + e.Message
	}
}

// volumeText is one volume's line: name, state, bytes, rate and time left.
func volumeText(v VolumeProgress, m meter) string {
	text := fmt.Sprintf("%-24s %-10s", v.Claim, v.State)
	if v.Sync > 0 {
		text += fmt.Sprintf(" pass %d", v.Sync)
	}
	switch v.State {
	case VolumeShipping:
		text += " " + Bytes(v.DoneBytes)
		if v.TotalBytes > 0 {
			text += " of " + Bytes(v.TotalBytes)
		}
		if r := m.rate(); r > 0 {
			text += fmt.Sprintf(", %s/s", Bytes(int64(r)))
			if left, ok := m.left(v.TotalBytes); ok {
				text += ", " + left.Round(time.Second).String() + " left"
			}
		}
	case VolumeShipped, VolumeVerified:
		text += fmt.Sprintf(" %s scanned, %s sent, %s on the wire", Bytes(v.DoneBytes), Bytes(v.SentBytes), Bytes(v.WireBytes))
	}
	if v.Detail != "" {
		text += ": " + v.Detail
	}
	return text
}

// Escape escapes text that comes from a cluster before it goes to the user's
// terminal. Everything but JSON and YAML goes through it.
func Escape(s string) string { return text.Lines(s) }
