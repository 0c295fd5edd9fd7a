// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

func refTo(kind, name string) inventory.Ref {
	return inventory.Ref{Version: "v1", Resource: strings.ToLower(kind) + "s", Kind: kind, Name: name}
}

func moving(kind, name string, stage plan.Stage, changes ...transform.Change) plan.Item {
	r := refTo(kind, name)
	return plan.Item{Source: r, Target: &r, Verdict: inventory.Move, Action: plan.Create, Stage: stage, Changes: changes}
}

func TestEveryObjectEndsInExactlyOneOutcome(t *testing.T) {
	p := &plan.Plan{Items: []plan.Item{
		moving("ConfigMap", "new", plan.StageStandby),
		moving("ConfigMap", "same", plan.StageStandby),
		moving("ConfigMap", "theirs", ""),
		moving("ConfigMap", "refused", plan.StageStandby),
		moving("ConfigMap", "forgotten", plan.StageStandby),
		moving("PersistentVolumeClaim", "arrived", plan.StageVolume),
		moving("PersistentVolumeClaim", "lost", plan.StageVolume),
		moving("Pod", "later", plan.StageActivation),
		{Source: refTo("Secret", "token"), Verdict: inventory.Skip, Reason: inventory.ReasonClusterCredential},
		{Source: refTo("Role", "big"), Verdict: inventory.NeedsAdmin, Reason: inventory.ReasonNotPermitted},
	}}
	set := apply.ChangeSet{Rows: []apply.Row{
		{Ref: refTo("ConfigMap", "new"), Outcome: apply.Created},
		{Ref: refTo("ConfigMap", "same"), Outcome: apply.Unchanged},
		{Ref: refTo("ConfigMap", "refused"), Outcome: apply.Failed, Problem: &apply.Problem{Cause: apply.CauseDenied, Message: "no"}},
	}}
	pruned := apply.ChangeSet{Rows: []apply.Row{{Ref: refTo("ConfigMap", "old"), Outcome: apply.Pruned}}}
	r := New(p, map[string]bool{"arrived": true}, set, pruned)
	got := map[string]Outcome{}
	for _, row := range r.Rows {
		got[row.Object] = row.Outcome
	}
	want := map[string]Outcome{
		"configmap/new": Moved, "configmap/same": Unchanged, "configmap/theirs": Unchanged, "configmap/refused": Failed,
		"configmap/forgotten": Failed, "persistentvolumeclaim/arrived": Moved, "persistentvolumeclaim/lost": Failed,
		"pod/later": Waiting, "secret/token": Skipped, "role/big": NeedsAdmin, "configmap/old": Pruned,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	c := r.Counts
	if sum := int(c.Moved + c.Unchanged + c.Skipped + c.NeedsAdmin + c.Failed + c.Waiting); sum != len(p.Items) {
		t.Errorf("%d of %d objects are counted: %+v", sum, len(p.Items), c)
	}
	if c.Waiting != 1 || c.Moved != 2 {
		t.Errorf("objects that wait for the activation must not count as moved: %+v", c)
	}
}

func TestTheLedgerHasOnlyWhatDidNotSimplyMove(t *testing.T) {
	p := &plan.Plan{Items: []plan.Item{
		moving("ConfigMap", "plain", plan.StageStandby, transform.Change{Path: "metadata.uid", Why: "of the source"}),
		moving("Service", "balanced", plan.StageStandby, transform.Change{Path: "spec.type", Why: "stays behind", Notable: true}),
	}}
	set := apply.ChangeSet{Rows: []apply.Row{{Ref: refTo("ConfigMap", "plain"), Outcome: apply.Created}, {Ref: refTo("Service", "balanced"), Outcome: apply.Created}}}
	l := New(p, nil, set).Summary()
	if len(l.Rows) != 1 || l.Rows[0].Object != "service/balanced" || l.Counts.Moved != 2 {
		t.Errorf("%+v", l)
	}
}

func TestShardsHoldEveryRowInOrderAndKnowTheirBounds(t *testing.T) {
	var rows []Row
	for i := range 1000 {
		rows = append(rows, Row{Object: fmt.Sprintf("configmap/%04d", i), Outcome: Skipped, Message: "a\nb\x1b[31m"})
	}
	shards, dropped, err := split(rows, 4096, 100)
	if err != nil || dropped != 0 {
		t.Fatalf("dropped %d, error %v", dropped, err)
	}
	var got []Row
	for _, s := range shards {
		if len(s) > 4096 {
			t.Errorf("a shard of %d bytes", len(s))
		}
		part, err := parse(s)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if d := cmp.Diff(rows, got); d != "" {
		t.Error(d)
	}
	shards, dropped, err = split(rows, 4096, 2)
	if err != nil || len(shards) != 2 || dropped+bytes.Count(bytes.Join(shards, nil), []byte("\n")) != len(rows) {
		t.Errorf("%d shards, %d dropped, error %v", len(shards), dropped, err)
	}
}
