//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// blue and red are the two teams: namespaces, and contexts lab-a-TEAM and
// lab-b-TEAM. MOTION_TEAMS names two others, so that two runs of these tests can
// share a lab.
var blue, red = teams()

func teams() (string, string) {
	a, b, _ := strings.Cut(cmp.Or(os.Getenv("MOTION_TEAMS"), "blue,red"), ",")
	return a, b
}

// shop is an application in one namespace of both clusters, as its team sees it.
// It can be told to write: then it appends the numbers 1, 2, 3 ... to a file, so
// that whatever is lost, or written twice, leaves a gap or a repetition.
type shop struct {
	namespace string
	a, b      *cluster.Cluster
}

const shopManifest = `apiVersion: v1
kind: Secret
metadata: {name: shop, labels: {e2e: "true"}}
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
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 2
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: shop
          image: lab/tools:1
          command: [/bin/bash, -c]
          args:
            - |
              trap exit TERM
              while :; do
                if [ -e /data/on ]; then
                  n=$(tail -n 1 /data/log 2>/dev/null)
                  echo $((n + 1)) >>/data/log
                fi
                sleep 0.2
              done
          envFrom: [{secretRef: {name: shop}}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]`

// site connects a team with both clusters, and pairs its namespace.
func site(t *testing.T, team string) *shop {
	t.Helper()
	paired(t, team)
	return &shop{namespace: team, a: as(t, "lab-a-"+team), b: as(t, "lab-b-"+team)}
}

// opened is a shop that runs on lab-a, with nothing else in its namespace.
func opened(t *testing.T, team, class string) *shop {
	t.Helper()
	s := built(t, team, class)
	s.pod(t, s.a)
	return s
}

// built is opened without waiting for the shop's pod.
func built(t *testing.T, team, class string) *shop {
	t.Helper()
	reset(t, team)
	s := site(t, team)
	put(t, s.a, team, strings.ReplaceAll(shopManifest, "CLASS", class))
	return s
}

func (s *shop) pod(t *testing.T, c *cluster.Cluster) *corev1.Pod {
	t.Helper()
	return podOf(t, c, s.namespace, "app=shop")
}

// on runs a script in the shop's pod.
func (s *shop) on(t *testing.T, c *cluster.Cluster, script string) string {
	t.Helper()
	return sh(t, c, s.pod(t, c), script)
}

// fill writes mebibytes of noise and a few small files, and returns a listing of
// everything with digests.
func (s *shop) fill(t *testing.T, mebibytes int) string {
	t.Helper()
	return s.on(t, s.a, fmt.Sprintf(`cd /data && mkdir -p d/e && dd if=/dev/urandom of=d/noise bs=1M count=%d 2>/dev/null &&
		for i in $(seq 20); do echo $i >d/e/$i; done && ln -f d/noise d/e/hard && ln -sfn ../noise d/e/soft && chmod 640 d/e/1 && sync && `, mebibytes)+shopTree)
}

// shopTree lists what fill wrote.
const shopTree = `cd /data && find d | LC_ALL=C sort | while read -r f; do stat -c '%n %F %a %u %g %s %y' "$f"; done; find d -type f | LC_ALL=C sort | xargs sha256sum`

// write lets the shop write its numbers and waits for the first.
func (s *shop) write(t *testing.T) {
	t.Helper()
	pod := s.pod(t, s.a)
	sh(t, s.a, pod, "touch /data/on")
	await(t, "the first number", func() error {
		out, err := tryShell(t.Context(), s.a, pod, "tail -n 1 /data/log")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// last is the last number that the shop wrote; it fails unless all numbers from 1
// on are there once and in order.
func (s *shop) last(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	for n, line := range slices.Collect(strings.Lines(s.on(t, c, "cat /data/log"))) {
		if strings.TrimSpace(line) != strconv.Itoa(n+1) {
			t.Fatalf("line %d of the log on %s is %q: a write was lost, or there were two writers", n+1, c, line)
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(s.on(t, c, "wc -l </data/log")))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// args are those of a verb that the team runs through the pair.
func (s *shop) args(verb string, more ...string) []string {
	return append([]string{verb, "--context", "lab-a-" + s.namespace, "--to", "lab-b", "--progress", "plain"}, more...)
}

// migrate are the arguments of a migration with a result as JSON.
func (s *shop) migrate(more ...string) []string {
	return s.args("migrate", append([]string{"-o", "json"}, more...)...)
}

// replicas that the shop is to have on a cluster; -1 when it is not there.
func (s *shop) replicas(t *testing.T, c *cluster.Cluster) int32 {
	t.Helper()
	list, err := c.Kube.AppsV1().Deployments(s.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.Items, func(d appsv1.Deployment) bool { return d.Name == "shop" })
	if i < 0 {
		return -1
	}
	return *list.Items[i].Spec.Replicas
}

// pods lists the namespace's pods, as name and phase.
func (s *shop) pods(t *testing.T, c *cluster.Cluster, selector string) []string {
	t.Helper()
	list, err := c.Kube.CoreV1().Pods(s.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, 0, len(list.Items))
	for i := range list.Items {
		phase := list.Items[i].Status.Phase
		if phase == corev1.PodSucceeded || phase == corev1.PodFailed {
			continue // it has ended; its object is about to go
		}
		out = append(out, list.Items[i].Name+" "+string(phase))
	}
	return out
}

// runsOnly fails unless the shop runs on one cluster, has no pod on the other,
// and no mount pod is left on either.
func (s *shop) runsOnly(t *testing.T, here, there *cluster.Cluster) {
	t.Helper()
	if n := s.replicas(t, here); n != 1 {
		t.Fatalf("the shop has %d replicas on %s, want 1", n, here)
	}
	s.pod(t, here)
	if n := s.replicas(t, there); n > 0 {
		t.Errorf("the shop has %d replicas on %s, want none", n, there)
	}
	if left := s.pods(t, there, ""); len(left) > 0 {
		t.Errorf("pods on %s, where nothing may run: %q", there, left)
	}
	if left := s.pods(t, here, v1alpha1.LabelMountPod); len(left) > 0 {
		t.Errorf("mount pods are left on %s: %q", here, left)
	}
}

// untouched fails unless the source's Deployment is as its team made it.
func (s *shop) untouched(t *testing.T) {
	t.Helper()
	d, err := s.a.Kube.AppsV1().Deployments(s.namespace).Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	delete(d.Annotations, "deployment.kubernetes.io/revision")
	if *d.Spec.Replicas != 1 || len(d.Annotations) > 0 || d.Spec.Template.Spec.NodeSelector != nil {
		t.Errorf("the source's deployment is not as it was: %d replicas, annotations %v", *d.Spec.Replicas, d.Annotations)
	}
}

// shipments are the two ends of the shop's one claim.
func (s *shop) shipments(t *testing.T) (send, receive *v1alpha1.VolumeShipment) {
	t.Helper()
	return s.shipment(t, s.a), s.shipment(t, s.b)
}

func (s *shop) shipment(t *testing.T, c *cluster.Cluster) *v1alpha1.VolumeShipment {
	t.Helper()
	list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), c, v1alpha1.VolumeShipments, s.namespace, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("%d shipments in %s on %s, want one", len(list), s.namespace, c)
	}
	return &list[0]
}

// motionLab runs a command of the lab.
func motionLab(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), lab, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("motion-lab %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// mended runs a command of the lab at the end of the test, whatever happens.
func mended(t *testing.T, args ...string) {
	t.Helper()
	t.Cleanup(func() { motionLab(t, args...) })
}
