// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// ledgerSet is a StatefulSet with one pod and its PVC; the PVC's metadata is open.
func ledgerSet(claimMeta string) string {
	return `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ledger, namespace: shop, uid: ledger-uid}
spec:
  replicas: 1
  template: {spec: {containers: [{name: a, image: x}]}}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast, resources: {requests: {storage: 1Gi}}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: ledger-0, namespace: shop, uid: ledger-0-uid, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: ledger, uid: ledger-uid, controller: true}]}
spec: {containers: [{name: a, image: x}], volumes: [{name: data, persistentVolumeClaim: {claimName: data-ledger-0}}]}
status: {phase: Running}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-ledger-0, namespace: shop, uid: data-uid` + claimMeta + `}
spec: {storageClassName: fast, volumeName: pv-1, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
status: {phase: Bound, capacity: {storage: 1Gi}}`
}

const (
	inDeletion = `, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [kubernetes.io/pvc-protection]`
	ofThePod   = `, ownerReferences: [{apiVersion: v1, kind: Pod, name: ledger-0, uid: ledger-0-uid}]`
)

func TestStop(t *testing.T) {
	t.Run("a PVC in deletion that only pods hold blocks a cutover", func(t *testing.T) {
		s := tell(t, ledgerSet(inDeletion))
		s.request.Mode = v1alpha1.ModeCutover
		s.tells(s.plan().Blockers, CodeStopDeletes, "persistentvolumeclaim/data-ledger-0", "statefulset.apps/ledger", "kubectl patch persistentvolume pv-1")
	})
	t.Run("a PVC in deletion is a warning without a cutover", func(t *testing.T) {
		s := tell(t, ledgerSet(inDeletion))
		p := s.plan()
		s.silent(p.Blockers, CodeStopDeletes)
		s.tells(p.Warnings, CodeStopDeletes, "persistentvolumeclaim/data-ledger-0", "statefulset.apps/ledger")
	})
	t.Run("a PVC that a pod owns blocks a cutover", func(t *testing.T) {
		s := tell(t, ledgerSet(ofThePod))
		s.request.Mode = v1alpha1.ModeCutover
		s.tells(s.plan().Blockers, CodeStopDeletes, "persistentvolumeclaim/data-ledger-0", "pod/ledger-0", `kubectl -n shop patch persistentvolumeclaims/data-ledger-0`)
	})
	t.Run("a PVC with another owner stays", func(t *testing.T) {
		s := tell(t, ledgerSet(`, ownerReferences: [{apiVersion: v1, kind: Pod, name: ledger-0, uid: ledger-0-uid}, {apiVersion: apps/v1, kind: StatefulSet, name: ledger, uid: ledger-uid}]`))
		s.request.Mode = v1alpha1.ModeCutover
		s.silent(s.plan().Blockers, CodeStopDeletes)
	})
	t.Run("an excluded workload is not stopped", func(t *testing.T) {
		s := tell(t, strings.Replace(ledgerSet(inDeletion), "uid: ledger-uid}", `uid: ledger-uid, annotations: {kubectl-motion.dev/skip: "true"}}`, 1))
		s.request.Mode = v1alpha1.ModeCutover
		s.silent(s.plan().Blockers, CodeStopDeletes)
	})
	t.Run("objects of a bare pod go with it", func(t *testing.T) {
		s := tell(t, `
apiVersion: v1
kind: Pod
metadata: {name: driver, uid: driver-uid}
spec: {containers: [{name: a, image: x}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: driver-conf, ownerReferences: [{apiVersion: v1, kind: Pod, name: driver, uid: driver-uid}]}`)
		s.request.Mode = v1alpha1.ModeCutover
		s.tells(s.plan().Blockers, CodeStopDeletes, "configmap/driver-conf", "pod/driver")
	})
	t.Run("a pod with a finalizer is a warning", func(t *testing.T) {
		s := tell(t, strings.Replace(ledgerSet(""), "uid: ledger-0-uid,", "uid: ledger-0-uid, finalizers: [example.com/hold],", 1))
		s.request.Mode = v1alpha1.ModeCutover
		s.tells(s.plan().Warnings, CodePodFinalizer, "pod/ledger-0", "example.com/hold")
	})
}

