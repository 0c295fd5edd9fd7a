// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// BlockedError means that the migration was not started, or not continued, because
// the user has to decide or change something first. Nothing was changed for it.
type BlockedError struct {
	Reasons []string
	// Hint is the next step.
	Hint string
}

func (e *BlockedError) Error() string {
	return "blocked: " + strings.Join(e.Reasons, "; ")
}

// Hints returns the next step.
func (e *BlockedError) Hints() []string { return []string{e.Hint} }

func blocked(hint, format string, args ...any) error {
	return &BlockedError{Reasons: []string{fmt.Sprintf(format, args...)}, Hint: hint}
}

// PartialError means that the migration finished and some items failed.
type PartialError struct{ Items []string }

func (e *PartialError) Error() string {
	return fmt.Sprintf("finished, with items that failed:\n  %s", strings.Join(e.Items, "\n  "))
}

// Result is the result of a run, as printed to stdout.
type Result struct {
	Migration string                     `json:"migration"`
	Mode      v1alpha1.Mode              `json:"mode"`
	Source    v1alpha1.MigrationEnd      `json:"source"`
	Target    v1alpha1.MigrationEnd      `json:"target"`
	Counts    v1alpha1.MigrationCounts   `json:"counts"`
	Volumes   []v1alpha1.MigrationVolume `json:"volumes,omitempty"`
	Active    bool                       `json:"active"`
	// DowntimeSeconds is from the first write that stopped the source until the
	// target was ready; only after a cutover.
	DowntimeSeconds float64 `json:"downtimeSeconds,omitempty"`
	ElapsedSeconds  float64 `json:"elapsedSeconds"`
	// Next is the next step as a command.
	Next string `json:"next,omitempty"`
}

func (r *record) result(begun time.Time) Result {
	s := r.kept.Status
	out := Result{
		Migration: r.name, Mode: r.kept.Spec.Mode, Source: r.kept.Spec.Source, Target: r.kept.Spec.Target,
		Counts: s.Counts, Volumes: s.Volumes, Active: r.is(v1alpha1.MigrationTargetActive),
		ElapsedSeconds: time.Since(begun).Seconds(),
	}
	if s.StoppedTime != nil && s.ReadyTime != nil && s.ReadyTime.After(s.StoppedTime.Time) {
		out.DowntimeSeconds = s.ReadyTime.Sub(s.StoppedTime.Time).Seconds()
	}
	return out
}
