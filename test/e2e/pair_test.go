//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
)

// withNamespace makes a namespace on a cluster until the test ends.
func withNamespace(t *testing.T, c *cluster.Cluster, name string, labels map[string]string) {
	t.Helper()
	gone(t, c, name)
	_, err := c.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Kube.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	})
}

// gone deletes a namespace of an earlier run.
func gone(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	await(t, "the end of namespace "+name+" on "+c.Name, func() error {
		err := c.Kube.CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is still there: %w", err)
	})
}

// unpair takes a pair of lab-a with lab-b away.
func unpair(t *testing.T, namespace, name string, more ...string) run {
	t.Helper()
	return must(t, append([]string{"unpair", name, "--context", "lab-a", "--to-context", "lab-b", "-n", namespace, "--yes"}, more...)...)
}

// pairs are the pairs of lab-a.
func pairs(t *testing.T) []check.Pair {
	t.Helper()
	var out struct{ Pairs []check.Pair }
	r := motion(t, "pairs", "--context", "lab-a", "-A", "-o", "json")
	if r.code != 0 {
		if strings.Contains(r.stderr, "could not find the requested resource") {
			return nil
		}
		t.Fatal(r)
	}
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	return out.Pairs
}

// dump is every object that a cluster's discovery lists, with its content. What
// controllers write all the time is left out.
func dump(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	c.Discovery.Invalidate()
	lists, err := c.Discovery.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range l.APIResources {
			if !slices.Contains(kind.Verbs, "list") || kind.Kind == "Event" || kind.Kind == "Lease" || kind.Kind == "ComponentStatus" || kind.Group == "metrics.k8s.io" {
				continue
			}
			list, err := c.Resource(gv.WithResource(kind.Name), "").List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				t.Fatalf("%s on %s: %v", kind.Name, c, err)
			}
			for i := range list.Items {
				out[fmt.Sprintf("%s %s %s/%s", c.Name, kind.Name, list.Items[i].GetNamespace(), list.Items[i].GetName())] = content(t, &list.Items[i])
			}
		}
	}
	return out
}