// TestStopBlockers checks the same rules against the cluster right before the stop.
func TestStopBlockers(t *testing.T) {
	s := tell(t, ledgerSet(""))
	s.request.Mode = v1alpha1.ModeCutover
	p := s.plan()
	s.silent(p.Blockers, CodeStopDeletes)
	for meta, want := range map[string]int{"": 0, inDeletion: 1, ofThePod: 1} {
		var objects []runtime.Object
		for doc := range strings.SplitSeq(ledgerSet(meta), "\n---") {
			objects = append(objects, yamlObject(t, doc))
		}
		src := &cluster.Cluster{Name: "fake", Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			core("pods"): "PodList", core("persistentvolumeclaims"): "PersistentVolumeClaimList",
			{Group: "apps", Version: "v1", Resource: "replicasets"}:  "ReplicaSetList",
			{Group: "apps", Version: "v1", Resource: "statefulsets"}: "StatefulSetList",
		}, objects...)}
		got, err := StopBlockers(t.Context(), src, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != want {
			t.Errorf("with %q: %v, want %d findings", meta, got, want)
		}
	}
}

// TestRollback: what a rollback has to create is checked before the stop.
func TestRollback(t *testing.T) {
	const notebook = `
apiVersion: v1
kind: Pod
metadata: {name: notebook, uid: notebook-uid, resourceVersion: "7"}
spec:
  nodeName: node-1
  containers: [{name: a, image: x}]
  ephemeralContainers: [{name: debugger, image: x}]
status: {phase: Running}`
	t.Run("a pod is created without ephemeral containers", func(t *testing.T) {
		s := tell(t, notebook)
		pod, err := restartedPod(s.inventory().Objects[0])
		if err != nil {
			t.Fatal(err)
		}
		s.gone(pod, "spec.ephemeralContainers", "spec.nodeName", "status", "metadata.name", "metadata.resourceVersion")
		s.has(pod, "metadata.generateName", "notebook-")
	})
	t.Run("a pod that the source rejects blocks a cutover", func(t *testing.T) {
		s := tell(t, notebook)
		s.request.Mode = v1alpha1.ModeCutover
		d, err := NewDraft(s.inventory(), s.facts, s.request)
		if err != nil {
			t.Fatal(err)
		}
		d.WithRollbacks(map[types.UID]*apply.Problem{"notebook-uid": {Cause: apply.CauseDenied, Message: "violates PodSecurity"}})
		p, err := Build(d, Observation{})
		if err != nil {
			t.Fatal(err)
		}
		s.tells(p.Blockers, CodeNoRollback, "pod/notebook", "violates PodSecurity")
	})
	t.Run("a bare pod with volumes blocks a cutover", func(t *testing.T) {
		s := tell(t, claim+"\n---"+strings.Replace(notebook, "containers: [", "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n  containers: [", 1))
		s.silent(s.plan().Blockers, CodeBarePod)
		s.request.Mode = v1alpha1.ModeCutover
		s.tells(s.plan().Blockers, CodeBarePod, "pod/notebook", "kubectl -n shop delete pods/notebook")
	})
}

func TestSamplePodOfAStatefulSet(t *testing.T) {
	s := tell(t, strings.Replace(ledgerSet(""), "containers: [{name: a, image: x}]}}", "containers: [{name: a, image: x}], volumes: [{name: data, emptyDir: {}}]}}", 1))
	pod, err := samplePod(s.item(s.plan(), "statefulset.apps/ledger"))
	if err != nil {
		t.Fatal(err)
	}
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	if len(volumes) != 1 {
		t.Errorf("the PVC replaces the volume of the same name, got %v", volumes)
	}
}
