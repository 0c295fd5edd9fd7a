//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// gadget is a definition with the given fields in its spec.
func gadget(kind string, fields ...string) string {
	var properties []string
	for _, f := range fields {
		properties = append(properties, f+": {type: integer}")
	}
	lower := strings.ToLower(kind)
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.lacks.example.com}
spec:
  group: lacks.example.com
  names: {kind: %[2]s, listKind: %[2]sList, plural: %[1]ss, singular: %[1]s}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {%[3]s}}}}}}]`,
		lower, kind, strings.Join(properties, ", "))
}

// TestWhatTheTargetLacksOrRefusesIsFoundBeforeAnythingMoves: by real API servers.
// What only Pod Security refuses, and what namespace users may not write, is tried
// as the user blue in other tests.
func TestWhatTheTargetLacksOrRefusesIsFoundBeforeAnythingMoves(t *testing.T) {
	const ns = "obj-lacks"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	install(t, a, gadget("Gadget", "size", "shiny")+"\n---\n"+gadget("Gizmo", "size"))
	install(t, b, gadget("Gadget", "size"))
	deployment := func(name, resources string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %[1]s}\nspec: {replicas: 3, paused: true, selector: {matchLabels: {app: %[1]s}}, "+
			"template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: a, image: 'lab/web:1', resources: %[2]s}]}}}", name, resources)
	}
	write(t, a, ns, strings.Join([]string{
		"apiVersion: lacks.example.com/v1\nkind: Gadget\nmetadata: {name: newer}\nspec: {size: 1, shiny: 2}",
		"apiVersion: lacks.example.com/v1\nkind: Gizmo\nmetadata: {name: unknown}\nspec: {size: 1}",
		deployment("huge", "{limits: {cpu: '2'}}"), deployment("fits", "{limits: {cpu: 10m}}"), deployment("theirs", "{limits: {cpu: 10m}}"),
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}",
	}, "\n---\n"))
	await(t, "the source's service account", func() error {
		_, err := patchAs(a, core("serviceaccounts", "ServiceAccount", ns, "default"), "test", `{"imagePullSecrets":[{"name":"registry"}]}`, "application/merge-patch+json")
		return err
	})
	write(t, b, ns, strings.Join([]string{
		deployment("theirs", "{}"),
		"apiVersion: v1\nkind: LimitRange\nmetadata: {name: small}\nspec: {limits: [{type: Container, max: {cpu: '1'}}]}",
		"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: tight}\nspec: {hard: {pods: '2', count/configmaps: '1'}}",
	}, "\n---\n"))
	await(t, "the target's quota", func() error {
		q, err := b.Kube.CoreV1().ResourceQuotas(ns).Get(t.Context(), "tight", metav1.GetOptions{})
		if used, known := q.Status.Used["count/configmaps"]; err == nil && (!known || used.Value() != 1) {
			err = errors.New("it has not been counted yet")
		}
		return err
	})

	p := makePlan(t, a, b, plan.Request{SourceNamespace: ns, Mode: v1alpha1.ModeStart})
	for _, want := range []struct {
		code  plan.Code
		about string
		words string
	}{
		{plan.CodeUnknownFields, "newer", "spec.shiny"},
		{plan.CodeKindMissing, "unknown", "gizmos of lacks.example.com"},
		{plan.CodePodDenied, "huge", "maximum cpu usage per Container is 1"},
		{plan.CodeNameInUse, "theirs", ""},
		{plan.CodeQuota, "conf", "exceeded quota: tight"},
		{plan.CodeQuota, "", "of pods, but the target's quota tight has 2 left"},
	} {
		if !slices.ContainsFunc(p.Blockers, func(f plan.Finding) bool {
			return f.Code == want.code && (f.Object == nil) == (want.about == "") && (f.Object == nil || f.Object.Name == want.about) && strings.Contains(f.String(), want.words)
		}) {
			t.Errorf("no blocker %s about %q that says %q", want.code, want.about, want.words)
		}
	}
	if slices.ContainsFunc(p.Blockers, func(f plan.Finding) bool {
		return f.Object != nil && f.Object.Name == "fits" && f.Code != plan.CodePaused
	}) {
		t.Error("what the target would take is blocked")
	}
	if !slices.ContainsFunc(p.Warnings, func(f plan.Finding) bool {
		return f.Code == plan.CodePullSecret && strings.Contains(f.Message, "registry")
	}) {
		t.Errorf("nothing about the pull secret of the source's account: %v", p.Warnings)
	}
	if len(p.Manifests) != 2 || p.Manifests[0]["kind"] != "CustomResourceDefinition" || p.Manifests[1]["kind"] != "Gizmo" {
		t.Errorf("for the administrator: %v", p.Manifests)
	}
	if t.Failed() {
		t.Logf("blockers %v", p.Blockers)
	}
	code, text, stderr := motion(t, "plan", "--context", "lab-a", "--to-context", "lab-b", "-n", ns, "--start")
	if code != 4 || !strings.Contains(text, "BLOCKERS") || !strings.Contains(text, "spec.shiny") {
		t.Errorf("exit status %d: %s%s", code, text, stderr)
	}
	if d, err := b.Kube.AppsV1().Deployments(ns).List(t.Context(), metav1.ListOptions{}); err != nil || len(d.Items) != 1 {
		t.Errorf("a plan has written something: %v %v", d, err)
	}
	if _, err := b.Kube.CoreV1().ConfigMaps(ns).Get(t.Context(), "conf", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a plan has written something: %v", err)
	}
}
