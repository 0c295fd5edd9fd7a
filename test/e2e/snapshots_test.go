//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

var volumeSnapshots = schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"}

// noCopies waits until nothing is left of what a pass made on the source.
func noCopies(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	await(t, "the end of snapshots, clones and holders", func() error {
		snapshots, err := c.Resource(volumeSnapshots, "blue").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		claims, err := c.Kube.CoreV1().PersistentVolumeClaims("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy})
		if err != nil {
			return err
		}
		holders, err := c.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelHolder})
		if err != nil {
			return err
		}
		if n := len(snapshots.Items) + len(claims.Items) + len(holders.Items); n > 0 {
			return fmt.Errorf("%d snapshots, %d clones, %d holders", len(snapshots.Items), len(claims.Items), len(holders.Items))
		}
		return nil
	})
}

// figures of the last generation, as the source's agent wrote them.
func figures(t *testing.T, c *cluster.Cluster) v1alpha1.ShipmentFigures {
	t.Helper()
	list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), c, v1alpha1.VolumeShipments, "blue", metav1.ListOptions{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d shipments, error %v", len(list), err)
	}
	return list[0].Status.Figures
}

func TestASnapshotOfARunningApplicationIsStartedBesideIt(t *testing.T) {
	a, pod := running(t, "lab-csi-crash")
	sh(t, a, pod, `mkdir -p /data/d && dd if=/dev/urandom of=/data/d/random bs=1M count=3 2>/dev/null; echo words >/data/word; sync`)
	want := sh(t, a, pod, "cd /data && find . -type f | LC_ALL=C sort | xargs sha256sum")

	planned := must(t, "plan", "--context", "lab-a-blue", "--to", "lab-b", "--start", "-o", "json")
	var p plan.Plan
	if err := json.Unmarshal([]byte(planned.stdout), &p); err != nil {
		t.Fatal(err)
	}
	if o := p.Volumes[0].View.Offer; o == nil || o.Plugin != "csi" || o.Class != "lab-csi" || o.Stamps != v1alpha1.StampsLagging {
		t.Errorf("the plan's view is %+v", p.Volumes[0].View)
	}
	r := must(t, migrateArgs("--start")...).result(t)
	if !r.Active || r.Volumes[0].Consistency != "CrashConsistent" {
		t.Errorf("result %+v", r)
	}
	noCopies(t, a)
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	if got := sh(t, b, target, "cd /data && find . -type f | LC_ALL=C sort | xargs sha256sum"); got != want {
		t.Errorf("the copy has\n%swant\n%s", got, want)
	}
	if still := podOf(t, a, "blue", "app=app"); still.UID != pod.UID {
		t.Error("the source's pod is another one")
	}
	must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
}

