// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package report keeps the account of a migration: what became of every object.
//
// The account has two forms. The whole of it, a Report, has a row for each
// object that was found and belongs to whoever ran the migration. The ledger is
// the part that stays on the clusters, next to the Migration: the counts, and
// the rows of those objects that did not simply move, in ConfigMaps of limited
// size. A namespace of twenty thousand objects that all moved has an empty
// ledger.
//
// Neither holds the value of a Secret, nor a digest of one: a digest of a short
// password is the password.
package report

import (
	"cmp"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// Outcome is what became of an object. Every object has exactly one.
type Outcome string

// Outcomes.
const (
	Moved      Outcome = "moved"
	Unchanged  Outcome = "unchanged"
	Skipped    Outcome = "skipped"
	NeedsAdmin Outcome = "NeedsAdmin"
	Failed     Outcome = "failed"
	// Pruned objects are the target's: an earlier migration brought them.
	Pruned Outcome = "pruned"
	// Waiting objects are written when the copy is activated.
	Waiting Outcome = "waiting"
)

// Row is what became of one object.
type Row struct {
	// Object is written as kubectl does: deployment.apps/web.
	Object  string  `json:"object"`
	Outcome Outcome `json:"outcome"`
	// Reason is the verdict's, or the cause of a failure.
	Reason string `json:"reason,omitempty"`
	// Message says more in a line.
	Message string `json:"message,omitempty"`
	// Changes are what is different about the object on the target; a ledger
	// has the notable ones only.
	Changes []string `json:"changes,omitempty"`
}

// Report is the whole account.
type Report struct {
	Source      ref.Namespace            `json:"source"`
	Target      ref.Namespace            `json:"target"`
	Mode        v1alpha1.Mode            `json:"mode"`
	Counts      v1alpha1.MigrationCounts `json:"counts"`
	Rows        []Row                    `json:"rows"`
	NotExamined []inventory.NotExamined  `json:"notExamined,omitempty"`
}

// New makes the account of a plan that was run. sets are what Apply and Prune
// returned; an object of the plan that is in none of them, and was to be
// written, has failed. volumes says which claims arrived: a claim that is not in
// it has failed, too.
func New(p *plan.Plan, volumes map[string]bool, sets ...apply.ChangeSet) Report {
	written := map[inventory.ID]apply.Row{}
	r := Report{Source: p.Source, Target: p.Target, Mode: p.Mode, NotExamined: p.NotExamined}
	for _, set := range sets {
		for _, row := range set.Rows {
			if row.Outcome == apply.Pruned {
				r.Rows = append(r.Rows, Row{Object: row.Ref.String(), Outcome: Pruned, Message: "the source does not have it any more"})
				continue
			}
			written[row.Ref.ID()] = row
		}
	}
	for _, i := range p.Items {
		r.Rows = append(r.Rows, rowOf(i, volumes, written))
	}
	slices.SortStableFunc(r.Rows, func(a, b Row) int { return cmp.Compare(a.Object, b.Object) })
	r.Counts = count(r)
	return r
}

func rowOf(i plan.Item, volumes map[string]bool, written map[inventory.ID]apply.Row) Row {
	row := Row{Object: i.Source.String(), Reason: string(i.Reason), Message: i.Detail}
	for _, c := range i.Changes {
		if c.Notable {
			row.Changes = append(row.Changes, c.Path+": "+c.Why)
		}
	}
	switch {
	case i.Verdict == inventory.Skip:
		row.Outcome, row.Changes = Skipped, nil
	case i.Verdict == inventory.NeedsAdmin:
		row.Outcome = NeedsAdmin
	case i.Stage == plan.StageVolume:
		row.Outcome = Moved
		if !volumes[i.Source.Name] {
			row.Outcome, row.Message = Failed, "its data did not arrive"
		}
	case i.Stage == plan.StageActivation && written[i.Target.ID()].Outcome == "":
		row.Outcome, row.Message = Waiting, "is written when the copy is activated"
	case i.Stage == "":
		row.Outcome = Unchanged
	default:
		row.applied(written[i.Target.ID()])
	}
	return row
}

// applied takes over what Apply said.
func (r *Row) applied(row apply.Row) {
	switch row.Outcome {
	case apply.Created, apply.Configured:
		r.Outcome = Moved
	case apply.Unchanged:
		r.Outcome = Unchanged
	default:
		r.Outcome, r.Message = Failed, "it was not written"
		if row.Problem != nil {
			r.Reason, r.Message = string(row.Problem.Cause), row.Problem.Error()
		}
	}
}

func count(r Report) v1alpha1.MigrationCounts {
	c := v1alpha1.MigrationCounts{NotExamined: int32(len(r.NotExamined))}
	for _, row := range r.Rows {
		switch row.Outcome {
		case Moved, Waiting:
			c.Moved++
		case Unchanged:
			c.Unchanged++
		case Skipped:
			c.Skipped++
		case NeedsAdmin:
			c.NeedsAdmin++
		case Failed:
			c.Failed++
		}
	}
	return c
}

// simple says whether a row is not worth a line in the ledger.
func (r Row) simple() bool {
	return (r.Outcome == Moved || r.Outcome == Unchanged) && len(r.Changes) == 0 && r.Message == ""
}

// Summary is the part that stays on the clusters.
func (r Report) Summary() Summary {
	l := Summary{Counts: r.Counts, NotExamined: r.NotExamined}
	for _, row := range r.Rows {
		if !row.simple() {
			l.Rows = append(l.Rows, row)
		}
	}
	return l
}

// Summary is the account without the objects that simply moved.
type Summary struct {
	Counts      v1alpha1.MigrationCounts `json:"counts"`
	Rows        []Row                    `json:"rows,omitempty"`
	NotExamined []inventory.NotExamined  `json:"notExamined,omitempty"`
}
