// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

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

func TestAConflictWithOurselvesIsForcedAndNoOtherOne(t *testing.T) {
	conflict := func(manager string) error {
		return apierrors.NewApplyConflict([]metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.replicas", Message: `conflict with "` + manager + `" using apps/v1`}}, "")
	}
	for manager, want := range map[string][]bool{"kubectl-motion": {false, true}, "helm": {false}} {
		var got []bool
		_, err := yielding(false, func(force bool) (int, error) {
			got = append(got, force)
			if force {
				return 1, nil
			}
			return 0, conflict(manager)
		})
		if !slices.Equal(got, want) || (err == nil) != (manager == "kubectl-motion") {
			t.Errorf("%s: tried with force %v, error %v", manager, got, err)
		}
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
