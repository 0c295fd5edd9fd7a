//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// corpusNamespace is named in some of the corpus's objects.
const corpusNamespace = "obj-corpus"

// kinds installs the corpus's custom kinds on a cluster and removes them after.
// The objects go first: a definition waits for those with finalizers.
func kinds(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	install(t, c, corpus(t, "00-kinds.yaml"))
}

// install writes definitions of kinds, waits until they are served, and removes
// them when the test ends.
func install(t *testing.T, c *cluster.Cluster, definitions string) {
	t.Helper()
	made := write(t, c, "", definitions)
	crds := c.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "")
	t.Cleanup(func() {
		for _, u := range made {
			if err := crds.Delete(withoutCancel(t), u.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Errorf("%s stays: %v", u.GetName(), err)
			}
		}
	})
	await(t, "the custom kinds on "+c.Name, func() error {
		c.Discovery.Invalidate()
		c.Mapper.Reset()
		for _, u := range made {
			group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
			if _, err := c.Mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ecosystem makes definitions for the custom kinds of a text, with no more of a
// schema than that any field is kept.
func ecosystem(t *testing.T, text string) string {
	t.Helper()
	var out []string
	for _, u := range decode(t, text) {
		gvk := u.GroupVersionKind()
		if inventory.BuiltIn(gvk.Group) {
			continue
		}
		one := strings.ToLower(gvk.Kind)
		many := one + "s"
		if stem, ok := strings.CutSuffix(one, "y"); ok {
			many = stem + "ies"
		}
		out = append(out, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s}
spec:
  group: %[2]s
  names: {kind: %[3]s, listKind: %[3]sList, plural: %[1]s, singular: %[4]s}
  scope: Namespaced
  versions: [{name: %[5]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]`,
			many, gvk.Group, gvk.Kind, one, gvk.Version))
	}
	return strings.Join(out, "\n---\n")
}

func corpus(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "corpus", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill writes the corpus into a namespace, what operators and Helm would have
// made included, and waits until its claims are bound.
func fill(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, f := range []string{"10-config.yaml", "20-access.yaml", "30-network.yaml", "40-workloads.yaml", "50-ecosystem.yaml"} {
		write(t, c, corpusNamespace, corpus(t, f))
	}
	widget := write(t, c, corpusNamespace, "apiVersion: corpus.example.com/v1\nkind: Widget\nmetadata: {name: operated}\nspec: {size: 1}")[0]
	owner := fmt.Sprintf("[{apiVersion: corpus.example.com/v1, kind: Widget, name: operated, uid: %s, controller: true}]", widget.GetUID())
	write(t, c, corpusNamespace, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: operated, ownerReferences: `+owner+`}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: operated}}
  template: {metadata: {labels: {app: operated}}, spec: {containers: [{name: a, image: "lab/web:1"}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: operated-password, ownerReferences: `+owner+`}
stringData: {password: made-by-the-operator}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: operated-conf, ownerReferences: `+owner+`}
---
apiVersion: v1
kind: Secret
metadata: {name: sh.helm.release.v1.shop.v1, labels: {owner: helm, name: shop, status: deployed, version: "1"}}
type: helm.sh/release.v1
data: {release: `+helmRelease(corpusNamespace)+`}`)
	await(t, "the corpus's volumes", func() error {
		for _, name := range []string{"data-db-3", "data-fragile-0"} {
			pvc, err := c.Kube.CoreV1().PersistentVolumeClaims(corpusNamespace).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if pvc.Spec.VolumeName == "" {
				return fmt.Errorf("%s is not bound", name)
			}
		}
		return nil
	})
	await(t, "the endpoints that controllers make", func() error {
		_, err := c.Resource(core("endpoints", "Endpoints", "", "").GVR(), corpusNamespace).Get(t.Context(), "web", metav1.GetOptions{})
		return err
	})
	await(t, "the finished job and pod", func() error {
		job, err := c.Kube.BatchV1().Jobs(corpusNamespace).Get(t.Context(), "finished", metav1.GetOptions{})
		if err == nil && job.Status.Succeeded == 0 {
			err = fmt.Errorf("the job runs still")
		}
		if err != nil {
			return err
		}
		pod, err := c.Kube.CoreV1().Pods(corpusNamespace).Get(t.Context(), "done", metav1.GetOptions{})
		if err == nil && pod.Status.Phase != "Succeeded" {
			err = fmt.Errorf("the pod is %s", pod.Status.Phase)
		}
		return err
	})
}

func helmRelease(namespace string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = fmt.Fprintf(z, `{"name":"shop","version":1,"namespace":%q}`, namespace)
	_ = z.Close()
	return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(b.Bytes())))
}

// account is the service account that the corpus's administrator gives on the
// target.
const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: builder}"

func TestACorpusOfRealShapesArrivesFieldByField(t *testing.T) {
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, corpusNamespace)
	namespace(t, b, corpusNamespace)
	for _, c := range []*cluster.Cluster{a, b} {
		kinds(t, c)
		install(t, c, ecosystem(t, corpus(t, "50-ecosystem.yaml")))
	}
	fill(t, a)
	t.Cleanup(func() { dropFinalizers(t, a, b) })
	write(t, b, corpusNamespace, account)
	request := plan.Request{SourceNamespace: corpusNamespace}

	p, set := bring(t, a, b, request)
	if n := set.Count(apply.Created); n != len(set.Rows) {
		t.Errorf("%d of %d objects were created", n, len(set.Rows))
	}
	verdicts(t, p)
	kindsMoved := map[string]bool{}
	shapes := 0
	for _, item := range p.Items {
		if item.Verdict != inventory.Move || item.Stage == plan.StageActivation {
			continue
		}
		kindsMoved[item.Source.GroupKind().String()] = true
		shapes++
		compare(t, a, b, item)
	}
	if len(kindsMoved) < 40 {
		t.Errorf("only %d kinds were compared: %v", len(kindsMoved), slices.Sorted(maps.Keys(kindsMoved)))
	}
	t.Logf("%d objects of %d kinds compared field by field", shapes, len(kindsMoved))

	t.Run("and a second run changes nothing", func(t *testing.T) { secondRun(t, a, b, request) })
	t.Run("and what changed is all that is written", func(t *testing.T) { changedOnly(t, a, b, request) })
}

