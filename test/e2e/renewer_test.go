//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// secretOf reads a Secret of lab-a as its administrator.
func secretOf(t *testing.T, namespace, name string) map[string][]byte {
	t.Helper()
	s, err := as(t, "lab-a").Kube.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Data
}

// pairOf is the pair lab-b of a namespace.
func pairOf(t *testing.T, namespace string) *v1alpha1.ClusterPair {
	t.Helper()
	p, err := cluster.Get[v1alpha1.ClusterPair](t.Context(), as(t, "lab-a"), v1alpha1.ClusterPairs, namespace, "lab-b")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARenewedCredentialWorksAndTheOldOneEndsByItself(t *testing.T) {
	reset(t, red)
	s := site(t, red)
	put(t, s.a, red, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {e2e: \"true\"}}\ndata: {a: b}")
	before := string(secretOf(t, red, pair.SecretName("lab-b"))["token"])
	must(t, "pair", "renew", "lab-b", "--context", "lab-a", "-n", red)
	after := string(secretOf(t, red, pair.SecretName("lab-b"))["token"])
	if after == before {
		t.Fatal("the token rotator worked, and the token is the same")
	}
	p := pairOf(t, red)
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PairTokenRotated); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("conditions %+v", p.Status.Conditions)
	}
	for which, token := range map[string]string{"old": before, "new": after} {
		claims, err := pair.ReadClaims(token)
		if err != nil || time.Until(claims.Expiry) > 24*time.Hour || claims.Subject != "system:serviceaccount:"+deploy.DefaultNamespace+":"+pair.AccountName(as(t, "lab-a").ID, pair.Mapping{Source: red, Target: red}, "lab-b") {
			t.Errorf("the %s token: %+v, %v", which, claims, err)
		}
	}
	must(t, s.migrate()...)
	if _, err := s.b.Kube.CoreV1().ConfigMaps(red).Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
		t.Errorf("the migration with the new credential: %v", err)
	}
	// By an administrator of both, whatever is left of it.
	must(t, "pair", "renew", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", red)
	if string(secretOf(t, red, pair.SecretName("lab-b"))["token"]) == after {
		t.Error("the token is the same after an administrator renewed it")
	}
}

func TestNothingIsRenewedAfterTheAdministratorsExpiry(t *testing.T) {
	site(t, red)
	admin := as(t, "lab-a")
	p := pairOf(t, red)
	was := p.Spec.ExpiryTime.DeepCopy()
	set := func(to *metav1.Time) {
		await(t, "the pair's expiry", func() error {
			p := pairOf(t, red)
			p.Spec.ExpiryTime = to
			_, err := cluster.Update(t.Context(), admin, v1alpha1.ClusterPairs, red, p)
			return err
		})
	}
	before := string(secretOf(t, red, pair.SecretName("lab-b"))["token"])
	set(new(metav1.NewTime(time.Now().Add(-time.Minute))))
	refused(t, 1, []string{"the pair has expired", "ask an administrator"}, "pair", "renew", "lab-b", "--context", "lab-a", "-n", red)
	if string(secretOf(t, red, pair.SecretName("lab-b"))["token"]) != before {
		t.Error("the credential of a pair that has ended was renewed")
	}
	if c := meta.FindStatusCondition(pairOf(t, red).Status.Conditions, v1alpha1.PairTokenRotated); c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonExpired {
		t.Errorf("condition %+v", c)
	}
	hops := checked(t, 3, "--context", "lab-a", "-n", red, "--no-route")
	if h := hops["pair"]; !strings.Contains(h.Message, "it ended at") || h.Next == "" {
		t.Errorf("pair check says %+v", h)
	}
	if list := must(t, "pairs", "--context", "lab-a", "-n", red, "-o", "wide"); !strings.Contains(list.stdout, "False") || !strings.Contains(list.stdout, "the pair has ended") {
		t.Errorf("the list does not say it: %s", list)
	}
	// The target does not wait for our word: the token rotator's own token ends with the pair.
	claims, err := pair.ReadClaims(string(secretOf(t, deploy.DefaultNamespace, pair.RotatorName(admin.ID, red, "lab-b"))["token"]))
	if off := claims.Expiry.Sub(was.Time); err != nil || off > time.Minute {
		t.Errorf("the token rotator's token ends %s after the pair, error %v", off, err)
	}
	set(was)
	must(t, "pair", "renew", "lab-b", "--context", "lab-a", "-n", red)
}