func TestIncrementsFromSnapshotsShipOnlyWhatChanged(t *testing.T) {
	const size = 24 << 20
	for class, exact := range map[string]bool{"lab-csi-freeze": true, "lab-csi-crash": false} {
		t.Run(class, func(t *testing.T) {
			a, pod := running(t, class)
			sh(t, a, pod, fmt.Sprintf(`dd if=/dev/urandom of=/data/big bs=1M count=%d 2>/dev/null; sync`, size>>20))
			first := must(t, migrateArgs("--view", "snapshot")...).result(t).Volumes[0]
			if first.SentBytes < size || first.Consistency != "CrashConsistent" {
				t.Fatalf("first copy: %+v", first)
			}
			sh(t, a, pod, `dd if=/dev/urandom of=/data/other bs=8k count=1 2>/dev/null; sync`)
			second := must(t, migrateArgs("--view", "snapshot")...).result(t).Volumes[0]
			f := figures(t, a)
			t.Logf("second: scanned %d, changed %d, sent %d, wire %d", f.ScannedBytes, f.ChangedBytes, f.SentBytes, f.WireBytes)
			if second.SentBytes == 0 || second.SentBytes > 256<<10 || f.WireBytes > 1<<20 || second.PromotedGeneration <= first.PromotedGeneration {
				t.Errorf("8 KiB changed: %+v, %+v", second, f)
			}
			// In place, where only the content tells.
			sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=8k seek=77 count=1 conv=notrunc 2>/dev/null && sync`)
			third := must(t, migrateArgs("--view", "snapshot")...).result(t).Volumes[0]
			if third.SentBytes == 0 || third.SentBytes > 256<<10 || third.Digest == second.Digest {
				t.Errorf("one page changed in place (exact %v): %+v", exact, third)
			}
			noCopies(t, a)
		})
	}
}

func TestAChainThatBrokeIsRepairedWithoutAFullCopy(t *testing.T) {
	const size = 24 << 20
	a, pod := running(t, "lab-csi-crash")
	sh(t, a, pod, fmt.Sprintf(`dd if=/dev/urandom of=/data/big bs=1M count=%d 2>/dev/null; sync`, size>>20))
	first := must(t, migrateArgs("--view", "snapshot", "--start")...).result(t).Volumes[0]
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	sh(t, b, target, `dd if=/dev/urandom of=/data/big bs=8k seek=99 count=1 conv=notrunc 2>/dev/null; echo mine >/data/mine; sync`)
	must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
	repaired := must(t, migrateArgs("--view", "snapshot")...).result(t).Volumes[0]
	if repaired.SentBytes == 0 || repaired.SentBytes > size/8 || repaired.Digest != first.Digest {
		t.Errorf("the target was touched: %+v, before %+v", repaired, first)
	}
}

func TestAnApplicationsClaimsOfOnePodAreLookedAtBySnapshots(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a := as(t, "lab-a-blue")
	put(t, a, "blue", strings.ReplaceAll(strings.ReplaceAll(app, "CLASS", "lab-csi-crash"), "ReadWriteOnce]", "ReadWriteOncePod]"))
	pod := podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `echo words >/data/word; sync`)
	if r := motion(t, migrateArgs("--view", "live")...); r.code != 4 || !strings.Contains(r.stderr, "ReadWriteOncePod") {
		t.Errorf("a live view of a claim of one pod: %s", r)
	}
	r := must(t, migrateArgs("--storage-class", "lab-csi-crash=lab-csi-large")...).result(t)
	if r.Volumes[0].Consistency != "CrashConsistent" {
		t.Errorf("at rest: %+v", r.Volumes)
	}
	must(t, migrateArgs("--storage-class", "lab-csi-crash=lab-csi-large", "--cutover")...)
	b := as(t, "lab-b-blue")
	if got := sh(t, b, podOf(t, b, "blue", "app=app"), "cat /data/word"); got != "words\n" {
		t.Errorf("after the cutover: %q", got)
	}
}

func TestWhatKeepsASnapshotFromBeingTakenIsSaid(t *testing.T) {
	a, pod := running(t, "lab-csi-crash")
	sh(t, a, pod, `echo words >/data/word; sync`)
	for class, words := range map[string]string{"nothing": "no volumesnapshotclass nothing of its driver"} {
		if r := motion(t, migrateArgs("--view", "snapshot", "--snapshot-class", class)...); r.code != 4 || !strings.Contains(r.stderr, words) {
			t.Errorf("snapshot class %s: %s", class, r)
		}
	}
	const fail = "/var/local/motion-volumes/csi/fail-snapshots"
	mended(t, "exec", "lab-a/node-1", "--", "rm", "-f", fail)
	motionLab(t, "exec", "lab-a/node-1", "--", "sh", "-c", "echo the pool is full >"+fail)
	if r := motion(t, migrateArgs("--view", "snapshot", "--timeout", "20s")...); r.code != 1 || !strings.Contains(r.stderr, "the pool is full") {
		t.Errorf("the driver's error is not shown: %s", r)
	}
	// The snapshot controller lets go of a snapshot once its driver has answered.
	motionLab(t, "exec", "lab-a/node-1", "--", "rm", "-f", fail)
	noCopies(t, a)

	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "tight", Namespace: "blue"}}
	q.Spec.Hard = corev1.ResourceList{corev1.ResourcePersistentVolumeClaims: resource.MustParse("1")}
	admin := as(t, "lab-a")
	if _, err := admin.Kube.CoreV1().ResourceQuotas("blue").Create(t.Context(), q, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := admin.Kube.CoreV1().ResourceQuotas("blue").Delete(context.WithoutCancel(t.Context()), q.Name, metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	await(t, "the quota's count", func() error {
		now, err := admin.Kube.CoreV1().ResourceQuotas("blue").Get(t.Context(), q.Name, metav1.GetOptions{})
		if err == nil && len(now.Status.Used) == 0 {
			return errStill
		}
		return err
	})
	if r := motion(t, migrateArgs("--view", "snapshot")...); r.code != 4 || !strings.Contains(r.stderr, "quota tight leaves 0") {
		t.Errorf("a quota without room for the clone: %s", r)
	}
}

// rounds of PostgreSQL: few by default, MOTION_SNAPSHOT_ROUNDS for more.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MOTION_SNAPSHOT_ROUNDS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const database = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: lab-csi-crash
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: postgres}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: postgres}}
  template:
    metadata: {labels: {app: postgres}}
    spec:
      terminationGracePeriodSeconds: 5
      securityContext: {runAsNonRoot: true, runAsUser: 999, runAsGroup: 999, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: postgres
          image: lab/postgres:15
          args: [postgres, -c, shared_buffers=32MB, -c, checkpoint_timeout=30s]
          env: [{name: PGDATA, value: /data/pgdata}, {name: POSTGRES_PASSWORD, value: not-a-secret}]
          readinessProbe: {exec: {command: [pg_isready, -q, -h, 127.0.0.1, -U, postgres]}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}, {name: run, mountPath: /var/run/postgresql}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}, {name: run, emptyDir: {}}]`

// begin lets pgbench write, and beside it a client that notes outside of the
// volume every number that the database says is committed.
const begin = `cd /tmp; pgbench -q -i -s 2 -U postgres >/dev/null 2>&1; psql -q -U postgres -c 'create table acked (n int primary key)';
( pgbench -n -c 2 -R 200 -T 86400 -U postgres >/dev/null 2>&1 & )
( n=0; while n=$((n+1)); psql -q -U postgres -c "insert into acked values ($n)" >/dev/null 2>&1 && echo $n >/var/run/postgresql/acked.next && mv /var/run/postgresql/acked.next /var/run/postgresql/acked; do :; done & ) >/dev/null 2>&1
while [ ! -s /var/run/postgresql/acked ]; do sleep 0.1; done`

func TestEverySnapshotOfABusyPostgresRecoversAndHasWhatWasCommitted(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a, b := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	put(t, a, "blue", database)
	pod := podOf(t, a, "blue", "app=postgres")
	sh(t, a, pod, begin)
	for n := range rounds(t) {
		acked, err := strconv.Atoi(strings.TrimSpace(sh(t, a, pod, "cat /var/run/postgresql/acked")))
		if err != nil {
			t.Fatal(err)
		}
		r := must(t, migrateArgs("--start", "--view", "snapshot")...).result(t)
		target := podOf(t, b, "blue", "app=postgres")
		got, err := strconv.Atoi(strings.TrimSpace(sh(t, b, target, "psql -At -U postgres -c 'select count(*) from acked where n <= "+strconv.Itoa(acked)+"'")))
		if err != nil || got != acked {
			t.Errorf("round %d: %d of %d transactions that were committed before the snapshot are there, error %v", n, got, acked, err)
		}
		if out := sh(t, b, target, "psql -q -U postgres -c 'create extension if not exists amcheck' >/dev/null 2>&1; pg_amcheck -U postgres --database postgres --heapallindexed 2>&1"); out != "" {
			t.Errorf("round %d: pg_amcheck: %s", n, out)
		}
		f := figures(t, a)
		t.Logf("round %d: %d committed before; scanned %d, changed %d, sent %d, wire %d; digest %s", n, acked, f.ScannedBytes, f.ChangedBytes, f.SentBytes, f.WireBytes, r.Volumes[0].Digest)
		must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
	}
	noCopies(t, a)
}
