// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// granting is a cluster whose API server tells rules, and allows besides what only
// is found when it is asked for.
func granting(rules []authorizationv1.ResourceRule, besides string) *cluster.Cluster {
	kube := fake.NewClientset()
	kube.PrependReactor("create", "selfsubjectrulesreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{ResourceRules: rules}}, nil
	})
	kube.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		r.Status.Allowed = r.Spec.ResourceAttributes.Resource == besides
		return true, r, nil
	})
	return &cluster.Cluster{Name: "west", Namespace: "shop", Kube: kube}
}

func TestEveryRightThatPairingGrantsIsAskedFor(t *testing.T) {
	needs, err := targetNeeds()
	if err != nil || len(needs) < 25 {
		t.Fatalf("%d needs, %v", len(needs), err)
	}
	all := make([]authorizationv1.ResourceRule, 0, len(needs))
	for _, n := range needs {
		all = append(all, authorizationv1.ResourceRule{Verbs: n.verbs, APIGroups: []string{n.group}, Resources: []string{n.resource}})
	}
	if missing, err := LackingOnTarget(t.Context(), granting(all, "")); err != nil || len(missing) > 0 {
		t.Fatalf("with all rights %q are missing, %v", missing, err)
	}
	// Each of them is missed when it is the one that is not there.
	for i, n := range needs {
		missing, err := LackingOnTarget(t.Context(), granting(slices.Delete(slices.Clone(all), i, i+1), ""))
		if err != nil || !slices.Equal(missing, []string{n.String()}) {
			t.Errorf("without %s %q are missing, %v", n, missing, err)
		}
	}
}

func TestRightsAreReadAsTheAPIServerReadsThem(t *testing.T) {
	rule := func(groups, resources, verbs string, names ...string) []authorizationv1.ResourceRule {
		return []authorizationv1.ResourceRule{{APIGroups: []string{groups}, Resources: strings.Split(resources, ","), Verbs: []string{verbs}, ResourceNames: names}}
	}
	scale := need{"apps", "deployments/scale", []string{"patch"}}
	for name, c := range map[string]struct {
		rules   []authorizationv1.ResourceRule
		besides string
		missing bool
	}{
		"everything":                    {rule("*", "*", "*"), "", false},
		"the subresource of everything": {rule("apps", "*/scale", "patch"), "", false},
		"the resource alone":            {rule("apps", "deployments", "*"), "", true},
		"one object of that name":       {rule("apps", "deployments/scale", "patch", "web"), "", true},
		"another group":                 {rule("extensions", "deployments/scale", "patch"), "", true},
		"no rule, yet allowed":          {nil, "deployments", false},
	} {
		t.Run(name, func(t *testing.T) {
			missing, err := lackingOf(t.Context(), granting(c.rules, c.besides), []need{scale})
			if err != nil || (len(missing) > 0) != c.missing {
				t.Errorf("missing %q, %v", missing, err)
			}
		})
	}
}

func TestTheSourceIsReadAndStoppedAndNeverWrittenOtherwise(t *testing.T) {
	needs, err := sourceNeeds()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, n := range needs {
		got[n.group+"/"+n.resource] = n.verbs
	}
	for resource, want := range map[string][]string{
		"/configmaps": reading, "/secrets": reading, "networking.k8s.io/ingresses": reading, "/services": reading,
		"apps/deployments": {"get", "list", "watch", "update", "patch"}, "/pods": {"get", "list", "watch", "create", "update", "patch", "delete"},
	} {
		if !slices.Equal(got[resource], want) {
			t.Errorf("%s: %q, want %q", resource, got[resource], want)
		}
	}
}
