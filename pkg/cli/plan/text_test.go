// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func refTo(group, resource, kind, name string) inventory.Ref {
	return inventory.Ref{Group: group, Version: "v1", Resource: resource, Kind: kind, Namespace: "shop", Name: name}
}

func moves(r inventory.Ref, action plan.Action, changes ...transform.Change) plan.Item {
	return plan.Item{Source: r, Target: &r, Verdict: inventory.Move, Action: action, Stage: plan.StageStandby, Changes: changes}
}

// full is a plan with something in every part of the text.
func full() *plan.Plan {
	web, pg, quota := refTo("apps", "deployments", "Deployment", "web"), refTo("db.example.com", "clusters", "Cluster", "pg"), refTo("", "resourcequotas", "ResourceQuota", "team")
	waits := moves(pg, plan.Create)
	waits.Stage = plan.StageActivation
	needed := moves(refTo("", "configmaps", "ConfigMap", "conf"), plan.Unchanged)
	needed.Detail = "needed by deployment.apps/web"
	return &plan.Plan{
		Source: ref.Namespace{Cluster: "east", Namespace: "shop"}, Target: ref.Namespace{Cluster: "west", Namespace: "shop-copy"}, Mode: v1alpha1.ModeStandby,
		Items: []plan.Item{
			moves(web, plan.Configure,
				transform.Change{Path: "spec", From: `{"replicas":2}`, To: "on standby", Why: "nothing runs on the target before it is activated"},
				transform.Change{Path: "spec.template.spec.containers[web].image", From: "a/web:1", To: "b/web:1", Why: "--image", Notable: true}),
			waits, needed,
			{Source: refTo("", "secrets", "Secret", "token\tof\nsomebody"), Verdict: inventory.Skip, Reason: inventory.ReasonClusterCredential},
			{Source: refTo("", "pods", "Pod", "web-1"), Verdict: inventory.Skip, Reason: inventory.ReasonOwned, Detail: "by deployment.apps/web"},
			{Source: refTo("", "pods", "Pod", "web-2"), Verdict: inventory.Skip, Reason: inventory.ReasonOwned, Detail: "by deployment.apps/web"},
			{Source: quota, Target: &quota, Verdict: inventory.NeedsAdmin, Reason: inventory.ReasonNotPermitted},
		},
		Volumes: []plan.Volume{{
			Claim: "data", TargetRequest: resource.MustParse("2Gi"), StorageClass: "fast", TargetClass: "ssd", AtMostBytes: 2 << 30, BytesBasis: plan.BasisCapacity,
			VolumeMode: corev1.PersistentVolumeFilesystem, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Workloads: []inventory.Ref{web},
		}},
		Transfer:    &plan.Transfer{AtMostBytes: 2 << 30, BytesPerSecond: plan.AssumedRate, RateBasis: plan.BasisAssumed, AtMostSeconds: 41},
		Prune:       []inventory.Ref{refTo("", "configmaps", "ConfigMap", "old")},
		Warnings:    []plan.Finding{{Code: plan.CodeStorageClassSelected, Object: &web, Message: `the target has no storage class "fast", selected "ssd"`, Hint: "choose another with --storage-class fast=CLASS"}},
		Blockers:    []plan.Finding{{Code: plan.CodeConflict, Object: &web, Message: "others own fields: spec.replicas is owned by helm", Problem: &apply.Problem{Cause: apply.CauseConflict}}},
		NotExamined: []inventory.NotExamined{{Group: "example.com", Version: "v1", Resource: "widgets", Reason: "Forbidden"}},
	}
}

// TestThePlanForPeopleReadsAsItsGoldenFile: summed up, and with what stays behind
// one by one.
func TestThePlanForPeopleReadsAsItsGoldenFile(t *testing.T) {
	for name, all := range map[string]bool{"summed-up": false, "one-by-one": true} {
		got := Text(full(), TextOptions{Skipped: all, Verbose: all})
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from its golden file (use -update to rewrite it):\n%s", name, got)
		}
	}
}