// content is an object without what only says when it was written, and by whom.
func content(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	o = o.DeepCopy()
	o.SetManagedFields(nil)
	o.SetResourceVersion("")
	o.SetGeneration(0)
	unstructured.RemoveNestedField(o.Object, "status")
	annotations := o.GetAnnotations()
	// The aggregator of roles and kubelets of nodes go on.
	maps.DeleteFunc(annotations, func(k, _ string) bool { return strings.HasPrefix(k, "node.") })
	o.SetAnnotations(annotations)
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// differences names what is not the same in two dumps.
func differences(before, after map[string]string) []string {
	var out []string
	for k, v := range after {
		if was, ok := before[k]; !ok {
			out = append(out, k+" is new")
		} else if was != v {
			out = append(out, k+" was "+was+" and is "+v)
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			out = append(out, k+" is gone")
		}
	}
	slices.Sort(out)
	return out
}

func TestUnpairingWithPurgeLeavesNothingOnEitherCluster(t *testing.T) {
	a, b := as(t, "lab-a"), as(t, "lab-b")
	pairing.Lock()
	defer pairing.Unlock()
	pairing.done = nil
	for _, team := range []string{blue, red} {
		reset(t, team)
	}
	for _, p := range pairs(t) {
		unpair(t, p.Namespace, p.Name)
	}
	// Whatever earlier tests left of the API and the agents goes, pair or none.
	must(t, "unpair", "none", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes", "--purge")
	withNamespace(t, a, "pair-once", nil)
	gone(t, b, "pair-once")
	await(t, "the ServiceAccount of the namespace", func() error {
		if _, err := a.Kube.CoreV1().ServiceAccounts("pair-once").Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := a.Kube.CoreV1().ConfigMaps("pair-once").Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	before := [2]map[string]string{dump(t, a), dump(t, b)}

	pairOnce := []string{"pair", "once", "--context", "lab-a", "--to-context", "lab-b", "-n", "pair-once"}
	preview := must(t, append(pairOnce, "--dry-run")...)
	for _, words := range []string{
		"On lab-a:", "objects of the installation are created", "clusterpair.kubectl-motion.dev/once in pair-once is created",
		"On lab-b:", "namespace/pair-once is created (Pod Security restricted)", "motionpolicy.kubectl-motion.dev/pair-once.from.",
	} {
		if !strings.Contains(preview.stdout, words) {
			t.Errorf("the preview does not say %q: %s", words, preview)
		}
	}
	refused(t, 2, []string{"say --yes"}, pairOnce...)
	if d := append(differences(before[0], dump(t, a)), differences(before[1], dump(t, b))...); len(d) > 0 {
		t.Fatalf("a preview wrote something:\n%s", strings.Join(d, "\n"))
	}

	must(t, append(pairOnce, "--yes")...)
	if d := differences(before[1], dump(t, b)); len(d) < 20 {
		t.Fatalf("the dump does not see what pairing made: %s", d)
	}
	if ns, err := b.Kube.CoreV1().Namespaces().Get(t.Context(), "pair-once", metav1.GetOptions{}); err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the namespace that was made has the labels %v, error %v", ns.Labels, err)
	}
	// Without --purge the pair's own things go and nothing else.
	unpair(t, "pair-once", "once")
	for _, d := range append(differences(before[0], dump(t, a)), differences(before[1], dump(t, b))...) {
		for _, ours := range []string{"/motion-from-", "/motion-rotate-", "/motion-pair-", " clusterpairs ", " motionpolicies "} {
			if strings.HasSuffix(d, " is new") && strings.Contains(d, ours) {
				t.Errorf("unpair left %s", d)
			}
		}
	}
	if _, err := a.Kube.AppsV1().DaemonSets("kubectl-motion").Get(t.Context(), "motion-agent", metav1.GetOptions{}); err != nil {
		t.Errorf("the agents went without --purge: %v", err)
	}
	must(t, append(pairOnce, "--yes")...)
	unpair(t, "pair-once", "once", "--purge")
	// Controllers take out of their own objects what was ours: aggregated roles, API services.
	await(t, "both clusters to be as they were", func() error {
		if d := append(differences(before[0], dump(t, a)), differences(before[1], dump(t, b))...); len(d) > 0 {
			return fmt.Errorf("unpair --purge left:\n%s", strings.Join(d, "\n"))
		}
		return nil
	})
}

func TestWhatOtherPairsUseStaysWhenOneIsPurged(t *testing.T) {
	site(t, blue)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	withNamespace(t, a, "pair-two", map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
	withNamespace(t, a, "pair-three", nil)
	for _, ns := range []string{"pair-two", "pair-eu"} {
		gone(t, b, ns)
	}
	both := []string{"pair", "west", "--context", "lab-a", "--to-context", "lab-b", "--namespaces", "pair-two,pair-three", "--to-namespace", "pair-three=pair-eu"}
	refused(t, 1, []string{"namespace pair-two does not exist on lab-b", "--create-namespace=false"}, append(both, "--yes", "--create-namespace=false")...)
	r := must(t, append(both, "--yes", "--max-bandwidth", "50Mi", "--max-concurrent-shipments", "2", "--special-files", "preserve", "--mount-pod-image", "registry.k8s.io/pause:3.10.1")...)
	if want := "clusterpair.kubectl-motion.dev/west paired in namespace pair-two\nclusterpair.kubectl-motion.dev/west paired in namespace pair-three\n"; r.stdout != want {
		t.Errorf("stdout %q", r.stdout)
	}
	m := pair.Mapping{Source: "pair-three", Target: "pair-eu"}
	onSource, onTarget := pair.PolicyNames(a.ID, m, "west")
	for c, name := range map[*cluster.Cluster]string{a: onSource, b: onTarget} {
		p, err := cluster.Get[v1alpha1.MotionPolicy](t.Context(), c, v1alpha1.MotionPolicies, "", name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Spec.MaxBandwidth.String() != "50Mi" || p.Spec.MaxConcurrentShipments != 2 || p.Spec.SpecialFiles != v1alpha1.SpecialFilesPreserve || p.Spec.MountPodTemplate.Image == "" {
			t.Errorf("policy %s on %s is %+v", name, c, p.Spec)
		}
	}
	ns, err := b.Kube.CoreV1().Namespaces().Get(t.Context(), "pair-two", metav1.GetOptions{})
	if err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "baseline" {
		t.Errorf("labels %v, error %v", ns.Labels, err)
	}
	// Again, and without the flags: what was said stays, and nothing is written.
	before := append([]map[string]string{}, dump(t, a), dump(t, b))
	again := must(t, append(both, "--progress", "plain")...) // nothing to ask, so no --yes
	if strings.Contains(again.stderr, "configured") || strings.Contains(again.stderr, "created") {
		t.Errorf("pairing again wrote something: %s", again)
	}
	if d := append(differences(before[0], dump(t, a)), differences(before[1], dump(t, b))...); len(d) > 0 {
		t.Errorf("pairing again changed:\n%s", strings.Join(d, "\n"))
	}

	r = unpair(t, "pair-two", "west", "--purge", "--progress", "plain")
	for _, c := range []string{"lab-a", "lab-b"} {
		if !strings.Contains(r.stderr, "stay on "+c+", which is used by") {
			t.Errorf("it is not said that others use %s: %s", c, r)
		}
	}
	if _, err := b.Kube.CoreV1().Namespaces().Get(t.Context(), "pair-two", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace that pairing made and nobody used is still there: %v", err)
	}
	must(t, "pair", "check", "lab-b", "--context", "lab-a", "-n", blue, "--no-route")

	// A namespace with something in it is not removed.
	put(t, b, "pair-eu", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {a: b}")
	r = unpair(t, "pair-three", "west", "--purge", "--progress", "plain")
	if !strings.Contains(r.stderr, "namespace/pair-eu stays on lab-b, as it holds: configmap/mine") {
		t.Errorf("%s", r)
	}
	if _, err := b.Kube.CoreV1().ConfigMaps("pair-eu").Get(t.Context(), "mine", metav1.GetOptions{}); err != nil {
		t.Errorf("what the namespace held is gone: %v", err)
	}
	gone(t, b, "pair-eu")
	refused(t, 1, []string{"no such pair"}, "unpair", "west", "--context", "lab-a", "--to-context", "lab-b", "-n", "pair-three", "--yes")
	refused(t, 2, []string{"--target-gone"}, "unpair", "west", "--context", "lab-a", "-n", "pair-three", "--yes")
}

func TestPairsOfAllNamespacesNeverMeansTheSystems(t *testing.T) {
	site(t, blue)
	r := must(t, "pair", "all", "--context", "lab-a", "--to-context", "lab-b", "-A", "--pod-security", "keep", "--dry-run")
	for _, ns := range []string{"kube-system", "kube-public", "kube-node-lease", "kubectl-motion"} {
		if strings.Contains(r.stdout, "clusterpair.kubectl-motion.dev/all in "+ns+" ") {
			t.Errorf("%s would be paired: %s", ns, r)
		}
	}
	if !strings.Contains(r.stdout, "clusterpair.kubectl-motion.dev/all in "+red+" is created") {
		t.Errorf("%s is not among all namespaces: %s", red, r)
	}
	refused(t, 2, []string{"system namespace"}, "pair", "all", "--context", "lab-a", "--to-context", "lab-b", "-n", "kube-system")
	refused(t, 2, []string{"system namespace"}, "pair", "all", "--context", "lab-a", "--to-context", "lab-b", "-n", red, "--to-namespace", "kube-system")
}

func TestExportedManifestsHoldEverythingButTheCredential(t *testing.T) {
	site(t, blue)
	folder := t.TempDir()
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--export", folder)
	for file, words := range map[string][]string{
		"source-lab-a.yaml": {"kind: ClusterPair", "kind: CronJob", "kind: DaemonSet", "kind: MotionPolicy", "kubectl motion pair renew lab-b -n " + blue},
		"target-lab-b.yaml": {"kind: MotionPolicy", "name: kubectl-motion:migrator", "name: motion-from-"},
	} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s has no %q", file, w)
			}
		}
		if strings.Contains(string(text), "kind: Secret\n") || strings.Contains(string(text), "eyJ") {
			t.Errorf("%s has a Secret or a token", file)
		}
	}
}

// checked is what pair check says, hop by hop.
func checked(t *testing.T, code int, args ...string) map[string]check.Hop {
	t.Helper()
	r := motion(t, append([]string{"pair", "check", "lab-b", "-o", "json"}, args...)...)
	var out struct{ Pairs []check.Report }
	if r.code != code || json.Unmarshal([]byte(r.stdout), &out) != nil || len(out.Pairs) != 1 {
		t.Fatalf("want exit status %d and one report: %s", code, r)
	}
	hops := map[string]check.Hop{}
	for _, h := range out.Pairs[0].Hops {
		hops[h.Name] = h
	}
	return hops
}

func TestACheckTriesEachHopAndSaysWhatToDo(t *testing.T) {
	site(t, blue)
	a, b := as(t, "lab-a"), as(t, "lab-b")
	for who, name := range map[string]string{"an administrator": "lab-a", "the namespace's user": "lab-a-" + blue} {
		hops := checked(t, 0, "--context", name, "-n", blue)
		for _, hop := range []string{
			"API server of " + name, "pair", "credential", "API server of lab-b", "your rights on " + name, "the credential's rights on the target",
			"agents of " + name, "agents of lab-b", "policy of " + name, "policy of lab-b", "route between the agents",
			"API of kubectl-motion on " + name, "API of kubectl-motion on lab-b",
		} {
			if h, ok := hops[hop]; !ok || h.Verdict != check.OK {
				t.Errorf("as %s: %s is %+v", who, hop, h)
			}
		}
		if h := hops["route between the agents"]; !strings.Contains(h.Message, "MiB/s") {
			t.Errorf("as %s no rate was measured: %+v", who, h)
		}
		if h := hops["agents of lab-b"]; !strings.Contains(h.Message, "2 of 2 ready, version v") {
			t.Errorf("as %s: %+v", who, h)
		}
	}
	_, onTarget := pair.PolicyNames(a.ID, pair.Mapping{Source: blue, Target: blue}, "lab-b")
	if err := b.Resource(v1alpha1.MotionPolicies, "").Delete(t.Context(), onTarget, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	hops := checked(t, 3, "--context", "lab-a", "-n", blue, "--no-route")
	for name, h := range hops {
		if bad := h.Verdict != check.OK; bad != (name == "policy of lab-b") {
			t.Errorf("with no policy on lab-b, %s is %+v", name, h)
		}
	}
	if h := hops["policy of lab-b"]; !strings.Contains(h.Next, "kubectl motion pair") {
		t.Errorf("it is not said what to do: %+v", h)
	}
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes")
	checked(t, 0, "--context", "lab-a", "-n", blue, "--no-route")
	checkMissesARight(t)
	checkMissesAKind(t)
	refused(t, 1, []string{"no pair nowhere in namespace " + blue, "there are: lab-b"}, "pair", "check", "nowhere", "--context", "lab-a", "-n", blue)

	list := must(t, "pairs", "--context", "lab-a-"+blue, "-n", blue)
	if !strings.Contains(list.stdout, "lab-b") || !strings.Contains(list.stdout, "True") {
		t.Errorf("the team's list: %s", list)
	}
	if names := must(t, "pair", "list", "--context", "lab-a-"+blue, "-n", blue, "-o", "name"); names.stdout != "clusterpair.kubectl-motion.dev/lab-b\n" {
		t.Errorf("names: %s", names)
	}
	refused(t, 1, []string{"forbidden"}, "pairs", "--context", "lab-a-"+blue, "-A")
}

// One right is taken from the credential's role that no sample would have asked for.
func checkMissesARight(t *testing.T) {
	t.Helper()
	roles := as(t, "lab-b").Kube.RbacV1().ClusterRoles()
	role, err := roles.Get(t.Context(), "kubectl-motion:migrator-core", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.APIGroups, "policy") })
	if _, err := roles.Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	const hop = "the credential's rights on the target"
	await(t, "the missing right to be found", func() error {
		r := motion(t, "pair", "check", "lab-b", "--context", "lab-a-"+blue, "-n", blue, "--no-route")
		if r.code != 3 || !strings.Contains(r.stdout, "get/list/watch/create/update/patch/delete poddisruptionbudgets.policy") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes")
	if h := checked(t, 0, "--context", "lab-a-"+blue, "-n", blue, "--no-route")[hop]; h.Verdict != check.OK {
		t.Errorf("%+v", h)
	}
}

// A kind's definition on the target is of another version.
func checkMissesAKind(t *testing.T) {
	t.Helper()
	b := as(t, "lab-b")
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	const kind = "migrations.kubectl-motion.dev"
	change := `[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/later","value":{"type":"string"}}]`
	if _, err := b.Resource(definitions, "").Patch(t.Context(), kind, types.JSONPatchType, []byte(change), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, h := range checked(t, 3, "--context", "lab-a-"+blue, "-n", blue, "--no-route") {
		if bad := h.Verdict != check.OK; bad != (name == "API of kubectl-motion on lab-b") || bad && (!strings.Contains(h.Message, kind) || !strings.Contains(h.Next, "kubectl motion agent upgrade")) {
			t.Errorf("%s is %+v", name, h)
		}
	}
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes")
	checked(t, 0, "--context", "lab-a-"+blue, "-n", blue, "--no-route")
}
