//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// refused runs the plugin and wants an exit status, words on stderr, and nothing
// on stdout.
func refused(t *testing.T, code int, words []string, args ...string) run {
	t.Helper()
	r := motion(t, args...)
	if r.code != code || r.stdout != "" {
		t.Errorf("want exit status %d and nothing on stdout: %s", code, r)
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("stderr does not say %q: %s", w, r)
		}
	}
	return r
}

// watched are the kinds whose objects a refused run must not have touched.
var watched = []string{
	"statefulsets.v1.apps", "deployments.v1.apps", "daemonsets.v1.apps", "horizontalpodautoscalers.v2.autoscaling",
	"services.v1.", "configmaps.v1.", "secrets.v1.", "persistentvolumeclaims.v1.", "pods.v1.", "serviceaccounts.v1.",
	"roles.v1.rbac.authorization.k8s.io", "rolebindings.v1.rbac.authorization.k8s.io",
	"migrations.v1alpha1.kubectl-motion.dev", "volumeshipments.v1alpha1.kubectl-motion.dev", "clusterpairs.v1alpha1.kubectl-motion.dev",
}

// specsOf returns which objects a namespace has, and in which state of their specs.
func specsOf(t *testing.T, namespace string, clusters ...*cluster.Cluster) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range clusters {
		for _, kind := range watched {
			list, err := c.Resource(resourceNamed(kind), namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list.Items {
				state := fmt.Sprintf("%s generation %d", o.GetUID(), o.GetGeneration())
				if o.GetGeneration() == 0 && o.GetKind() != "Pod" {
					state = fmt.Sprintf("%s version %s", o.GetUID(), o.GetResourceVersion())
				}
				out[c.Name+" "+kind+" "+o.GetName()] = state
			}
		}
	}
	return out
}

// unchanged fails when the namespace is not as it was.
func unchanged(t *testing.T, before map[string]string, namespace string, clusters ...*cluster.Cluster) {
	t.Helper()
	after := specsOf(t, namespace, clusters...)
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] != after[key] {
			t.Errorf("%s was %q, is %q", key, before[key], after[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[key]; !ok {
			t.Errorf("%s is gone", key)
		}
	}
}

func TestTheMessageNamesTheContextThatIsMissing(t *testing.T) {
	refused(t, 2, []string{`context "lab-x" does not exist`}, "migrate", "--context", "lab-x", "--to", "lab-b")
	refused(t, 2, []string{`--to-context lab-x: context "lab-x" does not exist`}, "migrate", "--context", "lab-a-"+blue, "--to-context", "lab-x")
	refused(t, 2, []string{`--to-context lab-x`}, "pair", "x", "--context", "lab-a", "--to-context", "lab-x")
}

func TestAMissingPairIsAnsweredWithThoseThereAre(t *testing.T) {
	site(t, blue)
	refused(t, 1, []string{"no such pair nowhere: namespace " + blue, "has: lab-b"},
		"migrate", "--context", "lab-a-"+blue, "--to", "nowhere")
	refused(t, 1, []string{"namespace default on lab-a has no pairs", "kubectl motion pair nowhere --to-context"},
		"migrate", "--context", "lab-a", "-n", "default", "--to", "nowhere")
	// The clusters do not know the namespace of another team to this user.
	refused(t, 1, []string{"forbidden", "to list your rights"},
		"migrate", "--context", "lab-a-"+blue, "-n", red, "--to", "lab-b")
}

func TestAClusterIsNoPairWithItself(t *testing.T) {
	site(t, blue)
	refused(t, 1, []string{"lab-a and lab-a are the same cluster", "check --context and --to-context"},
		"pair", "self", "--context", "lab-a", "--to-context", "lab-a", "-n", blue)
	refused(t, 1, []string{"same cluster"}, "migrate", "--context", "lab-a-"+blue, "--to-context", "lab-a-"+blue)
	pairs, err := as(t, "lab-a").Resource(resourceNamed("clusterpairs.v1alpha1.kubectl-motion.dev"), blue).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pairs.Items) != 1 {
		t.Errorf("%d pairs in %s, error %v; want the one that was there", len(pairs.Items), blue, err)
	}
}

func TestPairingTwiceChangesNothing(t *testing.T) {
	site(t, blue)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	before := specsOf(t, blue, a, b)
	r := must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes", "--progress", "plain")
	objects := 0
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "    ") {
			continue
		}
		objects++
		if !strings.HasSuffix(strings.TrimSpace(line), " unchanged") {
			t.Errorf("a second pairing says %q", strings.TrimSpace(line))
		}
	}
	if objects < 40 {
		t.Errorf("only %d lines about objects: %s", objects, r)
	}
	unchanged(t, before, blue, a, b)
}

func TestATeamThatPairsIsToldWhichRightsItLacksAndNothingChanges(t *testing.T) {
	site(t, blue)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	before := specsOf(t, blue, a, b)
	refused(t, 1, []string{
		"on lab-a-" + blue + " you may not: ", "create customresourcedefinitions.apiextensions.k8s.io",
		"create clusterroles.rbac.authorization.k8s.io", "create daemonsets.apps in kubectl-motion", "nothing was changed",
		"pairing is for administrators of both clusters", "kubectl get clusterpairs",
	}, "pair", "mine", "--context", "lab-a-"+blue, "--to-context", "lab-b-"+blue, "--yes")
	// Rights on one side are not enough.
	refused(t, 1, []string{"on lab-b-" + blue + " you may not: ", "bind clusterroles.rbac.authorization.k8s.io", "nothing was changed"},
		"pair", "mine", "--context", "lab-a", "-n", blue, "--to-context", "lab-b-"+blue, "--yes")
	unchanged(t, before, blue, a, b)
}

