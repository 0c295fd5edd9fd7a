//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

const shop = `
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {color: blue}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "lab/web:1", ports: [{containerPort: 8080}]}]}`

func deploymentRef(namespace string) inventory.Ref {
	return inventory.Ref{Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Namespace: namespace, Name: "web"}
}

// TestAfterActivationNobodyMeetsAConflictWithUs: a helm upgrade, an Argo CD
// sync, an autoscaler and kubectl write what they always write.
func TestAfterActivationNobodyMeetsAConflictWithUs(t *testing.T) {
	const ns = "obj-handover"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	write(t, a, ns, shop)
	p, _ := bring(t, a, b, plan.Request{SourceNamespace: ns})
	ref := deploymentRef(ns)

	const sync = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"lab/web:1","args":["v2"]}]}}}}`
	if _, err := patchAs(b, ref, "argocd-controller", sync, types.ApplyPatchType); !apierrors.IsConflict(err) {
		t.Fatalf("while we own the fields an apply of another manager ends with %v, want a conflict: the test proves nothing", err)
	}

	found, err := workload.List(t.Context(), b, ns)
	if err != nil {
		t.Fatal(err)
	}
	if err := workload.ResumeAll(t.Context(), b, ns, workload.OnStandby(found)); err != nil {
		t.Fatal(err)
	}
	var refs []inventory.Ref
	for _, i := range p.Items {
		if i.Verdict == inventory.Move {
			refs = append(refs, *i.Target)
			if err := apply.HandOver(t.Context(), b, *i.Target); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range refs {
		for _, e := range live(t, b, r).GetManagedFields() {
			if e.Manager == v1alpha1.FieldManager && strings.Contains(e.FieldsV1.String(), "f:spec") {
				t.Errorf("%s still has our entry: %v", r, e)
			}
		}
	}
	if err := apply.WaitReady(t.Context(), b, []inventory.Ref{ref}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := patchAs(b, ref, "argocd-controller", sync, types.ApplyPatchType); err != nil {
		t.Errorf("an Argo CD sync: %v", err)
	}
	if _, err := patchAs(b, ref, "kube-controller-manager", `{"spec":{"replicas":4}}`, types.MergePatchType, "scale"); err != nil {
		t.Errorf("an autoscaler: %v", err)
	}
	// Helm sends a strategic merge patch.
	if _, err := patchAs(b, ref, "helm", `{"spec":{"template":{"spec":{"containers":[{"name":"web","args":["v3"]}]}}}}`, types.StrategicMergePatchType); err != nil {
		t.Errorf("a helm upgrade: %v", err)
	}
	conf := inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: ns, Name: "conf"}
	if _, err := patchAs(b, conf, "kubectl", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"conf"},"data":{"color":"red"}}`, types.ApplyPatchType); err != nil {
		t.Errorf("kubectl apply --server-side: %v", err)
	}

	// The active copy is not written under, and says how to go on.
	again := makePlan(t, a, b, plan.Request{SourceNamespace: ns})
	if len(again.Blockers) == 0 || again.Blockers[0].Code != plan.CodeTargetActive || !strings.Contains(again.Blockers[0].Hint, "kubectl motion deactivate") {
		t.Errorf("a plan over an active copy: %v", again.Blockers)
	}
	code, _, stderr := motion(t, "plan", "--context", "lab-a", "--to-context", "lab-b", "-n", ns)
	if code != 4 {
		t.Errorf("exit status %d, want 4: %s", code, stderr)
	}
}

// TestAConflictIsShownPerFieldAndForcedOnRequest: somebody else's value on the
// target is not overwritten by itself.
func TestAConflictIsShownPerFieldAndForcedOnRequest(t *testing.T) {
	const ns = "obj-conflict"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	write(t, a, ns, shop)
	write(t, b, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {color: theirs, more: theirs}")
	p := makePlan(t, a, b, plan.Request{SourceNamespace: ns})
	if len(p.Blockers) != 1 || p.Blockers[0].Code != plan.CodeConflict {
		t.Fatalf("blockers %v", p.Blockers)
	}
	if c := p.Blockers[0].Problem.Conflicts; len(c) != 1 || c[0].Field != "data.color" || c[0].Manager != "kubectl-create" {
		t.Errorf("conflicts %v", c)
	}
	bring(t, a, b, plan.Request{SourceNamespace: ns, ForceConflicts: true})
	data, _, _ := unstructured.NestedStringMap(live(t, b, inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: ns, Name: "conf"}).Object, "data")
	if data["color"] != "blue" || data["more"] != "theirs" {
		t.Errorf("data %v: what nobody asked for was touched", data)
	}
}