func TestARotatorRenewsItsOnePairAndDoesNothingElse(t *testing.T) {
	site(t, blue)
	s := site(t, red)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	name, account := pair.RotatorName(a.ID, red, "lab-b"), pair.AccountName(a.ID, pair.Mapping{Source: red, Target: red}, "lab-b")
	me := "system:serviceaccount:" + deploy.DefaultNamespace + ":" + name
	// On the target, with the token that it has.
	c := withToken(t, b, "lab-b", string(secretOf(t, deploy.DefaultNamespace, name)["token"]))
	if got := identity(t, c); got != me {
		t.Fatalf("the token rotator is %s", got)
	}
	if err := (request{"POST", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/serviceaccounts/" + account + "/token", `{"spec":{"expirationSeconds":600}}`}).try(t.Context(), c); err != nil {
		t.Errorf("the token rotator makes a token of its account: %v", err)
	}
	accounts := "/api/v1/namespaces/" + red + "/serviceaccounts"
	deniedByRBAC(t, c, me, append([]request{
		{"POST", accounts + "/default/token", `{}`},
		{"POST", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/serviceaccounts/" + pair.AccountName(a.ID, pair.Mapping{Source: blue, Target: blue}, "lab-b") + "/token", `{}`},
		{"POST", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/serviceaccounts/" + name + "/token", `{}`},
		{"GET", accounts, ""},
		{"POST", accounts, `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"mine"}}`},
	}, append(ofNamespace(red), ofCluster()...)...)...)

	// On the source, with a token of its account.
	token, err := a.Kube.CoreV1().ServiceAccounts(deploy.DefaultNamespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(600))},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c = withToken(t, a, "lab-a", token.Status.Token)
	in := "/api/v1/namespaces/" + red + "/secrets"
	for _, r := range []request{{"GET", in + "/" + pair.SecretName("lab-b"), ""}, {"GET", motionAPI + "/namespaces/" + red + "/clusterpairs/lab-b", ""}} {
		if err := r.try(t.Context(), c); err != nil {
			t.Errorf("the token rotator may %s: %v", r, err)
		}
	}
	others := ofNamespace(blue)
	deniedByRBAC(t, c, me, append([]request{
		{"GET", in, ""},
		{"GET", in + "/shop", ""},
		{"DELETE", in + "/" + pair.SecretName("lab-b"), ""},
		{"PATCH", in + "/" + pair.SecretName("lab-b"), `{}`},
		{"POST", in, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"mine"}}`},
		{"PUT", motionAPI + "/namespaces/" + red + "/clusterpairs/lab-b", `{}`},
		{"PATCH", motionAPI + "/namespaces/" + red + "/clusterpairs/lab-b/status", `{}`},
		{"GET", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/secrets/" + name, ""},
	}, append(others, ofCluster()...)...)...)

	// The users of the namespace do not reach the token rotator, nor its token.
	deniedByRBAC(t, s.a, red,
		request{"GET", "/api/v1/namespaces/" + deploy.DefaultNamespace + "/secrets/" + name, ""},
		request{"GET", "/apis/batch/v1/namespaces/" + deploy.DefaultNamespace + "/cronjobs/" + name, ""},
		request{"POST", "/apis/batch/v1/namespaces/" + deploy.DefaultNamespace + "/jobs", `{}`},
		request{"PUT", motionAPI + "/namespaces/" + red + "/clusterpairs/lab-b/status", `{}`})
	// What they write into the pair's Secret is overwritten, and followed by nobody.
	secrets := a.Kube.CoreV1().Secrets(red)
	if _, err := secrets.Patch(t.Context(), pair.SecretName("lab-b"), types.MergePatchType, []byte(`{"stringData":{"server":"https://127.0.0.1:1"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	must(t, "pair", "renew", "lab-b", "--context", "lab-a", "-n", red)
	if got := string(secretOf(t, red, pair.SecretName("lab-b"))["server"]); got != b.Config.Host {
		t.Errorf("the Secret leads to %s", got)
	}
	if err := secrets.Delete(t.Context(), pair.SecretName("lab-b"), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	refused(t, 1, []string{"not found", "pair again"}, "pair", "renew", "lab-b", "--context", "lab-a", "-n", red)
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", red, "--yes")
}
