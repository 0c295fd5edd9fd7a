// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestPairingAgainChangesOnlyWhatDiffers(t *testing.T) {
	peer := v1alpha1.PolicyPeer{ClusterID: "c", CIDRs: []string{"192.0.2.1/32"}}
	spec := v1alpha1.MotionPolicySpec{NamespaceSelector: selectNamespaces("a"), Peers: []v1alpha1.PolicyPeer{peer}, MaxConcurrentShipments: 9}
	if extend(&spec, "a", peer) {
		t.Error("the same pairing changed the policy")
	}
	if !extend(&spec, "b", peer) || len(spec.NamespaceSelector.MatchExpressions[0].Values) != 2 {
		t.Error("a second namespace was not added")
	}
	more := peer
	more.CIDRs = []string{"192.0.2.2/32"}
	if !extend(&spec, "a", more) {
		t.Error("a new network was not added")
	}
	if d := cmp.Diff([]string{"192.0.2.1/32", "192.0.2.2/32"}, spec.Peers[0].CIDRs); d != "" {
		t.Error(d)
	}
	if spec.MaxConcurrentShipments != 9 {
		t.Error("an administrator's own setting was lost")
	}
}

func TestASelectorThatAnAdministratorWroteIsLeftAlone(t *testing.T) {
	peer := v1alpha1.PolicyPeer{ClusterID: "c"}
	own := metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}
	spec := v1alpha1.MotionPolicySpec{NamespaceSelector: *own.DeepCopy(), Peers: []v1alpha1.PolicyPeer{peer}}
	if extend(&spec, "a", peer) {
		t.Error("changed")
	}
	if d := cmp.Diff(own, spec.NamespaceSelector); d != "" {
		t.Error(d)
	}
}

func TestAccountsWithRightsAreFoundHoweverTheyAreNamed(t *testing.T) {
	role := rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}
	for name, c := range map[string]struct {
		subject rbacv1.Subject
		in      string
		found   bool
	}{
		"by name in a cluster-wide binding":            {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "n"}, "", true},
		"by name in a binding of the namespace":        {rbacv1.Subject{Kind: "ServiceAccount", Name: "x"}, "n", true},
		"through the group of the namespace":           {rbacv1.Subject{Kind: "Group", Name: "system:serviceaccounts:n"}, "", true},
		"an account of another namespace":              {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "m"}, "n", false},
		"a user who happens to have an account's name": {rbacv1.Subject{Kind: "User", Name: "x"}, "n", false},
	} {
		if got := len(accounts("n", []rbacv1.Subject{c.subject}, c.in, role)) == 1; got != c.found {
			t.Errorf("%s: found %v", name, got)
		}
	}
	ours := rbacv1.RoleRef{Kind: "ClusterRole", Name: MigratorRole}
	if got := accounts("n", []rbacv1.Subject{{Kind: "ServiceAccount", Name: "x", Namespace: "n"}}, "", ours); got != nil {
		t.Errorf("the pair's own account was listed: %v", got)
	}
}
