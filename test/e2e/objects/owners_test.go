//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

func core(resource, kind, namespace, name string) inventory.Ref {
	return inventory.Ref{Version: "v1", Resource: resource, Kind: kind, Namespace: namespace, Name: name}
}

// owned writes an object with an owner, as its creator would.
func owned(owner *unstructured.Unstructured, kind, name, rest string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata: {name: %s, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s}]}\n%s",
		kind, name, owner.GetAPIVersion(), owner.GetKind(), owner.GetName(), owner.GetUID(), rest)
}

// TestOwnersAreOwnersAgainAndTheCollectorWorksOnTheTarget: what was tied to an
// object that moved is tied to it again, under the UID that it has there, and
// deleting the one collects the other and nothing else.
func TestOwnersAreOwnersAgainAndTheCollectorWorksOnTheTarget(t *testing.T) {
	const ns = "obj-owners"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	kinds(t, a)
	kinds(t, b)
	write(t, a, ns, shop)
	deployment := live(t, a, deploymentRef(ns))
	widget := write(t, a, ns, "apiVersion: corpus.example.com/v1\nkind: Widget\nmetadata: {name: operated}\nspec: {size: 1}")[0]
	keeper := write(t, a, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keeper}")[0]
	write(t, a, ns, owned(deployment, "ConfigMap", "tied", "data: {a: b}")+"\n---\n"+
		owned(widget, "Secret", "password", "stringData: {p: w}")+"\n---\n"+
		owned(widget, "PersistentVolumeClaim", "data", "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}")+"\n---\n"+
		owned(keeper, "ConfigMap", "kept", "data: {a: b}"))
	// Somebody else's object of the owner's name is on the target.
	write(t, b, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: keeper}")
	request := plan.Request{SourceNamespace: ns}
	p, _ := bring(t, a, b, request)
	for _, want := range []int{3, 0} {
		if n, err := apply.Relink(t.Context(), b, p.Links); err != nil || n != want {
			t.Fatalf("%d objects were written, error %v, want %d", n, err, want)
		}
	}
	there := live(t, b, deploymentRef(ns))
	for name, ref := range map[string]inventory.Ref{"tied": core("configmaps", "ConfigMap", ns, "tied"), "kept": core("configmaps", "ConfigMap", ns, "kept")} {
		owners := live(t, b, ref).GetOwnerReferences()
		switch {
		case name == "kept" && len(owners) != 0:
			t.Errorf("%s belongs to an object that we did not bring: %v", name, owners)
		case name == "tied" && (len(owners) != 1 || owners[0].UID != there.GetUID() || owners[0].Kind != "Deployment"):
			t.Errorf("%s belongs to %v, want the deployment %s", name, owners, there.GetUID())
		}
	}
	if again, set := bring(t, a, b, request); set.Count(apply.Unchanged) != len(set.Rows) {
		t.Errorf("with its owners the copy is not the same any more: %+v %v", set, again.Warnings)
	}

	if err := b.Resource(deploymentRef(ns).GVR(), ns).Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone(t, b, core("configmaps", "ConfigMap", ns, "tied"))
	live(t, b, core("configmaps", "ConfigMap", ns, "conf"))
	live(t, b, core("configmaps", "ConfigMap", ns, "kept"))

	t.Run("and a pruned owner takes no claim with it", func(t *testing.T) {
		w := live(t, b, widgetRef(ns))
		ref := widgetRef(ns)
		ref.UID = w.GetUID()
		if set, err := apply.Prune(t.Context(), b, []inventory.Ref{ref}); err != nil || set.Count(apply.Pruned) != 1 {
			t.Fatalf("%+v %v", set, err)
		}
		gone(t, b, core("secrets", "Secret", ns, "password"))
		claim := live(t, b, core("persistentvolumeclaims", "PersistentVolumeClaim", ns, "data"))
		if claim.GetDeletionTimestamp() != nil || len(claim.GetOwnerReferences()) != 0 {
			t.Errorf("the claim goes with its owner: %v", claim.Object["metadata"])
		}
	})
}

func widgetRef(ns string) inventory.Ref {
	return inventory.Ref{Group: "corpus.example.com", Version: "v1", Resource: "widgets", Kind: "Widget", Namespace: ns, Name: "operated"}
}

// gone waits for the garbage collector.
func gone(t *testing.T, c *cluster.Cluster, ref inventory.Ref) {
	t.Helper()
	await(t, "the end of "+ref.String(), func() error {
		_, err := c.Resource(ref.GVR(), ref.Namespace).Get(t.Context(), ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
}

// TestAStatefulSetThatDeletesItsClaimsKeepsThemWhenItIsStopped: with the real
// controller, which deletes the claims of every pod that is scaled away.
func TestAStatefulSetThatDeletesItsClaimsKeepsThemWhenItIsStopped(t *testing.T) {
	const ns = "obj-fragile"
	a := as(t, "lab-a")
	namespace(t, a, ns)
	write(t, a, ns, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: fragile}
spec:
  serviceName: db
  replicas: 1
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}
  selector: {matchLabels: {app: fragile}}
  template:
    metadata: {labels: {app: fragile}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "lab/web:1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: lab-local, resources: {requests: {storage: 16Mi}}}`)
	claim := core("persistentvolumeclaims", "PersistentVolumeClaim", ns, "data-fragile-0")
	set := inventory.Ref{Group: "apps", Version: "v1", Resource: "statefulsets", Kind: "StatefulSet", Namespace: ns, Name: "fragile"}
	await(t, "the set's pod", func() error {
		if n, _, _ := unstructured.NestedInt64(live(t, a, set).Object, "status", "readyReplicas"); n != 1 {
			return errors.New("it is not ready")
		}
		return nil
	})
	uid := live(t, a, claim).GetUID()
	found, err := workload.List(t.Context(), a, ns)
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := workload.Remember(found)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a repeated stop is none
		if err := workload.Stop(t.Context(), a, ns, "test", stopped); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the end of the pod", func() error {
		u := live(t, a, set)
		n, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
		seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
		if n != 0 || seen != u.GetGeneration() {
			return fmt.Errorf("%d replicas, generation %d of %d", n, seen, u.GetGeneration())
		}
		return nil
	})
	stays(t, a, claim, uid)
	if err := workload.Start(t.Context(), a, ns, stopped); err != nil {
		t.Fatal(err)
	}
	u := live(t, a, set)
	policy, _, _ := unstructured.NestedString(u.Object, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled")
	replicas, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if policy != "Delete" || replicas != 1 || len(u.GetAnnotations()) != 0 {
		t.Errorf("it was not put back: whenScaled %s, %d replicas, annotations %v", policy, replicas, u.GetAnnotations())
	}
	stays(t, a, claim, uid)
}

func stays(t *testing.T, c *cluster.Cluster, ref inventory.Ref, uid types.UID) {
	t.Helper()
	if u := live(t, c, ref); u.GetUID() != uid || u.GetDeletionTimestamp() != nil {
		t.Errorf("%s is another one, or is being deleted: %v", ref, u.Object["metadata"])
	}
}