// verdicts checks those that depend on what real controllers made.
func verdicts(t *testing.T, p *plan.Plan) {
	t.Helper()
	want := map[string]inventory.Reason{
		"configmap/kube-root-ca.crt":                   inventory.ReasonGenerated,
		"configmap/left":                               inventory.ReasonUserSkip,
		"configmap/operated-conf":                      inventory.ReasonOwned,
		"endpoints/web":                                inventory.ReasonGenerated,
		"job.batch/finished":                           inventory.ReasonCompleted,
		"order.acme.cert-manager.io/shop-1-123":        inventory.ReasonOneTimeRequest,
		"persistentvolumeclaim/scratch-tmp":            inventory.ReasonEphemeral,
		"pod/db-3":                                     inventory.ReasonOwned,
		"pod/done":                                     inventory.ReasonCompleted,
		"rolebinding.rbac.authorization.k8s.io/people": inventory.ReasonUserAccess,
		"serviceaccount/builder":                       inventory.ReasonServiceAccount,
		"statefulset.apps/operated":                    inventory.ReasonOwned,
	}
	for _, i := range p.Items {
		name := i.Source.String()
		if reason, named := want[name]; named {
			if i.Reason != reason {
				t.Errorf("%s: %s %s, want Skip %s", name, i.Verdict, i.Reason, reason)
			}
			delete(want, name)
		}
		if i.Source.Kind == "EndpointSlice" && i.Source.Name != "by-slice-1" && i.Reason != inventory.ReasonGenerated {
			t.Errorf("%s: %s %s", name, i.Verdict, i.Reason)
		}
		if name == "widget.corpus.example.com/operated" && i.Stage != plan.StageActivation {
			t.Errorf("%s is written at stage %q: its operator would start pods", name, i.Stage)
		}
	}
	if len(want) > 0 {
		t.Errorf("the plan does not mention %v", want)
	}
}

// compare is an oracle of its own: the object on the target, activated, must be
// the source's object but for what the plan said is different, and for what each
// API server keeps for itself.
func compare(t *testing.T, a, b *cluster.Cluster, item plan.Item) {
	t.Helper()
	was, is := live(t, a, item.Source), live(t, b, *item.Target)
	if note, found := is.GetAnnotations()[v1alpha1.AnnotationOriginalState]; found {
		if !workload.Suspended(is) {
			t.Errorf("%s runs on the target", item.Source)
		}
		if err := workload.Activate(is, []byte(note)); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []*unstructured.Unstructured{was, is} {
		own(u)
	}
	for _, path := range differences("", was.Object, is.Object) {
		if !announced(path, item) {
			t.Errorf("%s: %s differs and the plan does not say so:\n  source %v\n  target %v",
				item.Source, path, at(was.Object, path), at(is.Object, path))
		}
	}
}

// own removes what an API server writes by itself.
func own(u *unstructured.Unstructured) {
	delete(u.Object, "status")
	for _, f := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "finalizers"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	annotations := u.GetAnnotations()
	maps.DeleteFunc(annotations, func(k, _ string) bool {
		return strings.HasPrefix(k, v1alpha1.GroupName+"/") || strings.HasPrefix(k, "deprecated.daemonset") ||
			strings.HasPrefix(k, "pv.kubernetes.io/") || strings.HasPrefix(k, "volume.") || k == "kubernetes.io/limit-ranger" ||
			k == "deployment.kubernetes.io/revision" // the controller writes it when it comes to it
	})
	if len(annotations) == 0 {
		annotations = nil
	}
	u.SetAnnotations(annotations)
	if u.GetKind() == "Pod" {
		// Every API server adds the token's volume under a random name.
		unstructured.RemoveNestedField(u.Object, "spec", "volumes")
		containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "containers")
		for _, c := range containers {
			delete(c.(map[string]any), "volumeMounts")
		}
		_ = unstructured.SetNestedSlice(u.Object, containers, "spec", "containers")
	}
}

