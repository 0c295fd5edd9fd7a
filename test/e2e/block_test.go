//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// rawShop is the shop with a raw block device of 64 MiB for its data.
var rawShop = strings.NewReplacer(
	"storageClassName: CLASS", "storageClassName: lab-block\n  volumeMode: Block",
	"storage: 1Gi", "storage: 64Mi",
	"runAsUser: 65532", "runAsUser: 65532, runAsGroup: 65532",
	"volumeMounts: [{name: data, mountPath: /data}]", "volumeDevices: [{name: data, devicePath: /dev/data}]",
).Replace(shopManifest)

const (
	leaf       = 16 << 10
	deviceSize = 64 << 20
	// changed is one in a hundred of the device's leaves.
	changed = deviceSize / leaf / 100
)

// openedRaw is a shop on a raw block device of a class, with a known pattern.
func openedRaw(t *testing.T, class string) *shop {
	t.Helper()
	reset(t, blue)
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", blue, "--yes", "--block-devices")
	s := site(t, blue)
	put(t, s.a, blue, strings.ReplaceAll(rawShop, "lab-block", class))
	out := s.on(t, s.a, `seq 1 9000000 | dd of=/dev/data bs=1M count=64 iflag=fullblock conv=fsync 2>&1`)
	if !strings.Contains(out, "64+0 records out") {
		t.Fatalf("the pattern was not written: %s", out)
	}
	return s
}

func deviceDigest(t *testing.T, s *shop, c *cluster.Cluster) string {
	t.Helper()
	return s.on(t, c, "sha256sum </dev/data")
}

func TestARawBlockVolumeMovesAndItsIncrementsShipOnlyWhatChanged(t *testing.T) {
	s := openedRaw(t, "lab-block")
	must(t, s.migrate()...)
	send, _ := s.shipments(t)
	if f := send.Status.Statistics; f.ScannedBytes != deviceSize || f.SentBytes != deviceSize {
		t.Errorf("the first pass scanned %d and sent %d bytes, want %d of both", f.ScannedBytes, f.SentBytes, deviceSize)
	}
	claim, err := s.b.Kube.CoreV1().PersistentVolumeClaims(blue).Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m := claim.Spec.VolumeMode; m == nil || *m != corev1.PersistentVolumeBlock {
		t.Errorf("the target's claim has the volume mode %v", m)
	}

	// One small write in each hundredth leaf.
	s.on(t, s.a, `for i in $(seq 0 100 3999); do printf changed | dd of=/dev/data bs=1 seek=$((i * 16384 + 5000)) conv=notrunc 2>/dev/null; done; sync /dev/data`)
	want := deviceDigest(t, s, s.a)
	must(t, s.migrate()...)
	send, _ = s.shipments(t)
	if f := send.Status.Statistics; f.ScannedBytes != deviceSize || f.SentBytes != changed*leaf || f.WireBytes > changed*leaf+128<<10 {
		t.Errorf("the second pass scanned %d bytes and sent %d, %d on the wire; want %d, %d and about as much", f.ScannedBytes, f.SentBytes, f.WireBytes, deviceSize, changed*leaf)
	}
	t.Logf("one in a hundred leaves changed: %+v", send.Status.Statistics)

	r := must(t, s.migrate("--cutover")...).result(t)
	if !r.Active || r.Volumes[0].Consistency != "Stopped" {
		t.Errorf("the cutover ended with %+v", r)
	}
	s.runsOnly(t, s.b, s.a)
	if got := deviceDigest(t, s, s.b); got != want {
		t.Errorf("the device on the target has the digest %s, the source's was %s", got, want)
	}
}

func TestARawBlockVolumeInUseIsShippedFromItsSnapshots(t *testing.T) {
	s := openedRaw(t, "lab-csi-crash")
	snapshots := func(more ...string) []string {
		return s.migrate(append(more, "--copy-method", "snapshot", "--storage-class", "lab-csi-crash=lab-block")...)
	}
	first := must(t, snapshots()...).result(t).Volumes[0]
	if first.Consistency != "CrashConsistent" || first.SentBytes != deviceSize {
		t.Errorf("the first copy: %+v", first)
	}
	s.on(t, s.a, `printf changed | dd of=/dev/data bs=1 seek=5000 conv=notrunc,fsync 2>/dev/null`)
	want := deviceDigest(t, s, s.a)
	r := must(t, snapshots("--start")...).result(t)
	if f := s.shipment(t, s.a).Status.Statistics; !r.Active || f.ReadBytes != deviceSize || f.SentBytes != leaf {
		t.Errorf("one leaf changed: %+v: %+v", f, r)
	}
	if got := deviceDigest(t, s, s.b); got != want {
		t.Errorf("the device on the target has the digest %s, the source's was %s", got, want)
	}
	noCopies(t, s.a)
}
