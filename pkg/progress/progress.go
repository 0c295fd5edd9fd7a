// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package progress carries what happens from the engine to the user.
//
// The engine emits Events into a Sink and never prints. Four sinks show them:
// Terminal (a line per volume that moves), Plain (a line per change, for logs),
// JSON (one object per line, for programs) and Quiet. All go to stderr: stdout
// is for data. Every string of an event may come from a cluster, so the sinks
// for people escape control characters.
package progress

import (
	"fmt"
	"time"
)

// Type tells what an Event is about.
type Type string

// The types of events.
const (
	Step    Type = "step"    // a step of the migration begins
	Volume  Type = "volume"  // progress of a volume changed
	Object  Type = "object"  // an object was written, or not
	Note    Type = "note"    // something the user should know
	Warning Type = "warning" // something the user should act on
)

// VolumeState is the part of the way that a volume has gone.
type VolumeState string

// The states of a volume; each is followed by later ones only, except that a
// new pass begins with VolumeShipping again.
const (
	VolumePreparing VolumeState = "preparing"
	VolumeWaiting   VolumeState = "waiting"
	VolumeShipping  VolumeState = "shipping"
	VolumeShipped   VolumeState = "shipped"
	VolumeVerified  VolumeState = "verified"
	VolumeFailed    VolumeState = "failed"
)

// VolumeProgress is one volume's line.
type VolumeProgress struct {
	Claim string      `json:"claim"`
	State VolumeState `json:"state"`
	Sync  int64       `json:"sync,omitempty"`
	// DoneBytes of TotalBytes were looked at; TotalBytes is 0 while unknown.
	DoneBytes  int64 `json:"doneBytes,omitempty"`
	TotalBytes int64 `json:"totalBytes,omitempty"`
	// SentBytes went over, WireBytes is what that cost on the network.
	SentBytes int64 `json:"sentBytes,omitempty"`
	WireBytes int64 `json:"wireBytes,omitempty"`
	// Detail is the reason when a volume waits or fails.
	Detail string `json:"detail,omitempty"`
}

// Event is one thing that happened.
type Event struct {
	Time    time.Time       `json:"time"`
	Type    Type            `json:"type"`
	Message string          `json:"message,omitempty"`
	Volume  *VolumeProgress `json:"volume,omitempty"`
}

// Sink takes events, from several goroutines at once. Close shows what is
// still to be shown and must be called once, after the last event.
type Sink interface {
	Emit(Event)
	Close()
}

// Stepf emits the begin of a step.
func Stepf(s Sink, format string, args ...any) { emitf(s, Step, format, args...) }

// Notef emits something to know.
func Notef(s Sink, format string, args ...any) { emitf(s, Note, format, args...) }

// Warnf emits something to act on.
func Warnf(s Sink, format string, args ...any) { emitf(s, Warning, format, args...) }

// Objectf emits a line about an object, as kubectl prints it: kind/name verbed.
func Objectf(s Sink, format string, args ...any) { emitf(s, Object, format, args...) }

func emitf(s Sink, t Type, format string, args ...any) {
	s.Emit(Event{Time: time.Now(), Type: t, Message: fmt.Sprintf(format, args...)})
}

// EmitVolume emits a volume's line.
func EmitVolume(s Sink, v VolumeProgress) {
	s.Emit(Event{Time: time.Now(), Type: Volume, Volume: &v})
}

// Bytes formats a number of bytes with a binary unit, as in 1.5 GiB.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, 0
	for value >= unit && suffix < 5 {
		value /= unit
		suffix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[suffix])
}