// differences are the paths at which two values differ.
func differences(path string, a, b any) []string {
	ma, oka := a.(map[string]any)
	mb, okb := b.(map[string]any)
	if oka && okb {
		var out []string
		keys := map[string]bool{}
		for k := range ma {
			keys[k] = true
		}
		for k := range mb {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, differences(strings.TrimPrefix(path+"\x00"+k, "\x00"), ma[k], mb[k])...)
		}
		return out
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return []string{path}
}

func at(o map[string]any, path string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, strings.Split(path, "\x00")...)
	return v
}

// announced says whether the plan named the path, a part of it, or the list it
// is in. The allocated parts of a Service differ by nature.
func announced(path string, item plan.Item) bool {
	dotted := strings.ReplaceAll(path, "\x00", ".")
	for _, c := range item.Changes {
		if c.Path == dotted || strings.HasPrefix(c.Path, dotted+".") || strings.HasPrefix(dotted, c.Path+".") || strings.HasPrefix(c.Path, dotted+"[") {
			return true
		}
	}
	return false
}

// secondRun: nothing on the target changes, not even a resourceVersion.
func secondRun(t *testing.T, a, b *cluster.Cluster, req plan.Request) {
	before := versions(t, b)
	p, set := bring(t, a, b, req)
	for _, i := range p.Items {
		if i.Verdict == inventory.Move && i.Stage != plan.StageActivation && i.Action != plan.Unchanged {
			t.Errorf("%s would be %sd", i.Source, i.Action)
		}
	}
	if n := set.Count(apply.Unchanged); n != len(set.Rows) {
		t.Errorf("%d of %d are unchanged", n, len(set.Rows))
	}
	for name, v := range versions(t, b) {
		if old, found := before[name]; found && old != v {
			t.Errorf("%s has another resourceVersion", name)
		}
	}
}

// versions are the resourceVersions of what migrations brought, once the
// target's own controllers have nothing more to say about it.
func versions(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	var last map[string]string
	still := 0
	await(t, "the controllers of the target", func() error {
		now := readVersions(t, c)
		if still++; !maps.Equal(now, last) {
			still = 0
		}
		last = now
		if still < 10 {
			return fmt.Errorf("objects were written within the last reads")
		}
		return nil
	})
	return last
}

func readVersions(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	served, err := inventory.Discover(c)
	if err != nil {
		t.Fatal(err)
	}
	kinds, _ := inventory.Kinds(served, served)
	out := map[string]string{}
	for _, k := range kinds {
		list, err := c.Resource(k.GVR, corpusNamespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			if u.GetAnnotations()[v1alpha1.AnnotationSource] != "" {
				out[k.Kind+"/"+u.GetName()] = versionOf(&u)
			}
		}
	}
	return out
}

// versionOf is the object's resourceVersion. The status of an autoscaler is written
// by the clock, so of that the last write of ours and the last change of its spec
// count.
func versionOf(u *unstructured.Unstructured) string {
	if u.GetKind() != "HorizontalPodAutoscaler" {
		return u.GetResourceVersion()
	}
	out := fmt.Sprint(u.GetGeneration())
	for _, e := range u.GetManagedFields() {
		if e.Manager == v1alpha1.FieldManager {
			out += " " + e.Time.String()
		}
	}
	return out
}

// changedOnly: one object that changed on the source is the one that is written.
func changedOnly(t *testing.T, a, b *cluster.Cluster, req plan.Request) {
	ref := inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: corpusNamespace, Name: "plain"}
	if _, err := patchAs(a, ref, "somebody", `{"data":{"color":"green","new":"key"}}`, types.MergePatchType); err != nil {
		t.Fatal(err)
	}
	_, set := bring(t, a, b, req)
	if set.Count(apply.Configured) != 1 || set.Count(apply.Unchanged) != len(set.Rows)-1 {
		t.Errorf("more, or less, than the one object was written: %+v", set)
	}
	if got, _, _ := unstructured.NestedString(live(t, b, ref).Object, "data", "color"); got != "green" {
		t.Errorf("color is %q", got)
	}
	// A key that is dropped on the source is dropped on the target.
	if _, err := patchAs(a, ref, "somebody", `{"data":{"new":null}}`, types.MergePatchType); err != nil {
		t.Fatal(err)
	}
	bring(t, a, b, req)
	if v, found, _ := unstructured.NestedString(live(t, b, ref).Object, "data", "new"); found {
		t.Errorf("the key that is gone on the source is still %q", v)
	}
}

// dropFinalizers lets the corpus's custom resources end: nobody else does.
func dropFinalizers(t *testing.T, clusters ...*cluster.Cluster) {
	for _, c := range clusters {
		ref := inventory.Ref{Group: "corpus.example.com", Version: "v1", Resource: "widgets", Kind: "Widget", Namespace: corpusNamespace, Name: "plain"}
		_, err := patchAs(c, ref, "test", `{"metadata":{"finalizers":null}}`, types.MergePatchType)
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
