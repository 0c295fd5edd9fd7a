// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package report records the outcome of a migration for every object.
//
// A report has two forms. A Report has a row for each object that was found and
// is printed or saved by the client. A Summary is stored on both clusters, next to
// the Migration: the counts, and the rows of objects that did not simply move, in
// ConfigMaps of limited size. The Summary of a namespace of twenty thousand
// objects that all moved has no rows.
//
// Neither holds the value of a Secret, nor a digest of one: a short password can
// be guessed from its digest.
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

// Outcome is the result for one object. Every object has exactly one.
type Outcome string

// Outcomes.
const (
	Moved      Outcome = "Moved"
	Unchanged  Outcome = "Unchanged"
	Skipped    Outcome = "Skipped"
	NeedsAdmin Outcome = "NeedsAdmin"
	Failed     Outcome = "Failed"
	// Pruned objects are the target's: an earlier migration created them.
	Pruned Outcome = "Pruned"
	// Waiting objects are written when the copy is activated.
	Waiting Outcome = "Waiting"
)

// Row is the result for one object.
type Row struct {
	// Object is written as kubectl does: deployment.apps/web.
	Object  string  `json:"object"`
	Outcome Outcome `json:"outcome"`
	// Reason is the verdict's, or the cause of a failure.
	Reason string `json:"reason,omitempty"`
	// Message is one line for people.
	Message string `json:"message,omitempty"`
	// Changes are the differences of the object on the target. A Summary has the
	// notable ones only.
	Changes []string `json:"changes,omitempty"`
}

// Report has a row for every object.
type Report struct {
	Source      ref.Namespace            `json:"source"`
	Target      ref.Namespace            `json:"target"`
	Mode        v1alpha1.Mode            `json:"mode"`
	Counts      v1alpha1.MigrationCounts `json:"counts"`
	Rows        []Row                    `json:"rows"`
	NotExamined []inventory.NotExamined  `json:"notExamined,omitempty"`
}

// New reports on a plan that was run. sets are what Apply and Prune returned: an
// object that was to be written and is in none of them has failed. volumes are the
// PVCs of the source whose data was copied and verified: a PVC of the plan that is
// not in it has failed, too.
func New(p *plan.Plan, volumes map[string]bool, sets ...apply.ChangeSet) Report {
	written := map[inventory.ID]apply.Row{}
	r := Report{Source: p.Source, Target: p.Target, Mode: p.Mode, NotExamined: p.NotExamined}
	for _, set := range sets {
		for _, row := range set.Rows {
			if row.Outcome == apply.Pruned {
				r.Rows = append(r.Rows, Row{Object: row.Ref.String(), Outcome: Pruned, Message: "deleted on the source"})
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
			row.Outcome, row.Message = Failed, "its data was not copied"
		}
	case i.Stage == plan.StageActivation && written[i.Target.ID()].Outcome == "":
		row.Outcome, row.Message = Waiting, "created on activation"
	case i.Stage == "":
		row.Outcome = Unchanged
	default:
		row.applied(written[i.Target.ID()])
	}
	return row
}

// applied takes the result of Apply.
func (r *Row) applied(row apply.Row) {
	switch row.Outcome {
	case apply.Created, apply.Configured:
		r.Outcome = Moved
	case apply.Unchanged:
		r.Outcome = Unchanged
	default:
		r.Outcome, r.Message = Failed, "not applied"
		if row.Problem != nil {
			r.Reason, r.Message = string(row.Problem.Cause), row.Problem.Error()
		}
	}
}

func count(r Report) v1alpha1.MigrationCounts {
	c := v1alpha1.MigrationCounts{NotExamined: int32(len(r.NotExamined))}
	for _, row := range r.Rows {
		switch row.Outcome {
		case Moved:
			c.Moved++
		case Waiting:
			c.Waiting++
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

// simple is true for objects that the Summary leaves out.
func (r Row) simple() bool {
	return (r.Outcome == Moved || r.Outcome == Unchanged) && len(r.Changes) == 0 && r.Message == ""
}

// Summary returns the part that is stored on the clusters.
func (r Report) Summary() Summary {
	l := Summary{Counts: r.Counts, NotExamined: r.NotExamined}
	for _, row := range r.Rows {
		if !row.simple() {
			l.Rows = append(l.Rows, row)
		}
	}
	return l
}

// Summary is a report without the rows of objects that simply moved.
type Summary struct {
	Counts      v1alpha1.MigrationCounts `json:"counts"`
	Rows        []Row                    `json:"rows,omitempty"`
	NotExamined []inventory.NotExamined  `json:"notExamined,omitempty"`
}
