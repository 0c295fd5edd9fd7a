// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// The messages below are those of Kubernetes 1.36, taken from real answers.
func TestARefusalIsExplainedByItsCause(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	gk := schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
	for _, c := range []struct {
		name string
		err  error
		want Cause
	}{
		{"nothing", nil, ""},
		{"the network", errors.New("dial tcp: connection refused"), CauseOther},
		{"rbac", apierrors.NewForbidden(pods, "a", errors.New(`User "blue" cannot patch resource "pods" in API group "" in the namespace "red"`)), CauseNotPermitted},
		{"escalation", apierrors.NewForbidden(schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "roles"}, "a", errors.New(`user "blue" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held: {APIGroups:["*"]}`)), CauseNotPermitted},
		{"quota", apierrors.NewForbidden(pods, "a", errors.New("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2")), CauseQuota},
		{"quota that wants requests", apierrors.NewForbidden(pods, "a", errors.New("failed quota: q: must specify requests.cpu for: a")), CauseQuota},
		{"pod security", apierrors.NewForbidden(pods, "a", errors.New(`violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`)), CauseDenied},
		{"immutable", apierrors.NewInvalid(gk, "a", field.ErrorList{field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than 'replicas' are forbidden")}), CauseImmutable},
		{"immutable secret", apierrors.NewInvalid(gk, "a", field.ErrorList{field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set")}), CauseImmutable},
		{"validation", apierrors.NewInvalid(gk, "a", field.ErrorList{field.Required(field.NewPath("spec", "selector"), "")}), CauseInvalid},
		{"unknown field", apierrors.NewBadRequest(`strict decoding error: unknown field "spec.shiny"`), CauseFields},
		{"a field that server-side apply does not know", apierrors.NewInternalError(errors.New("failed to create typed patch object (shop/a; example.com/v1, Kind=Widget): .spec.shiny: field not declared in schema")), CauseFields},
		{"something else in the server", apierrors.NewInternalError(errors.New("etcdserver: request timed out")), CauseOther},
		{"missing kind", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop"), CauseMissing},
	} {
		p := Explain(c.err)
		switch {
		case c.want == "" && p != nil:
			t.Errorf("%s: %+v, want none", c.name, p)
		case c.want != "" && (p == nil || p.Cause != c.want):
			t.Errorf("%s: %+v, want %s", c.name, p, c.want)
		}
	}
	if f := Explain(apierrors.NewBadRequest(`strict decoding error: unknown field "spec.shiny", unknown field "spec.new"`)).Fields; !slices.Equal(f, []string{"spec.shiny", "spec.new"}) {
		t.Errorf("unknown fields %v", f)
	}
}

func TestConflictsNameTheFieldAndItsOwner(t *testing.T) {
	err := apierrors.NewApplyConflict([]metav1.StatusCause{
		{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.replicas", Message: `conflict with "helm" using apps/v1`},
		{Type: metav1.CauseTypeFieldManagerConflict, Field: ".data.color", Message: `conflict with "kubectl-edit" using v1 at 2026-01-01T00:00:00Z`},
	}, "Apply failed with 2 conflicts")
	p := Explain(err)
	if p.Cause != CauseConflict {
		t.Fatalf("%+v", p)
	}
	if got, want := p.Error(), "spec.replicas is owned by helm, data.color is owned by kubectl-edit"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAMessageIsOneLine(t *testing.T) {
	if m := Explain(errors.New("a\n\tb")).Message; m != "a b" {
		t.Errorf("%q", m)
	}
}

func TestNothingIsWrittenBeforeWhatItNeeds(t *testing.T) {
	order := []string{
		"Role.rbac.authorization.k8s.io", "Secret", "PersistentVolumeClaim", "Service", "NetworkPolicy.networking.k8s.io",
		"Widget.example.com", "Deployment.apps", "HorizontalPodAutoscaler.autoscaling", "Ingress.networking.k8s.io", "ResourceQuota",
	}
	last := -1
	for _, name := range order {
		kind, group, _ := strings.Cut(name, ".")
		now := tier(schema.GroupKind{Group: group, Kind: kind})
		if now <= last || now >= tiers {
			t.Errorf("%s is in tier %d, after one of %d", name, now, last)
		}
		last = now
	}
}

func TestAChangeSetCountsAndSums(t *testing.T) {
	c := changeSet(map[inventory.Ref]Row{
		{Kind: "B", Name: "b"}: {Ref: inventory.Ref{Kind: "B", Name: "b"}, Outcome: Created},
		{Kind: "A", Name: "a"}: {Ref: inventory.Ref{Kind: "A", Name: "a"}, Outcome: Failed, Problem: &Problem{Cause: CauseInvalid, Message: "no"}},
	})
	if c.Rows[0].Ref.Kind != "A" || c.Count(Created) != 1 || c.Count(Failed) != 1 {
		t.Errorf("%+v", c)
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "a/a: no") {
		t.Errorf("error %v", err)
	}
	if err := (ChangeSet{}).Err(); err != nil {
		t.Errorf("an empty change set has the error %v", err)
	}
}

// conflictServer has one StatefulSet. An apply that is not forced conflicts over
// field with manager; a forced dry run answers with forced.
func conflictServer(t *testing.T, manager, field, live, forced string) (*Writer, Object, *[]bool) {
	t.Helper()
	var applied []bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, live)
		case q.Get("force") != "true":
			applied = append(applied, false)
			status := apierrors.NewApplyConflict([]metav1.StatusCause{{
				Type: metav1.CauseTypeFieldManagerConflict, Field: field, Message: `conflict with "` + manager + `" using apps/v1`,
			}}, "conflict").Status()
			status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(status)
		default:
			if q.Get("dryRun") == "" {
				applied = append(applied, true)
			}
			_, _ = io.WriteString(w, forced)
		}
	}))
	t.Cleanup(server.Close)
	writer, err := NewWriter(&cluster.Cluster{Name: "target", Config: &rest.Config{Host: server.URL, QPS: -1}})
	if err != nil {
		t.Fatal(err)
	}
	ref := inventory.Ref{Group: "apps", Version: "v1", Resource: "statefulsets", Kind: "StatefulSet", Namespace: "shop", Name: "db"}
	return writer, Object{Ref: ref, JSON: []byte(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"}}`)}, &applied
}

func TestConflicts(t *testing.T) {
	set := func(replicas int, size string) string {
		return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"shop"},`+
			`"spec":{"replicas":%d,"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"resources":{"requests":{"storage":%q}}}}]}}`, replicas, size)
	}
	for name, c := range map[string]struct {
		manager, field, live, forced string
		want                         []bool
	}{
		"are forced when they are with our own updates":      {"kubectl-motion", ".spec.replicas", set(0, "1Gi"), set(2, "1Gi"), []bool{false, true}},
		"are reported when another manager's value is taken": {"helm", ".spec.replicas", set(1, "1Gi"), set(2, "1Gi"), []bool{false}},
		"are forced when the field keeps its value":          {"kubectl-client-side-apply", ".spec.volumeClaimTemplates", set(0, "1Gi"), set(2, "1Gi"), []bool{false, true}},
		"are reported when a list changes":                   {"kubectl-client-side-apply", `.spec.volumeClaimTemplates[name="data"].spec`, set(2, "1Gi"), set(2, "2Gi"), []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			w, o, applied := conflictServer(t, c.manager, c.field, c.live, c.forced)
			_, err := w.Write(t.Context(), o, false)
			if !slices.Equal(*applied, c.want) || (err == nil) != (len(c.want) == 2) {
				t.Errorf("applied with force %v, error %v; want %v", *applied, err, c.want)
			}
		})
	}
}

func TestHandingOverLeavesNothingOursButTheAnnotation(t *testing.T) {
	entries := []metav1.ManagedFieldsEntry{
		{Manager: "kube-controller-manager", Subresource: "status"},
		{Manager: "kubectl-motion", Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
		{Manager: "kubectl-motion", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)},
	}
	out, changed := handedOver(entries, "apps/v1")
	if !changed || len(out) != 2 || out[0].Manager != "kube-controller-manager" || out[1].FieldsV1.GetRawString() != ownFields {
		t.Errorf("%v %v", changed, out)
	}
	if _, changed := handedOver(out, "apps/v1"); changed {
		t.Error("handing over twice writes twice")
	}
}
