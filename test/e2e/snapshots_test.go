//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot/snapshottest"
	"github.com/kubectl-motion/kubectl-motion/plugins/volume/csi"
)

var volumeSnapshots = schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"}

// noCopies waits until nothing is left of what a pass made on the source.
func noCopies(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	await(t, "the end of snapshots, clones and mount pods", func() error {
		snapshots, err := c.Resource(volumeSnapshots, "blue").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		claims, err := c.Kube.CoreV1().PersistentVolumeClaims("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy})
		if err != nil {
			return err
		}
		mountPods, err := c.Kube.CoreV1().Pods("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelMountPod})
		if err != nil {
			return err
		}
		jobs, err := c.Kube.BatchV1().Jobs("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy})
		if err != nil {
			return err
		}
		if n := len(snapshots.Items) + len(claims.Items) + len(mountPods.Items) + len(jobs.Items); n > 0 {
			return fmt.Errorf("%d snapshots, %d clones, %d mount pods, %d jobs", len(snapshots.Items), len(claims.Items), len(mountPods.Items), len(jobs.Items))
		}
		return nil
	})
}

// figures of the last generation, as the source's agent wrote them.
func statistics(t *testing.T, c *cluster.Cluster) v1alpha1.ShipmentStatistics {
	t.Helper()
	list, err := cluster.List[v1alpha1.VolumeShipment](t.Context(), c, v1alpha1.VolumeShipments, "blue", metav1.ListOptions{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d shipments, error %v", len(list), err)
	}
	return list[0].Status.Statistics
}

// twoClaims is the application with a second claim, of the same class.
var twoClaims = strings.NewReplacer(
	"volumeMounts: [{name: data, mountPath: /data}]", "volumeMounts: [{name: data, mountPath: /data}, {name: more, mountPath: /more}]",
	"volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]",
	"volumes: [{name: data, persistentVolumeClaim: {claimName: data}}, {name: more, persistentVolumeClaim: {claimName: more}}]",
	"apiVersion: v1\nkind: Service\n", `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: more}
spec:
  storageClassName: CLASS
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}
---
apiVersion: v1
kind: Service
`).Replace(app)

func TestSnapshotsOfARunningApplicationAreStartedBesideItAndEndAlsoWhenNobodyComesBack(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a := as(t, "lab-a-blue")
	put(t, a, "blue", strings.ReplaceAll(twoClaims, "CLASS", "lab-csi-crash"))
	pod := podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `mkdir -p /data/d && dd if=/dev/urandom of=/data/d/random bs=1M count=3 2>/dev/null; echo words >/data/word; echo others >/more/word; sync`)
	const sums = "cd / && find data more -type f | LC_ALL=C sort | xargs sha256sum"
	want := sh(t, a, pod, sums)

	// A run that is killed between its snapshots and their removal, and no other.
	killed(t, "    2 snapshots were requested together", migrateArgs("--start")...)
	left, err := a.Resource(volumeSnapshots, "blue").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) != 2 {
		t.Fatalf("the killed run left %d snapshots, want 2, error %v", len(left.Items), err)
	}
	jobs, err := a.Kube.BatchV1().Jobs("blue").List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelManagedBy})
	if err != nil || len(jobs.Items) != 1 {
		t.Fatalf("%d jobs, error %v", len(jobs.Items), err)
	}
	if ttl := jobs.Items[0].Spec.TTLSecondsAfterFinished; ttl == nil || *ttl == 0 || *ttl > 24*60*60 {
		t.Errorf("the Job that the snapshots end with lasts for %v", ttl)
	}
	_, err = a.Kube.BatchV1().Jobs("blue").Patch(t.Context(), jobs.Items[0].Name, types.MergePatchType, []byte(`{"spec":{"ttlSecondsAfterFinished":0}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The killed run's mount pod on the target is another matter: it is the next run's.
	noCopies(t, a)

	planned := must(t, "plan", "--context", "lab-a-blue", "--to", "lab-b", "--start", "-o", "json")
	var p plan.Plan
	if err := json.Unmarshal([]byte(planned.stdout), &p); err != nil {
		t.Fatal(err)
	}
	if o := p.Volumes[0].CopyMethod.Offer; o == nil || o.Plugin != "csi" || o.Class != "lab-csi" || o.ChangeDetection != v1alpha1.ChangeDetectionContent {
		t.Errorf("the plan's view is %+v", p.Volumes[0].CopyMethod)
	}
	started := must(t, migrateArgs("--start")...)
	r := started.result(t)
	if !r.Active || len(r.Volumes) != 2 || r.Volumes[0].Consistency != "CrashConsistent" || r.Volumes[1].Consistency != "CrashConsistent" {
		t.Errorf("result %+v", r)
	}
	if !strings.Contains(started.stderr, "2 snapshots were requested together and taken within") {
		t.Errorf("nothing says how far apart the snapshots are: %s", started)
	}
	noCopies(t, a)
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	if got := sh(t, b, target, sums); got != want {
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
			first := must(t, migrateArgs("--copy-method", "snapshot")...).result(t).Volumes[0]
			if first.SentBytes < size || first.Consistency != "CrashConsistent" {
				t.Fatalf("first copy: %+v", first)
			}
			sh(t, a, pod, `dd if=/dev/urandom of=/data/other bs=8k count=1 2>/dev/null; sync`)
			second := must(t, migrateArgs("--copy-method", "snapshot")...).result(t).Volumes[0]
			f := statistics(t, a)
			t.Logf("second: scanned %d, read %d, changed %d, sent %d, wire %d", f.ScannedBytes, f.ReadBytes, f.ChangedBytes, f.SentBytes, f.WireBytes)
			if second.SentBytes == 0 || second.SentBytes > 256<<10 || f.WireBytes > 1<<20 || second.VerifiedSync <= first.VerifiedSync {
				t.Errorf("8 KiB changed: %+v, %+v", second, f)
			}
			// What exact stamps are for: a file that did not change is not read.
			if unread := f.ReadBytes < 1<<20; unread != exact || !exact && f.ReadBytes < size {
				t.Errorf("exact %v: %d bytes were read of the source", exact, f.ReadBytes)
			}
			// In place, where only the content tells.
			sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=8k seek=77 count=1 conv=notrunc 2>/dev/null && sync`)
			third := must(t, migrateArgs("--copy-method", "snapshot")...).result(t).Volumes[0]
			if third.SentBytes == 0 || third.SentBytes > 256<<10 || third.Digest == second.Digest {
				t.Errorf("one page changed in place (exact %v): %+v", exact, third)
			}
			noCopies(t, a)
		})
	}
}

