//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-motion/kubectl-motion/deploy"
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
	account := pair.AccountName(as(t, "lab-a").ID, pair.Mapping{Source: blue, Target: blue}, "lab-b")
	attempts := map[string]func() error{
		"listing Secrets": func() error { return request{"GET", "/api/v1/namespaces/" + blue + "/secrets", ""}.try(t.Context(), c) },
		"minting a token": func() error {
			return request{"POST", "/api/v1/namespaces/" + blue + "/serviceaccounts/default/token", `{}`}.try(t.Context(), c)
		},
	}
	for what, try := range attempts {
		refusedAgain(t, what, try)
	}
	end := permit(t, b, blue, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: deploy.DefaultNamespace},
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
			"metadata":{"name":"mine"},"spec":{"role":"Send","claimName":"data","claimUID":"11111111-1111-1111-1111-111111111111","copyMethod":"Live","sync":1,
			"peer":{"clusterID":"c","namespace":"n","shipmentUID":"22222222-2222-2222-2222-222222222222"}}}`}.try(t.Context(), c)
	}
	refusedAgain(t, "a shipment by who may not create pods", ship)
	end = audited(t, a, "shipments.kubectl-motion.dev")
	succeeds(t, "a shipment by who may not create pods", ship)
	end()
	refusedAgain(t, "a shipment by who may not create pods", ship)
}

// Two namespaces of one source, and their destinations: blue goes to two places, one
// of which is another cluster than red's when the lab has a third one (lab-c). Each
// place gets what was sent there, by a credential that is good for nothing else.
func TestNamespacesHaveDifferentDestinations(t *testing.T) {
	s, a := opened(t, blue, "lab-local"), as(t, "lab-a")
	third := "lab-b"
	if slices.Contains(contexts(t), "lab-c") {
		third = "lab-c"
	}
	const eu = "e2e-eu"
	c := as(t, third)
	withNamespace(t, c, eu, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	must(t, "pair", "eu", "--context", "lab-a", "--to-context", third, "-n", blue, "--to-namespace", eu, "--yes")
	ended := func() {
		must(t, "unpair", "eu", "--context", "lab-a", "--to-context", third, "-n", blue, "--yes")
	}
	defer func() {
		if t.Failed() {
			motion(t, "unpair", "eu", "--context", "lab-a", "--to-context", third, "-n", blue, "--yes")
		}
	}()
	// Both to one: red's pair leads to the same cluster as blue's first.
	red := site(t, red)
	for _, namespace := range []string{s.namespace, red.namespace} {
		checked(t, 0, "--context", "lab-a", "-n", namespace, "--no-route")
	}
	byEU := withToken(t, c, third, string(secretOf(t, blue, pair.SecretName("eu"))["token"]))
	for _, ns := range []string{blue, red.namespace} {
		deniedByRBAC(t, byEU, identity(t, byEU), request{"GET", "/api/v1/namespaces/" + ns + "/pods", ""}, request{"GET", motionAPI + "/namespaces/" + ns + "/volumeshipments", ""})
	}
	var digests []string
	for _, to := range []string{"lab-b", "eu"} {
		s.on(t, s.a, "echo for "+to+" >/data/for; sync")
		must(t, "migrate", "--context", "lab-a-"+blue, "-n", blue, "--to", to)
	}
	for _, place := range []struct {
		c  *cluster.Cluster
		ns string
	}{{as(t, "lab-b"), blue}, {c, eu}} {
		list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), place.c, v1alpha1.VolumeShipments, place.ns, metav1.ListOptions{})
		if err != nil || len(list) != 1 || list[0].Status.VerifiedSync == 0 {
			t.Fatalf("%s on %s has not what was sent there: %+v, %v", place.ns, place.c, list, err)
		}
		digests = append(digests, list[0].Status.Digest)
	}
	if digests[0] == digests[1] {
		t.Errorf("both places have %s, and the second one was sent something else", digests[0])
	}
	sent, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), a, v1alpha1.VolumeShipments, blue, metav1.ListOptions{})
	if err != nil || len(sent) != 2 || sent[0].Spec.Peer.Namespace == sent[1].Spec.Peer.Namespace || (sent[0].Spec.Peer.ClusterID == sent[1].Spec.Peer.ClusterID) != (third == "lab-b") {
		t.Errorf("the source sends as %+v, %v", sent, err)
	}
	ended()
	must(t, "pair", "check", "lab-b", "--context", "lab-a", "-n", blue, "--no-route")
	refused(t, 1, []string{"no such pair eu: namespace " + blue, "has: lab-b"}, "plan", "--context", "lab-a-"+blue, "-n", blue, "--to", "eu")
}

// contexts of the lab.
func contexts(t *testing.T) []string {
	t.Helper()
	loaded, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Keys(loaded.Contexts))
}