// TestAnImmutableChangeNeedsConsent: the copy stays until somebody says so.
func TestAnImmutableChangeNeedsConsent(t *testing.T) {
	const ns = "obj-immutable"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	const frozen = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\nimmutable: true\ndata: {v: "
	write(t, a, ns, frozen+`"1"}`)
	bring(t, a, b, plan.Request{SourceNamespace: ns})
	conf := inventory.Ref{Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Namespace: ns, Name: "conf"}
	if err := a.Resource(conf.GVR(), ns).Delete(t.Context(), "conf", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	write(t, a, ns, frozen+`"2"}`)
	p := makePlan(t, a, b, plan.Request{SourceNamespace: ns})
	if len(p.Blockers) != 1 || p.Blockers[0].Code != plan.CodeImmutable {
		t.Fatalf("blockers %v", p.Blockers)
	}
	for _, consent := range []bool{false, true} {
		set, err := apply.Apply(t.Context(), b, p.Objects(plan.StageStandby), apply.Options{Recreate: consent})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Err() == nil; got != consent {
			t.Errorf("with consent %v: %v", consent, set.Err())
		}
		want := map[bool]string{false: "1", true: "2"}[consent]
		if v, _, _ := unstructured.NestedString(live(t, b, conf).Object, "data", "v"); v != want {
			t.Errorf("with consent %v the target has %q, want %q", consent, v, want)
		}
	}
}

// TestOnlyWhatWeBroughtIsPruned: what others made, and what cannot be proved to
// be gone, stays.
func TestOnlyWhatWeBroughtIsPruned(t *testing.T) {
	const ns = "obj-prune"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	write(t, a, ns, shop+"\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}")
	write(t, b, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}")
	bring(t, a, b, plan.Request{SourceNamespace: ns})
	for resource, name := range map[string]string{"configmaps": "conf", "persistentvolumeclaims": "data"} {
		ref := inventory.Ref{Version: "v1", Resource: resource, Namespace: ns, Name: name}
		if err := a.Resource(ref.GVR(), ns).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if p := makePlan(t, a, b, plan.Request{SourceNamespace: ns}); len(p.Prune) != 0 {
		t.Errorf("pruned without being asked: %v", p.Prune)
	}
	p := makePlan(t, a, b, plan.Request{SourceNamespace: ns, Prune: true})
	if len(p.Prune) != 1 || p.Prune[0].Name != "conf" {
		t.Fatalf("would prune %v, want the ConfigMap alone", p.Prune)
	}
	set, err := apply.Prune(t.Context(), b, p.Prune)
	if err != nil || set.Count(apply.Pruned) != 1 {
		t.Fatalf("%+v %v", set, err)
	}
	for name, there := range map[string]bool{"conf": false, "theirs": true} {
		_, err := b.Kube.CoreV1().ConfigMaps(ns).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) == there {
			t.Errorf("configmap %s: %v", name, err)
		}
	}
	if _, err := b.Kube.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), "data", metav1.GetOptions{}); err != nil {
		t.Errorf("the claim is gone without consent: %v", err)
	}
	p = makePlan(t, a, b, plan.Request{SourceNamespace: ns, Prune: true, PruneVolumes: true})
	if len(p.Prune) != 1 || p.Prune[0].Name != "data" {
		t.Fatalf("with consent it would prune %v", p.Prune)
	}
	if set, err := apply.Prune(t.Context(), b, p.Prune); err != nil || set.Count(apply.Pruned) != 1 {
		t.Errorf("%+v %v", set, err)
	}
	gone(t, b, core("persistentvolumeclaims", "PersistentVolumeClaim", ns, "data"))
}