// TestEverythingThatTheTextSaysIsThereForPrograms under names that stay.
func TestEverythingThatTheTextSaysIsThereForPrograms(t *testing.T) {
	raw, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"source", "target", "mode", "items", "volumes", "transfer", "blockers", "warnings", "prune", "notExamined"} {
		if len(fields[f]) == 0 {
			t.Errorf("the field %s is missing in %s", f, raw)
		}
	}
	for _, word := range []string{`"verdict":"NeedsAdmin"`, `"reason":"NotPermitted"`, `"action":"Configure"`, `"code":"Conflict"`, `"bytesBasis":"Capacity"`} {
		if !strings.Contains(string(raw), word) {
			t.Errorf("%s is missing in %s", word, raw)
		}
	}
}

// TestTheExitStatusTellsBlockedFromIncomplete for one plan and for several.
func TestTheExitStatusTellsBlockedFromIncomplete(t *testing.T) {
	blocked, partial, fine := full(), full(), full()
	partial.Blockers, fine.Blockers = nil, nil
	fine.NotExamined, fine.Items = nil, fine.Items[:3]
	unseen := full()
	unseen.Blockers, unseen.Items = nil, nil
	for name, c := range map[string]struct {
		plans []*plan.Plan
		want  int
	}{
		"nothing in the way":          {[]*plan.Plan{fine}, 0},
		"something for others":        {[]*plan.Plan{partial}, exit.Partial},
		"a kind that was not seen":    {[]*plan.Plan{unseen}, exit.Partial},
		"blocked":                     {[]*plan.Plan{blocked}, exit.Blocked},
		"one of several is blocked":   {[]*plan.Plan{fine, blocked, partial}, exit.Blocked},
		"one of several is not whole": {[]*plan.Plan{fine, partial}, exit.Partial},
	} {
		got := 0
		if err := verdict(c.plans); err != nil {
			got = exit.Code(err)
		}
		if got != c.want {
			t.Errorf("%s: exit status %d, want %d", name, got, c.want)
		}
	}
}

// TestFindingsWithOneCauseAreOneLine: the text names the objects, --verbose lists all.
func TestFindingsWithOneCauseAreOneLine(t *testing.T) {
	p := full()
	p.Warnings = nil
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		r := refTo("apps", "deployments", "Deployment", name)
		p.Warnings = append(p.Warnings,
			plan.Finding{Code: plan.CodeServiceAccountMissing, Object: &r, Message: "the ServiceAccount robot of its pods does not exist on the target", Hint: "create it"},
			plan.Finding{Code: plan.CodeNeedsAdmin, Object: &r, Message: "not allowed"})
		item := plan.Item{Source: refTo("rbac", "roles", "Role", name), Verdict: inventory.NeedsAdmin, Reason: inventory.ReasonNotPermitted}
		p.Items = append(p.Items, item)
	}
	short, long := Text(p, TextOptions{}), Text(p, TextOptions{Verbose: true})
	if !strings.Contains(short, "deployment.apps/e and 2 more: the ServiceAccount robot") || strings.Contains(short, "not allowed\n") || !strings.Contains(short, "7 roles") {
		t.Errorf("not one line for each cause:\n%s", short)
	}
	if strings.Count(long, "ServiceAccount robot") != 7 || !strings.Contains(long, "role.rbac/g") {
		t.Errorf("--verbose does not list all:\n%s", long)
	}
}

// TestExportAdmin: one file for an administrator, without our annotation.
func TestExportAdmin(t *testing.T) {
	p := full()
	p.Manifests = []map[string]any{
		{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "robot", "namespace": "shop"}},
		{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"name": "team", "annotations": map[string]any{v1alpha1.AnnotationSource: "a/b/c"}}},
	}
	file := filepath.Join(t.TempDir(), "admin.yaml")
	var talk strings.Builder
	if err := (exportFlags{admin: file}).writeAdmin([]*plan.Plan{p, p}, &talk); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "---\n"); n != 2 || strings.Contains(string(text), v1alpha1.AnnotationSource) {
		t.Errorf("%d documents, want each object once and without our annotation:\n%s", n, text)
	}
	if !strings.Contains(talk.String(), "kubectl apply --server-side -f "+file) {
		t.Errorf("the command is missing in %q", talk.String())
	}
}
