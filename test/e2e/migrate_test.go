//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// app is a small application with one volume, as a restricted user can run it.
const app = `apiVersion: v1
kind: ConfigMap
metadata: {name: app, labels: {e2e: "true"}}
data: {greeting: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: app, labels: {e2e: "true"}}
stringData: {token: opaque-words}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: CLASS
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: app}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: app
          image: lab/tools:1
          command: [/bin/sh, -c, "trap exit TERM; while :; do sleep 1; done"]
          envFrom: [{secretRef: {name: app}}, {configMapRef: {name: app}}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]`

// running starts the application in blue on lab-a and returns its pod.
func running(t *testing.T, class string) (*cluster.Cluster, *corev1.Pod) {
	t.Helper()
	reset(t, "blue")
	paired(t, "blue")
	blue := as(t, "lab-a-blue")
	put(t, blue, "blue", strings.ReplaceAll(app, "CLASS", class))
	return blue, podOf(t, blue, "blue", "app=app")
}

// migrateArgs are those of the user blue who migrates through the pair.
func migrateArgs(more ...string) []string {
	return append([]string{"migrate", "--context", "lab-a-blue", "--to", "lab-b", "-o", "json", "--progress", "plain"}, more...)
}

// result decodes what migrate printed.
func (r run) result(t *testing.T) migrate.Result {
	t.Helper()
	var out migrate.Result
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("stdout is not a result: %v: %s", err, r)
	}
	return out
}

func stop(t *testing.T, c *cluster.Cluster, deployment string) {
	t.Helper()
	scale(t, c, deployment, 0)
	await(t, "the end of the pods", func() error {
		pods, err := c.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{LabelSelector: "app=app"})
		if err == nil && len(pods.Items) > 0 {
			return errStill
		}
		return err
	})
}

// tree lists everything in the volume with its content's digest and its stamps.
const tree = `cd /data && find . ! -name lost+found | LC_ALL=C sort | while read -r f; do stat -c '%n %F %a %u %g %s %y' "$f"; [ -f "$f" ] && sha256sum "$f"; done; true`