// TestOnwardAndBackNothingIsLost: a, b, another namespace of a, and home.
func TestOnwardAndBackNothingIsLost(t *testing.T) {
	const home, third = "obj-home", "obj-third"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, home)
	namespace(t, b, home)
	namespace(t, a, third)
	write(t, a, home, shop+`
---
apiVersion: v1
kind: Service
metadata: {name: port, labels: {x: "y"}}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 31777}]}
---
apiVersion: v1
kind: Service
metadata: {name: lb, annotations: {service.beta.kubernetes.io/x: "1"}}
spec: {type: LoadBalancer, loadBalancerClass: none.example.com/x, loadBalancerSourceRanges: [192.0.2.0/24], selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: asleep}
spec: {schedule: "0 0 31 2 *", suspend: true, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "lab/tools:1", command: ["true"]}]}}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: awake}
spec: {schedule: "0 0 31 2 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "lab/tools:1", command: ["true"]}]}}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: ds}}
  template: {metadata: {labels: {app: ds}}, spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: a, image: "lab/web:1"}]}}`)
	first := makePlan(t, a, b, plan.Request{SourceNamespace: home})
	was := map[string]map[string]any{}
	for _, i := range first.Items {
		if i.Verdict == inventory.Move {
			u := live(t, a, i.Source)
			own(u)
			was[i.Source.String()] = u.Object
		}
	}
	// The node port is taken on a while the first copy of the Service is there.
	hop := func(src, dst string, from, to string) {
		t.Helper()
		bring(t, as(t, src), as(t, dst), plan.Request{SourceNamespace: from, TargetNamespace: to})
	}
	hop("lab-a", "lab-b", home, home)
	for _, name := range []string{"port", "lb"} {
		if err := a.Kube.CoreV1().Services(home).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	hop("lab-b", "lab-a", home, third)
	for _, name := range []string{"port", "lb"} {
		if err := b.Kube.CoreV1().Services(home).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	emptied(t, "lab-b", home)
	hop("lab-a", "lab-b", third, home)
	if err := a.Kube.CoreV1().Services(third).Delete(t.Context(), "port", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	emptied(t, "lab-a", home)
	hop("lab-b", "lab-a", home, home)

	if got := chosenPort(t, a, home); got != 31777 {
		t.Errorf("the chosen node port is %d, want 31777", got)
	}
	for name, before := range was {
		ref := refNamed(first, name)
		now := live(t, a, ref)
		if note, found := now.GetAnnotations()[v1alpha1.AnnotationOriginalState]; found {
			if err := workload.Activate(now, []byte(note)); err != nil {
				t.Fatal(err)
			}
		}
		own(now)
		for _, path := range differences("", before, now.Object) {
			if !allocated(path) {
				t.Errorf("%s: %s was %v and is %v", name, path, at(before, path), at(now.Object, path))
			}
		}
	}
}

func chosenPort(t *testing.T, c *cluster.Cluster, ns string) int32 {
	t.Helper()
	s, err := c.Kube.CoreV1().Services(ns).Get(t.Context(), "port", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.Ports[0].NodePort
}

// allocated are the fields that an API server picks anew for a new Service.
func allocated(path string) bool {
	return strings.HasPrefix(path, "spec\x00clusterIP") || path == "spec\x00ports"
}

func refNamed(p *plan.Plan, name string) inventory.Ref {
	for _, i := range p.Items {
		if i.Source.String() == name {
			return i.Source
		}
	}
	return inventory.Ref{}
}

// emptied removes the application from a namespace.
func emptied(t *testing.T, context, ns string) {
	t.Helper()
	c := as(t, context)
	bg := metav1.DeletePropagationForeground
	for _, r := range []inventory.Ref{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "daemonsets"},
		{Group: "batch", Version: "v1", Resource: "cronjobs"},
		{Version: "v1", Resource: "configmaps"},
		{Version: "v1", Resource: "services"},
	} {
		list, err := c.Resource(r.GVR(), ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			if err := c.Resource(r.GVR(), ns).Delete(t.Context(), u.GetName(), metav1.DeleteOptions{PropagationPolicy: &bg}); err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
		}
		await(t, "the end of "+r.Resource, func() error {
			list, err := c.Resource(r.GVR(), ns).List(t.Context(), metav1.ListOptions{})
			if err == nil && len(list.Items) > 0 && list.Items[0].GetName() != "kube-root-ca.crt" {
				err = apierrors.NewConflict(r.GVR().GroupResource(), list.Items[0].GetName(), nil)
			}
			return err
		})
	}
}
