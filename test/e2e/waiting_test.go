//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

const engineDefinition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: engines.e2e.example.com}
spec:
  group: e2e.example.com
  names: {kind: Engine, listKind: EngineList, plural: engines, singular: engine}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`

// operated is what the operator of an Engine would have made, a set whose claims
// are deleted with its pods, and a claim that nobody has used yet.
const operated = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: pg, ownerReferences: [{apiVersion: e2e.example.com/v1, kind: Engine, name: pg, uid: UID, controller: true}]}
spec:
  replicas: 0
  serviceName: pg
  selector: {matchLabels: {app: pg}}
  template: {metadata: {labels: {app: pg}}, spec: {containers: [{name: a, image: "lab/web:1"}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: fragile}
spec:
  replicas: 0
  serviceName: fragile
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}
  selector: {matchLabels: {app: fragile}}
  template:
    metadata: {labels: {app: fragile}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: a, image: "lab/web:1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: lab-local, resources: {requests: {storage: 16Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: spare}
spec: {accessModes: [ReadWriteOnce], storageClassName: lab-local, resources: {requests: {storage: 16Mi}}}`

// TestACopyIsSwitchedOnAndOffWithoutLosingAPartOrItsData: an administrator moves
// a namespace with an operator's custom resource, which cannot be on standby, and with
// a StatefulSet whose controller deletes the claims of pods that are scaled away.
func TestACopyIsSwitchedOnAndOffWithoutLosingAPartOrItsData(t *testing.T) {
	const ns = "e2e-waiting"
	paired(t, "blue") // what a migration needs on both clusters
	a, b := as(t, "lab-a"), as(t, "lab-b")
	for _, c := range []*cluster.Cluster{a, b} {
		withNamespace(t, c, ns, nil)
		defined(t, c, engineDefinition, "engines.v1.e2e.example.com")
	}
	put(t, a, ns, "apiVersion: e2e.example.com/v1\nkind: Engine\nmetadata: {name: pg}\nspec: {size: 1}")
	engine, err := a.Resource(resourceNamed("engines.v1.e2e.example.com"), ns).Get(t.Context(), "pg", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, ns, strings.ReplaceAll(operated, "UID", string(engine.GetUID())))
	verb := func(verb string, more ...string) []string {
		return append([]string{verb, "--context", "lab-a", "--to-context", "lab-b", "-n", ns, "--progress", "plain"}, more...)
	}

	if r := must(t, verb("migrate")...); !strings.Contains(r.stdout, "--start") {
		t.Errorf("the next step is not named: %s", r)
	}
	t.Run("activate is refused while something waits", func(t *testing.T) {
		r := motion(t, verb("activate")...)
		if r.code != 4 || !strings.Contains(r.stderr, "engine.e2e.example.com/pg") || !strings.Contains(r.stderr, "-n "+ns+" --start") {
			t.Errorf("%s", r)
		}
		for _, c := range []*cluster.Cluster{a, b} {
			if m := onlyMigration(t, c, ns); meta.FindStatusCondition(m.Status.Conditions, v1alpha1.MigrationTargetActive) != nil {
				t.Errorf("on %s the refused activation left %+v", c, m.Status.Conditions)
			}
		}
	})
	must(t, verb("migrate", "--start")...)
	if _, err := b.Resource(resourceNamed("engines.v1.e2e.example.com"), ns).Get(t.Context(), "pg", metav1.GetOptions{}); err != nil {
		t.Errorf("what waited did not come with the start: %v", err)
	}

	t.Run("deactivate keeps the claims of a set that deletes them", func(t *testing.T) { keepsClaims(t, b, ns, verb) })

	t.Run("a claim is pruned only with consent to lose its data", func(t *testing.T) {
		claims := b.Kube.CoreV1().PersistentVolumeClaims(ns)
		if err := a.Kube.CoreV1().PersistentVolumeClaims(ns).Delete(t.Context(), "spare", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the source's claim", func() error { return absent(a, ns, "spare") })
		r := must(t, verb("migrate", "--prune")...)
		if c, err := claims.Get(t.Context(), "spare", metav1.GetOptions{}); err != nil || c.DeletionTimestamp != nil {
			t.Errorf("deleted without consent: %v", err)
		}
		if !strings.Contains(r.stderr, "persistentvolumeclaim/spare") || !strings.Contains(r.stderr, "--prune-volumes") {
			t.Errorf("nobody is told that it stays: %s", r)
		}
		must(t, verb("migrate", "--prune", "--prune-volumes")...)
		await(t, "the end of the pruned claim", func() error { return absent(b, ns, "spare") })
		if _, err := claims.Get(t.Context(), "data-fragile-0", metav1.GetOptions{}); err != nil {
			t.Errorf("a claim that no migration brought is gone, too: %v", err)
		}
	})
}

// keepsClaims lets the target's controller make a pod and its claim, and puts the
// copy to rest and wakes it again.
func keepsClaims(t *testing.T, b *cluster.Cluster, ns string, verb func(string, ...string) []string) {
	sets := b.Kube.AppsV1().StatefulSets(ns)
	scale, err := sets.GetScale(t.Context(), "fragile", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 1
	if _, err := sets.UpdateScale(t.Context(), "fragile", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	podOf(t, b, ns, "app=fragile")
	was, err := b.Kube.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), "data-fragile-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	must(t, verb("deactivate")...)
	set := caughtUp(t, b, ns)
	if policy := set.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled; *set.Spec.Replicas != 0 || policy != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Errorf("on standby: %d replicas, whenScaled %s", *set.Spec.Replicas, policy)
	}
	if pods := (&shop{namespace: ns}).pods(t, b, "app=fragile"); len(pods) != 0 {
		t.Errorf("pods of the deactivated copy: %q", pods)
	}
	same := func() {
		t.Helper()
		is, err := b.Kube.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), "data-fragile-0", metav1.GetOptions{})
		if err != nil || is.UID != was.UID || is.DeletionTimestamp != nil {
			t.Errorf("the claim %s is gone, or another one, or is being deleted: %s, deleted %v, error %v", was.UID, is.UID, is.DeletionTimestamp, err)
		}
	}
	same()
	must(t, verb("activate")...)
	set = caughtUp(t, b, ns)
	if policy := set.Spec.PersistentVolumeClaimRetentionPolicy.WhenScaled; *set.Spec.Replicas != 1 || policy != appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
		t.Errorf("active again: %d replicas, whenScaled %s", *set.Spec.Replicas, policy)
	}
	same()
	must(t, verb("deactivate")...)
	caughtUp(t, b, ns)
	same()
}