func TestTheDemonstrationSucceeds(t *testing.T) {
	reset(t, "blue")
	c := exec.CommandContext(t.Context(), "../demo/demo.sh")
	c.Env = append(os.Environ(), "SCALE=1", "WARMUP=300")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestAMigrationAtRestCopiesEverythingAndStartsNothing(t *testing.T) {
	for _, class := range []string{"lab-local", "lab-hostpath"} {
		t.Run(class, func(t *testing.T) {
			a, pod := running(t, class)
			sh(t, a, pod, `cd /data && mkdir -p d/e && dd if=/dev/urandom of=d/random bs=64k count=40 2>/dev/null && echo words >d/e/words &&
				ln d/random d/e/hard && ln -s ../random d/e/soft && chmod 640 d/e/words && touch -d '2001-02-03 04:05:06' d/e/words`)
			want := sh(t, a, pod, tree)
			stop(t, a, "app")
			r := must(t, migrateArgs()...).result(t)
			if len(r.Volumes) != 1 || r.Volumes[0].VerifiedSync == 0 || r.Active {
				t.Fatalf("result %+v", r)
			}
			b := as(t, "lab-b-blue")
			d, err := b.Kube.AppsV1().Deployments("blue").Get(t.Context(), "app", metav1.GetOptions{})
			if err != nil || *d.Spec.Replicas != 0 {
				t.Fatalf("deployment on the target: %v, error %v", d.Spec.Replicas, err)
			}
			pods, err := b.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{})
			if err != nil || len(pods.Items) != 0 {
				t.Fatalf("%d pods on the target, error %v", len(pods.Items), err)
			}
			must(t, "activate", "--context", "lab-a-blue", "--to", "lab-b")
			scale(t, b, "app", 1) // as many as the source had: none
			if got := sh(t, b, podOf(t, b, "blue", "app=app"), tree); got != want {
				t.Errorf("the target's volume differs:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestARepeatedMigrationSendsOnlyWhatChanged(t *testing.T) {
	a, pod := running(t, "lab-local")
	sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=1M count=24 2>/dev/null; for i in $(seq 50); do echo $i >/data/f$i; done; sync`)
	first := must(t, migrateArgs()...).result(t).Volumes[0]
	if first.SentBytes < 24<<20 {
		t.Fatalf("the first copy sent %d bytes", first.SentBytes)
	}
	knowsTheVolume(t, first.SentBytes)
	second := must(t, migrateArgs()...).result(t).Volumes[0]
	if second.SentBytes > 64<<10 || second.Digest != first.Digest {
		t.Errorf("nothing changed, and %d bytes were sent; digests %s and %s", second.SentBytes, first.Digest, second.Digest)
	}
	sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=8k seek=77 count=1 conv=notrunc 2>/dev/null; rm /data/f7; echo new >/data/new; sync`)
	third := must(t, migrateArgs()...).result(t).Volumes[0]
	if third.SentBytes == 0 || third.SentBytes > 256<<10 {
		t.Errorf("8 KiB and a small file changed, and %d bytes were sent", third.SentBytes)
	}
	must(t, migrateArgs("--cutover")...)
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	if got := sh(t, b, target, "ls /data | wc -l; cat /data/new; echo $token; echo $greeting"); got != "51\nnew\nopaque-words\nhello\n" {
		t.Errorf("on the target: %q", got)
	}
}

// knowsTheVolume: a plan after a migration reckons with what that one found in
// the volume and not with the size of the claim.
func knowsTheVolume(t *testing.T, sent int64) {
	t.Helper()
	r := motion(t, "plan", "--context", "lab-a-blue", "--to", "lab-b", "-o", "json")
	var p plan.Plan
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil || len(p.Volumes) != 1 || p.Transfer == nil {
		t.Fatalf("%v: %s", err, r)
	}
	v := p.Volumes[0]
	if v.BytesBasis != plan.BasisShipment || v.AtMostBytes < 24<<20 || v.AtMostBytes > 32<<20 || p.Transfer.AtMostBytes != v.AtMostBytes {
		t.Errorf("after %d bytes were shipped the plan says %d by %s, %+v in all", sent, v.AtMostBytes, v.BytesBasis, p.Transfer)
	}
	if human := motion(t, "plan", "--context", "lab-a-blue", "--to", "lab-b"); !strings.Contains(human.stdout, "(last sync)") || !strings.Contains(human.stdout, " to send in at most ") {
		t.Errorf("the table does not say so: %s", human.stdout)
	}
}

// nobodyMeetsUs: after the cutover another manager applies every object that came
// along, and none of their fields is ours.
func nobodyMeetsUs(t *testing.T) {
	t.Helper()
	b := as(t, "lab-b")
	for resource, body := range map[string]string{
		"configmaps": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"app"},"data":{"greeting":"changed"}}`,
		"secrets":    `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"app"},"data":{"token":"b3RoZXI="}}`,
		"services":   `{"apiVersion":"v1","kind":"Service","metadata":{"name":"app"},"spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":8081}]}}`,
	} {
		gvr := schema.GroupVersionResource{Version: "v1", Resource: resource}
		_, err := b.Resource(gvr, "blue").Patch(t.Context(), "app", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "argocd-controller"})
		if err != nil {
			t.Errorf("Argo CD applies %s: %v", resource, err)
		}
	}
}

func TestACutoverAndARollback(t *testing.T) {
	a, pod := running(t, "lab-hostpath")
	sh(t, a, pod, `echo before >/data/word; sync`)
	r := must(t, migrateArgs("--cutover")...).result(t)
	if !r.Active || r.DowntimeSeconds <= 0 || r.Volumes[0].Consistency != string(v1alpha1.CopyMethodStopped) {
		t.Errorf("result %+v", r)
	}
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	if got := sh(t, b, target, "cat /data/word"); got != "before\n" {
		t.Errorf("on the target: %q", got)
	}
	nobodyMeetsUs(t)
	if again := motion(t, migrateArgs("--cutover")...); again.code != 4 || !strings.Contains(again.stderr, "kubectl motion deactivate") {
		t.Errorf("a migration onto an active target: %s", again)
	}
	must(t, "rollback", "--context", "lab-a-blue", "--to", "lab-b")
	back := podOf(t, a, "blue", "app=app")
	if got := sh(t, a, back, "cat /data/word"); got != "before\n" {
		t.Errorf("back on the source: %q", got)
	}
	d, err := a.Kube.AppsV1().Deployments("blue").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 1 || len(d.Annotations) > 1 {
		t.Errorf("the source's deployment is not as it was: %v, error %v", d, err)
	}
	// A rollback waits until nobody can write; the kubelet takes an ended pod away a moment later.
	pods, err := b.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil || p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			t.Errorf("on the target after the rollback: pod %s, %s, deleted %v", p.Name, p.Status.Phase, p.DeletionTimestamp)
		}
	}
	await(t, "the target without pods", func() error {
		pods, err := b.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(pods.Items) != 0 {
			err = fmt.Errorf("%d are left", len(pods.Items))
		}
		return err
	})
}

func TestStartIsRefusedForALiveCopyAndWorksForAStoppedOne(t *testing.T) {
	a, pod := running(t, "lab-local")
	sh(t, a, pod, `echo words >/data/word; sync`)
	if r := motion(t, migrateArgs("--start")...); r.code != 4 || !strings.Contains(r.stderr, "--cutover") {
		t.Fatalf("--start of a live copy: %s", r)
	}
	must(t, migrateArgs()...)
	if r := motion(t, "activate", "--context", "lab-a-blue", "--to", "lab-b"); r.code != 4 {
		t.Fatalf("activate of a live copy: %s", r)
	}
	stop(t, a, "app")
	must(t, migrateArgs("--start")...)
	b := as(t, "lab-b-blue")
	d, err := b.Kube.AppsV1().Deployments("blue").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 0 {
		t.Errorf("the source had 0 replicas: so has the target: %v, error %v", *d.Spec.Replicas, err)
	}
	must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
}