// nodes of the lab by their clusters' contexts, as motion-lab names them.
var nodes = map[string][]string{"lab-a": {"lab-a/node-1"}, "lab-b": {"lab-b/node-1", "lab-b/node-2"}}

// forget removes what the agents of a cluster know of a claim's volume.
func forget(t *testing.T, name, claim string) {
	t.Helper()
	pvc, err := as(t, name).Kube.CoreV1().PersistentVolumeClaims("blue").Get(t.Context(), claim, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, node := range nodes[name] {
		found += motionLab(t, "exec", node, "--", "sh", "-c", fmt.Sprintf("cd /var/lib/kubectl-motion/volumes && ls -d %[1]s 2>/dev/null; rm -rf %[1]s", pvc.UID))
	}
	if strings.TrimSpace(found) != string(pvc.UID) {
		t.Fatalf("agents of %s that knew of the volume %s: %q", name, pvc.UID, found)
	}
}

// onTheNode runs a script in the folder of a claim's volume, of type local, beside every
// pod and agent.
func onTheNode(t *testing.T, name, claim, script string) {
	t.Helper()
	c := as(t, name)
	pvc, err := c.Kube.CoreV1().PersistentVolumeClaims("blue").Get(t.Context(), claim, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pv, err := c.Kube.CoreV1().PersistentVolumes().Get(t.Context(), pvc.Spec.VolumeName, metav1.GetOptions{})
	if err != nil || pv.Spec.Local == nil {
		t.Fatalf("volume %s: %v: %+v", pvc.Spec.VolumeName, err, pv.Spec.PersistentVolumeSource)
	}
	done := ""
	for _, node := range nodes[name] {
		done += motionLab(t, "exec", node, "--", "sh", "-c", fmt.Sprintf("cd %s 2>/dev/null || exit 0; set -e; %s; echo done", pv.Spec.Local.Path, script))
	}
	if done != "done\n" {
		t.Fatalf("in %s on the nodes of %s: %q", pv.Spec.Local.Path, name, done)
	}
}

func TestAChainThatBrokeIsRepairedWithoutAFullCopy(t *testing.T) {
	const size = 24 << 20
	a, pod := running(t, "lab-csi-crash")
	migrateArgs := func(more ...string) []string {
		return migrateArgs(append(more, "--copy-method", "snapshot", "--storage-class", "lab-csi-crash=lab-local")...)
	}
	sh(t, a, pod, fmt.Sprintf(`dd if=/dev/urandom of=/data/big bs=1M count=%d 2>/dev/null; echo words >/data/word; sync`, size>>20))
	first := must(t, migrateArgs("--start")...).result(t).Volumes[0]
	b := as(t, "lab-b-blue")
	target := podOf(t, b, "blue", "app=app")
	sh(t, b, target, `dd if=/dev/urandom of=/data/big bs=8k seek=99 count=1 conv=notrunc 2>/dev/null; echo mine >/data/mine; sync`)
	must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
	// repaired runs once more and wants the whole volume on the target for little.
	repaired := func(what string) migrate.Result {
		t.Helper()
		r := must(t, migrateArgs()...).result(t)
		f := statistics(t, a)
		t.Logf("%s: scanned %d, read %d, sent %d, wire %d", what, f.ScannedBytes, f.ReadBytes, f.SentBytes, f.WireBytes)
		if v := r.Volumes[0]; v.SentBytes == 0 || v.SentBytes > size/8 || f.WireBytes > size/8 {
			t.Errorf("%s: %+v, %+v", what, v, f)
		}
		return r
	}
	if v := repaired("the target was touched by its application").Volumes[0]; v.Digest != first.Digest {
		t.Errorf("%+v, before %+v", v, first)
	}

	// What the source's agent knows is lost, and the generation on the target is torn:
	// a file is gone, and another has other bytes with the old size and time.
	forget(t, "lab-a", "data")
	onTheNode(t, "lab-b", "data", `touch -r big ../kept; dd if=/dev/urandom of=big bs=8k seek=55 count=1 conv=notrunc 2>/dev/null; touch -r ../kept big; rm ../kept word`)
	if v := repaired("the source's index was lost and the target torn").Volumes[0]; v.Digest != first.Digest {
		t.Errorf("%+v, before %+v", v, first)
	}

	// What the target's agent knows is lost, and the source goes on.
	forget(t, "lab-b", "data")
	sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=8k seek=77 count=1 conv=notrunc 2>/dev/null; sync`)
	want := strings.Fields(sh(t, a, pod, "sha256sum </data/big"))[0]
	repaired("the target's index was lost")
	onTheNode(t, "lab-b", "data", fmt.Sprintf(`echo '%s  big' | sha256sum -c >/dev/null`, want))
}

func TestAnApplicationsClaimsOfOnePodAreLookedAtBySnapshots(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a := as(t, "lab-a-blue")
	put(t, a, "blue", strings.ReplaceAll(strings.ReplaceAll(app, "CLASS", "lab-csi-crash"), "ReadWriteOnce]", "ReadWriteOncePod]"))
	pod := podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `echo words >/data/word; sync`)
	if r := motion(t, migrateArgs("--copy-method", "live")...); r.code != 4 || !strings.Contains(r.stderr, "ReadWriteOncePod") {
		t.Errorf("a live view of a claim of one pod: %s", r)
	}
	r := must(t, migrateArgs("--storage-class", "lab-csi-crash=lab-csi-large")...).result(t)
	if r.Volumes[0].Consistency != "CrashConsistent" {
		t.Errorf("on standby: %+v", r.Volumes)
	}
	// Without snapshots nothing is read of it before the application is stopped.
	b := as(t, "lab-b-blue")
	sh(t, a, pod, `echo more >>/data/word; sync`)
	stopped := must(t, migrateArgs("--storage-class", "lab-csi-crash=lab-csi-large", "--cutover", "--copy-method", "live")...)
	v := stopped.result(t).Volumes[0]
	if v.Consistency != "Stopped" || v.VerifiedSync != r.Volumes[0].VerifiedSync+1 {
		t.Errorf("a cutover without snapshots: %+v, before %+v", v, r.Volumes[0])
	}
	if !strings.Contains(stopped.stderr, "it is copied after the application is stopped") {
		t.Errorf("the plan does not say that it takes longer: %s", stopped)
	}
	if got := sh(t, b, podOf(t, b, "blue", "app=app"), "cat /data/word"); got != "words\nmore\n" {
		t.Errorf("after the cutover without snapshots: %q", got)
	}
	must(t, "rollback", "--context", "lab-a-blue", "--to", "lab-b")
	// Written in place and not yet written back, while its inode is: the journal is
	// committed for another file. A snapshot of now shows old data behind new stamps.
	pod = podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `echo again >>/data/word; dd if=/dev/urandom of=/data/page bs=4k count=1 2>/dev/null; sync`)
	sh(t, a, pod, `dd if=/dev/urandom of=/data/page bs=4k count=1 conv=notrunc 2>/dev/null; echo more >/data/other; sync /data/other`)
	page := sh(t, a, pod, `sha256sum </data/page`)

	must(t, migrateArgs("--storage-class", "lab-csi-crash=lab-csi-large", "--cutover")...)
	if got := sh(t, b, podOf(t, b, "blue", "app=app"), "cat /data/word"); got != "words\nmore\nagain\n" {
		t.Errorf("after the cutover: %q", got)
	}
	if got := sh(t, b, podOf(t, b, "blue", "app=app"), `sha256sum </data/page`); got != page {
		t.Errorf("the last increment believed the stamps of a crash-consistent snapshot: the page is %s, want %s", got, page)
	}
}

func TestATargetsVolumeGrowsWithTheSources(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a, b := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	put(t, a, "blue", strings.NewReplacer("CLASS", "lab-csi-crash", "storage: 1Gi", "storage: 64Mi").Replace(app))
	pod := podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `echo words >/data/word; sync`)
	must(t, migrateArgs()...)
	_, err := a.Kube.CoreV1().PersistentVolumeClaims("blue").Patch(t.Context(), "data", types.MergePatchType,
		[]byte(`{"spec":{"resources":{"requests":{"storage":"160Mi"}}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	has := func(c *cluster.Cluster) string {
		claim, err := c.Kube.CoreV1().PersistentVolumeClaims("blue").Get(t.Context(), "data", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return claim.Status.Capacity.Storage().String()
	}
	// The lab grows an ext4 when nobody has it.
	stop(t, a, "app")
	await(t, "the source's volume of 160Mi", func() error {
		if got := has(a); got != "160Mi" {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
	scale(t, a, "app", 1)
	// More than there was room for.
	pod = podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `dd if=/dev/urandom of=/data/big bs=1M count=90 2>/dev/null && sync`)
	r := must(t, migrateArgs("--start")...).result(t)
	if got := has(b); got != "160Mi" || r.Volumes[0].SentBytes < 90<<20 {
		t.Errorf("the target's volume has %s: %+v", got, r.Volumes[0])
	}
	const sum = "sha256sum </data/big"
	if got, want := sh(t, b, podOf(t, b, "blue", "app=app"), sum), sh(t, a, pod, sum); got != want {
		t.Errorf("the target has %s, the source %s", got, want)
	}
	must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
}

// shared is a volume that pods of any node may write, as an administrator made it by
// hand, and its claim.
const shared = `apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-shared}
spec:
  storageClassName: lab-shared
  capacity: {storage: 64Mi}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: blue, name: data}
  hostPath: {path: /var/local/motion-volumes/e2e-shared, type: DirectoryOrCreate}
`

func TestASharedVolumeMovesWhereTheTargetHasSuchVolumesAndElseTheReasonIsSaid(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	admin, a, b := as(t, "lab-a"), as(t, "lab-a-blue"), as(t, "lab-b-blue")
	const folder = "/var/local/motion-volumes/e2e-shared"
	mended(t, "exec", "lab-a/node-1", "--", "rm", "-rf", folder)
	motionLab(t, "exec", "lab-a/node-1", "--", "install", "-d", "-m", "777", folder)
	t.Cleanup(func() {
		_ = admin.Kube.CoreV1().PersistentVolumes().Delete(context.WithoutCancel(t.Context()), "e2e-shared", metav1.DeleteOptions{})
	})
	put(t, admin, "", shared)
	put(t, a, "blue", strings.NewReplacer(
		"CLASS", "lab-shared", "[ReadWriteOnce]", "[ReadWriteMany]", "storage: 1Gi", "storage: 64Mi", "replicas: 1", "replicas: 2").Replace(app))
	pod := podOf(t, a, "blue", "app=app")
	sh(t, a, pod, `echo words >/data/word; sync`)

	// The lab's classes make volumes of one node.
	to := []string{"--storage-class", "lab-shared=lab-local"}
	if r := motion(t, migrateArgs(append(to, "--timeout", "15s")...)...); r.code != 1 || !strings.Contains(r.stderr, "cannot be ReadWriteMany") {
		t.Errorf("a target whose storage makes no shared volumes: %s", r)
	}
	remove(t, b, "blue", "persistentvolumeclaims.v1.", "")
	patch := filepath.Join(t.TempDir(), "patch.yaml")
	err := os.WriteFile(patch, []byte("- target: {kind: PersistentVolumeClaim, name: data}\n  patch: [{op: replace, path: /spec/accessModes, value: [ReadWriteOnce]}]\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	must(t, migrateArgs(append(to, "--patch", patch, "--cutover")...)...)
	if got := sh(t, b, podOf(t, b, "blue", "app=app"), "cat /data/word"); got != "words\n" {
		t.Errorf("after the cutover: %q", got)
	}
}

func TestTheCSIPluginConforms(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a := as(t, "lab-a-blue")
	put(t, a, "blue", strings.ReplaceAll(twoClaims, "CLASS", "lab-csi-crash"))
	put(t, a, "blue", `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: foreign}
spec:
  storageClassName: lab-local
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}`)
	pod := podOf(t, a, "blue", "app=app")
	claim := func(name, class string) snapshot.Claim {
		return snapshot.Claim{
			Namespace: "blue", Name: name, Class: class, Size: resource.MustParse("64Mi"),
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		}
	}
	data := claim("data", "lab-csi-crash")
	data.Size = resource.MustParse("1Gi")
	snapshottest.Conform(t, csi.Plugin{}, snapshottest.Ground{
		Source: a, Namespace: "blue", Node: pod.Spec.NodeName,
		Claim: data, Beside: claim("more", "lab-csi-crash"), Foreign: claim("foreign", "lab-local"),
		Write: func(t *testing.T) string {
			return sh(t, a, pod, "head -c 12 /dev/urandom | sha256sum | tee /data/word; sync")
		},
		Read: func(t *testing.T, mountPod *corev1.Pod, claim string) string {
			pvc, err := a.Kube.CoreV1().PersistentVolumeClaims("blue").Get(t.Context(), claim, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return motionLab(t, "exec", "lab-a/node-1", "--", "cat",
				fmt.Sprintf("/var/lib/kubelet/pods/%s/volume-subpaths/%s/%s/0/word", mountPod.UID, pvc.Spec.VolumeName, mountPod.Spec.Containers[0].Name))
		},
	})
	noCopies(t, a)
}

func TestWhatKeepsASnapshotFromBeingTakenIsSaid(t *testing.T) {
	a, pod := running(t, "lab-csi-crash")
	sh(t, a, pod, `echo words >/data/word; sync`)
	for class, words := range map[string]string{"nothing": "no volumesnapshotclass nothing of its driver"} {
		if r := motion(t, migrateArgs("--copy-method", "snapshot", "--snapshot-class", class)...); r.code != 4 || !strings.Contains(r.stderr, words) {
			t.Errorf("snapshot class %s: %s", class, r)
		}
	}
	const fail = "/var/local/motion-volumes/csi/fail-snapshots"
	mended(t, "exec", "lab-a/node-1", "--", "rm", "-f", fail)
	motionLab(t, "exec", "lab-a/node-1", "--", "sh", "-c", "echo the pool is full >"+fail)
	if r := motion(t, migrateArgs("--copy-method", "snapshot", "--timeout", "20s")...); r.code != 1 || !strings.Contains(r.stderr, "the pool is full") {
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
	if r := motion(t, migrateArgs("--copy-method", "snapshot")...); r.code != 4 || !strings.Contains(r.stderr, "quota tight") {
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
		r := must(t, migrateArgs("--start", "--copy-method", "snapshot")...).result(t)
		target := podOf(t, b, "blue", "app=postgres")
		got, err := strconv.Atoi(strings.TrimSpace(sh(t, b, target, "psql -At -U postgres -c 'select count(*) from acked where n <= "+strconv.Itoa(acked)+"'")))
		if err != nil || got != acked {
			t.Errorf("round %d: %d of %d transactions that were committed before the snapshot are there, error %v", n, got, acked, err)
		}
		if out := sh(t, b, target, "psql -q -U postgres -c 'create extension if not exists amcheck' >/dev/null 2>&1; pg_amcheck -U postgres --database postgres --heapallindexed 2>&1"); out != "" {
			t.Errorf("round %d: pg_amcheck: %s", n, out)
		}
		f := statistics(t, a)
		t.Logf("round %d: %d committed before; scanned %d, changed %d, sent %d, wire %d; digest %s", n, acked, f.ScannedBytes, f.ChangedBytes, f.SentBytes, f.WireBytes, r.Volumes[0].Digest)
		must(t, "deactivate", "--context", "lab-a-blue", "--to", "lab-b")
	}
	noCopies(t, a)
}