// caughtUp waits until the set's controller has done what the set says.
func caughtUp(t *testing.T, c *cluster.Cluster, ns string) *appsv1.StatefulSet {
	t.Helper()
	var set *appsv1.StatefulSet
	await(t, "the controller of the set", func() (err error) {
		set, err = c.Kube.AppsV1().StatefulSets(ns).Get(t.Context(), "fragile", metav1.GetOptions{})
		if err == nil && (set.Status.ObservedGeneration != set.Generation || set.Status.Replicas != *set.Spec.Replicas) {
			err = fmt.Errorf("generation %d of %d, %d replicas of %d", set.Status.ObservedGeneration, set.Generation, set.Status.Replicas, *set.Spec.Replicas)
		}
		return err
	})
	return set
}

func absent(c *cluster.Cluster, ns, claim string) error {
	_, err := c.Kube.CoreV1().PersistentVolumeClaims(ns).Get(context.Background(), claim, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(errStill, err)
}

func onlyMigration(t *testing.T, c *cluster.Cluster, ns string) v1alpha1.Migration {
	t.Helper()
	list, err := cluster.List[v1alpha1.Migration](t.Context(), c, v1alpha1.Migrations, ns, metav1.ListOptions{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d migrations in %s on %s, error %v", len(list), ns, c, err)
	}
	return list[0]
}

// defined installs the definition of a kind, waits until it is served, and removes
// it after.
func defined(t *testing.T, c *cluster.Cluster, definition, resource string) {
	t.Helper()
	put(t, c, "", definition)
	gvr := resourceNamed(resource)
	t.Cleanup(func() {
		crds := c.Resource(resourceNamed("customresourcedefinitions.v1.apiextensions.k8s.io"), "")
		if err := crds.Delete(context.WithoutCancel(t.Context()), gvr.Resource+"."+gvr.Group, metav1.DeleteOptions{}); err != nil {
			t.Errorf("the definition of %s stays on %s: %v", resource, c, err)
		}
	})
	await(t, "the kind "+resource+" on "+c.Name, func() error {
		_, err := c.Resource(gvr, "default").Create(t.Context(),
			&unstructured.Unstructured{Object: map[string]any{"apiVersion": gvr.GroupVersion().String(), "kind": "Engine", "metadata": map[string]any{"name": "probe"}}},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
}
