//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// succeeds waits until an attempt is let through: caches of rights and policies are
// a moment behind. refusedAgain waits for the opposite.
func succeeds(t *testing.T, what string, try func() error) {
	t.Helper()
	await(t, what+" without the layer that denies it", try)
}

func refusedAgain(t *testing.T, what string, try func() error) {
	t.Helper()
	await(t, what+" to be denied", func() error {
		if err := try(); !apierrors.IsForbidden(err) {
			return fmt.Errorf("it got %w", err)
		}
		return nil
	})
}

// permit gives a subject rights in a namespace of c, or everywhere in it, until the
// returned function is called.
func permit(t *testing.T, c *cluster.Cluster, namespace string, subject rbacv1.Subject, rule rbacv1.PolicyRule) (end func()) {
	t.Helper()
	const name = "e2e-layer"
	rbac := c.Kube.RbacV1()
	end = func() {
		ctx := context.WithoutCancel(t.Context())
		_ = rbac.ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{})
		_ = rbac.ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})
		if namespace != "" {
			_ = rbac.RoleBindings(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		}
	}
	end()
	t.Cleanup(end)
	_, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	role := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	if namespace == "" {
		_, err = rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role, Subjects: []rbacv1.Subject{subject},
		}, metav1.CreateOptions{})
	} else {
		_, err = rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role, Subjects: []rbacv1.Subject{subject},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// audited turns an admission policy into one that only notes, until the returned
// function is called.
func audited(t *testing.T, c *cluster.Cluster, policy string) (end func()) {
	t.Helper()
	set := func(action string) {
		change := fmt.Sprintf(`{"spec":{"validationActions":[%q]}}`, action)
		_, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Patch(context.WithoutCancel(t.Context()), policy,
			types.MergePatchType, []byte(change), metav1.PatchOptions{})
		if err != nil {
			t.Errorf("policy binding %s: %v", policy, err)
		}
	}
	set("Audit")
	end = func() { set("Deny") }
	t.Cleanup(end)
	return end
}

// Each attack is denied with its layer and succeeds without it. So it is that layer
// which denies it, and the attack is a real one.
func TestAPolicyIsTheAdministratorsByRBACAlone(t *testing.T) {
	s := site(t, blue)
	write := func() error {
		return request{"POST", motionAPI + "/motionpolicies?dryRun=All", `{"apiVersion":"kubectl-motion.dev/v1alpha1","kind":"MotionPolicy","metadata":{"name":"mine"},
			"spec":{"namespaceSelector":{},"peers":[{"clusterID":"c","cidrs":["0.0.0.0/0"]}],"specialFiles":"Preserve","allowUnpaired":true}}`}.try(t.Context(), s.a)
	}
	refusedAgain(t, "a policy of the user's own", write)
	end := permit(t, as(t, "lab-a"), "", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: blue},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"motionpolicies"}, Verbs: []string{"create"}})
	succeeds(t, "a policy of the user's own", write)
	end()
	refusedAgain(t, "a policy of the user's own", write)
}

func TestThePairsCredentialIsKeptFromOtherSecretsAndTokensByRBACOfTheTarget(t *testing.T) {
	site(t, blue)
	b := as(t, "lab-b")
	c := withToken(t, b, "lab-b", string(secretOf(t, blue, pair.SecretName("lab-b"))["token"]))
	account := pair.AccountName(as(t, "lab-a").ID, blue)
	attempts := map[string]func() error{
		"listing Secrets": func() error { return request{"GET", "/api/v1/namespaces/" + blue + "/secrets", ""}.try(t.Context(), c) },
		"minting a token": func() error {
			return request{"POST", "/api/v1/namespaces/" + blue + "/serviceaccounts/" + account + "/token", `{}`}.try(t.Context(), c)
		},
	}
	for what, try := range attempts {
		refusedAgain(t, what, try)
	}
	end := permit(t, b, blue, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: blue},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets", "serviceaccounts/token"}, Verbs: []string{"list", "create"}})
	for what, try := range attempts {
		succeeds(t, what, try)
	}
	end()
	for what, try := range attempts {
		refusedAgain(t, what, try)
	}
}

func TestAdmissionKeepsAgentsToTheirNodesAndShipmentsToWhoMayCreatePods(t *testing.T) {
	reset(t, blue)
	s, a, b := site(t, blue), as(t, "lab-a"), as(t, "lab-b")
	handMade(t, s, s.b, "forged")
	agent := agentToken(t, b, agentOn(t, b, "lab-b-node-1"))
	claim := func() error {
		now, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), b, v1alpha1.VolumeShipments, blue, "forged")
		if err != nil {
			return err
		}
		now.Status.NodeName = "lab-b-node-2"
		_, err = cluster.UpdateStatus(t.Context(), agent, v1alpha1.VolumeShipments, blue, now)
		return err
	}
	refusedAgain(t, "a claim for another node", claim)
	end := audited(t, b, "agent-status.kubectl-motion.dev")
	succeeds(t, "a claim for another node", claim)
	end()
	refusedAgain(t, "a claim for another node", claim)

	const clerk = "clerk"
	_, err := a.Kube.CoreV1().ServiceAccounts(blue).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: clerk}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Kube.CoreV1().ServiceAccounts(blue).Delete(context.WithoutCancel(t.Context()), clerk, metav1.DeleteOptions{})
	})
	permit(t, a, blue, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: clerk, Namespace: blue},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"volumeshipments"}, Verbs: []string{"create"}})
	token, err := a.Kube.CoreV1().ServiceAccounts(blue).CreateToken(t.Context(), clerk, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := withToken(t, a, "lab-a", token.Status.Token)
	ship := func() error {
		return request{"POST", motionAPI + "/namespaces/" + blue + "/volumeshipments?dryRun=All", `{"apiVersion":"kubectl-motion.dev/v1alpha1","kind":"VolumeShipment",
			"metadata":{"name":"mine"},"spec":{"role":"Send","claimName":"data","claimUID":"11111111-1111-1111-1111-111111111111","view":"Live","generation":1,
			"peer":{"clusterID":"c","namespace":"n","shipmentUID":"22222222-2222-2222-2222-222222222222"}}}`}.try(t.Context(), c)
	}
	refusedAgain(t, "a shipment by who may not create pods", ship)
	end = audited(t, a, "shipments.kubectl-motion.dev")
	succeeds(t, "a shipment by who may not create pods", ship)
	end()
	refusedAgain(t, "a shipment by who may not create pods", ship)
}

// Two namespaces, two destinations: one goes from lab-a to lab-b, the other from
// lab-b to lab-a.
func TestNamespacesHaveDifferentDestinations(t *testing.T) {
	site(t, blue)
	must(t, "pair", "east", "--context", "lab-b", "--to-context", "lab-a", "-n", red, "--yes")
	must(t, "pair", "check", "east", "--context", "lab-b-"+red, "-n", red, "--no-route")
	refused(t, 1, []string{"nowhere in namespace " + blue}, "plan", "--context", "lab-a-"+blue, "-n", blue, "--to", "nowhere")
	must(t, "unpair", "east", "--context", "lab-b", "--to-context", "lab-a", "-n", red, "--yes")
	must(t, "pair", "check", "lab-b", "--context", "lab-a", "-n", blue, "--no-route")
}
