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

func TestGrantedRoles(t *testing.T) {
	role := rbacv1.RoleRef{Kind: "ClusterRole", Name: "edit"}
	for name, c := range map[string]struct {
		subject rbacv1.Subject
		in      string
		role    rbacv1.RoleRef
		want    string // empty: none
	}{
		"by name in a cluster-wide binding":            {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "n"}, "", role, "serviceaccount x: ClusterRole edit, cluster-wide"},
		"by name in a binding of the namespace":        {rbacv1.Subject{Kind: "ServiceAccount", Name: "x"}, "n", role, "serviceaccount x: ClusterRole edit, in namespace n"},
		"by name in a binding of another namespace":    {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "n"}, "payments", role, "serviceaccount x: ClusterRole edit, in namespace payments"},
		"by user name in another namespace":            {rbacv1.Subject{Kind: "User", Name: "system:serviceaccount:n:x"}, "payments", role, "serviceaccount x: ClusterRole edit, in namespace payments"},
		"through the group of the namespace":           {rbacv1.Subject{Kind: "Group", Name: "system:serviceaccounts:n"}, "", role, "all ServiceAccounts: ClusterRole edit, cluster-wide"},
		"through the group of all accounts":            {rbacv1.Subject{Kind: "Group", Name: "system:serviceaccounts"}, "payments", role, "every identity: ClusterRole edit, in namespace payments"},
		"through the group of all identities":          {rbacv1.Subject{Kind: "Group", Name: "system:authenticated"}, "", role, "every identity: ClusterRole edit, cluster-wide"},
		"a Role that is named as the credential's":     {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "n"}, "n", rbacv1.RoleRef{Kind: "Role", Name: MigratorRole}, "serviceaccount x: Role kubectl-motion:migrator, in namespace n"},
		"what Kubernetes gives to everybody":           {rbacv1.Subject{Kind: "Group", Name: "system:authenticated"}, "", rbacv1.RoleRef{Kind: "ClusterRole", Name: "system:discovery"}, ""},
		"an account of another namespace":              {rbacv1.Subject{Kind: "ServiceAccount", Name: "x", Namespace: "m"}, "n", role, ""},
		"a user who happens to have an account's name": {rbacv1.Subject{Kind: "User", Name: "x"}, "n", role, ""},
		"an account of a namespace with a longer name": {rbacv1.Subject{Kind: "User", Name: "system:serviceaccount:n2:x"}, "", role, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, g := range grantedBy("n", []rbacv1.Subject{c.subject}, c.in, c.role) {
				got += g.String()
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestUsableServiceAccounts(t *testing.T) {
	granted := []grantedRole{{account: "deployer"}, {account: "", everybody: true}}
	if d := cmp.Diff([]string{"default", "web"}, withoutRights([]string{"default", "deployer", "web", "web"}, nil, granted)); d != "" {
		t.Errorf("an account with rights is used without consent: %s", d)
	}
	if d := cmp.Diff([]string{"default", "deployer"}, withoutRights([]string{"default"}, []string{"deployer"}, granted)); d != "" {
		t.Errorf("an account that was named is not used: %s", d)
	}
	if got := withoutRights([]string{"default", "web"}, nil, []grantedRole{{account: ""}}); len(got) > 0 {
		t.Errorf("all accounts of the namespace have rights, and %q are used without consent", got)
	}
}