func TestATargetThatDoesNotAnswerIsNamed(t *testing.T) {
	s := opened(t, blue, "lab-local")
	mended(t, "start", "lab-b/kube-apiserver")
	motionLab(t, "stop", "lab-b/kube-apiserver")
	r := refused(t, 1, []string{"the target of pair " + blue + "/lab-b", "cluster lab-b (https://", "unreachable"}, s.migrate("--cutover")...)
	if !strings.Contains(r.stderr, "connection refused") {
		t.Errorf("the message does not say what happened: %s", r)
	}
	refused(t, 1, []string{"cluster lab-b-" + blue + " (https://", "unreachable"},
		"migrate", "--context", "lab-a-"+blue, "--to-context", "lab-b-"+blue)
	motionLab(t, "start", "lab-b/kube-apiserver")
	await(t, "the API server of lab-b", func() error {
		_, err := s.b.Kube.CoreV1().Pods(s.namespace).List(t.Context(), metav1.ListOptions{})
		return err
	})
	s.runsOnly(t, s.a, s.b)
	s.untouched(t)
}

// blocker is a workload that a cutover must not stop, and why.
type blocker struct{ name, manifest, reason, hint string }

const asleep = `
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: c
          image: lab/tools:1
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}`

var blockers = []blocker{
	{
		"a Deployment that Argo CD keeps", `apiVersion: apps/v1
kind: Deployment
metadata: {name: synced, annotations: {argocd.argoproj.io/tracking-id: "shop:apps/Deployment:shop/synced"}}
spec:
  replicas: 0` + strings.ReplaceAll(asleep, "NAME", "synced"),
		"Argo CD manages it and would start it again", "suspend synchronization",
	},
}

func TestACutoverThatWouldNotHoldIsRefusedWithTheReasonAndChangesNothing(t *testing.T) {
	reset(t, blue)
	s := site(t, blue)
	for _, b := range blockers {
		t.Run(b.name, func(t *testing.T) {
			reset(t, blue)
			put(t, s.a, blue, b.manifest)
			before := settled(t, s)
			refused(t, 4, []string{"blocked: ", b.reason, b.hint}, s.migrate("--cutover")...)
			unchanged(t, before, blue, s.a, s.b)
		})
	}
	t.Run("a Deployment that a custom resource owns", func(t *testing.T) {
		reset(t, blue)
		kind := customKind(t)
		put(t, as(t, "lab-a"), blue, "apiVersion: "+kind.apiVersion+"\nkind: Database\nmetadata: {name: main}\nspec: {size: 1}")
		owner, err := as(t, "lab-a").Resource(resourceNamed(kind.resource), blue).Get(t.Context(), "main", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, as(t, "lab-a"), blue, fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: owned
  ownerReferences: [{apiVersion: %s, kind: Database, name: main, uid: %s, controller: true}]
spec:
  replicas: 0`, kind.apiVersion, owner.GetUID())+strings.ReplaceAll(asleep, "NAME", "owned"))
		before := settled(t, s)
		refused(t, 4, []string{"blocked: ", "main", "would start"}, s.migrate("--cutover")...)
		unchanged(t, before, blue, s.a, s.b)
	})
}

// settled waits until the controllers of lab-a have seen what was made, and
// returns the snapshot of then.
func settled(t *testing.T, s *shop) map[string]string {
	t.Helper()
	await(t, "the controllers of "+s.a.Name, func() error {
		for _, kind := range []string{"statefulsets.v1.apps", "deployments.v1.apps"} {
			list, err := s.a.Resource(resourceNamed(kind), s.namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, o := range list.Items {
				status, _ := o.Object["status"].(map[string]any)
				if seen, _ := status["observedGeneration"].(int64); seen < o.GetGeneration() {
					return fmt.Errorf("%s %s is new", o.GetKind(), o.GetName())
				}
			}
		}
		return nil
	})
	return specsOf(t, s.namespace, s.a, s.b)
}

type kindOfOurs struct{ apiVersion, resource string }

// customKind installs a CRD on both clusters and removes it after the test.
func customKind(t *testing.T) kindOfOurs {
	t.Helper()
	crds := resourceNamed("customresourcedefinitions.v1.apiextensions.k8s.io")
	const name = "databases.e2e.example.com"
	for _, c := range []*cluster.Cluster{as(t, "lab-a"), as(t, "lab-b")} {
		remove := func() {
			_ = c.Resource(crds, "").Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		}
		remove()
		await(t, "the end of an old "+name, func() error {
			_, err := c.Resource(crds, "").Get(t.Context(), name, metav1.GetOptions{})
			if err == nil {
				return errStill
			}
			return nil
		})
		put(t, c, "", `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: `+name+`}
spec:
  group: e2e.example.com
  scope: Namespaced
  names: {kind: Database, plural: databases, singular: database, listKind: DatabaseList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}`)
		t.Cleanup(remove)
		await(t, "kind Database on "+c.Name, func() error {
			_, err := c.Resource(resourceNamed("databases.v1.e2e.example.com"), corev1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
			return err
		})
	}
	return kindOfOurs{"e2e.example.com/v1", "databases.v1.e2e.example.com"}
}
