//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/test/lab/e2e/labtest"
)

// csiClaim is one of lab-csi. Arguments: name, class, volume mode, data source.
const csiClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: %s
spec:
  storageClassName: %s
  volumeMode: %s
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}
  dataSource: %s
`

func claiming(name, class, mode, source string) string {
	return fmt.Sprintf(csiClaim, name, class, mode, source)
}

const mounting = "{name: data, mountPath: /data}"

func withClaim(name, claim string) string {
	return fmt.Sprintf(restricted, name, "app: "+name, "lab/tools:1", sleeper, mounting,
		fmt.Sprintf("{name: data, persistentVolumeClaim: {claimName: %s}}", claim))
}

func withDevice(name, claim string) string {
	return strings.Replace(withClaim(name, claim), "volumeMounts: ["+mounting+"]", "volumeDevices: [{name: data, devicePath: /dev/data}]", 1)
}

func TestNamespaceUsersTakeSnapshotsAndRestoreThem(t *testing.T) {
	lab := labtest.Running(t)
	for _, cluster := range []string{"lab-a", "lab-b"} {
		for _, class := range []string{"lab-csi-crash", "lab-csi-freeze"} {
			t.Run(cluster+"/"+class, func(t *testing.T) { restores(t, lab, cluster, class) })
		}
	}
}

func restores(t *testing.T, lab *labtest.Lab, cluster, class string) {
	user := cluster + "-blue"
	t.Cleanup(func() {
		lab.Kubectl(t, user, "delete", "pod/writer", "pod/reader", "volumesnapshot/snap", "pvc/origin", "pvc/restored", "--ignore-not-found")
	})
	lab.Apply(t, user, claiming("origin", class, "Filesystem", "null"))
	lab.Apply(t, user, withClaim("writer", "origin"))
	ready(t, lab, user, "blue", "writer")
	lab.Kubectl(t, user, "exec", "writer", "--", "sh", "-c", "echo before >/data/word && sync")
	lab.Apply(t, user, `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: snap}
spec: {source: {persistentVolumeClaimName: origin}}
`)
	lab.Kubectl(t, user, "wait", "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s", "volumesnapshot/snap")
	lab.Kubectl(t, user, "exec", "writer", "--", "sh", "-c", "echo after >/data/word && sync")
	lab.Apply(t, user, claiming("restored", class, "Filesystem", "{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}"))
	node := lab.Kubectl(t, user, "get", "pod", "writer", "-o", "jsonpath={.spec.nodeName}")
	lab.Apply(t, user, strings.Replace(withClaim("reader", "restored"), "spec:", "spec:\n  nodeSelector: {kubernetes.io/hostname: "+node+"}", 1))
	ready(t, lab, user, "blue", "reader")
	if got := lab.Kubectl(t, user, "exec", "reader", "--", "cat", "/data/word"); got != "before\n" {
		t.Errorf("restored: %q", got)
	}
	if out, err := lab.TryKubectl(user, "get", "volumesnapshotcontents"); err == nil {
		t.Errorf("the user sees what lies behind snapshots: %s", out)
	}
}

func TestTheSizeOfAVolumeIsEnforcedAndAClassMayHaveAMinimum(t *testing.T) {
	lab := labtest.Running(t)
	user := "lab-b-blue"
	t.Cleanup(func() { lab.Kubectl(t, user, "delete", "pod/filler", "pvc/small", "pvc/large", "--ignore-not-found") })
	lab.Apply(t, user, claiming("small", "lab-csi-crash", "Filesystem", "null"))
	lab.Apply(t, user, claiming("large", "lab-csi-large", "Filesystem", "null"))
	two := strings.Replace(withClaim("filler", "small"), "volumes: [", "volumes: [{name: large, persistentVolumeClaim: {claimName: large}}, ", 1)
	lab.Apply(t, user, strings.Replace(two, mounting, mounting+", {name: large, mountPath: /large}", 1))
	ready(t, lab, user, "blue", "filler")
	if out, err := lab.TryKubectl(user, "exec", "filler", "--", "dd", "if=/dev/zero", "of=/data/fill", "bs=1M", "count=80"); err == nil {
		t.Errorf("80 MiB fit into a volume of 64: %s", out)
	}
	lab.Kubectl(t, user, "exec", "filler", "--", "dd", "if=/dev/zero", "of=/large/fill", "bs=1M", "count=200")
	if got := lab.Kubectl(t, user, "get", "pvc", "large", "-o", "jsonpath={.status.capacity.storage}"); got != "512Mi" {
		t.Errorf("the class's minimum is 512Mi, the volume has %s", got)
	}
}

func TestARawBlockVolumeIsADevice(t *testing.T) {
	lab := labtest.Running(t)
	user := "lab-a-blue"
	t.Cleanup(func() { lab.Kubectl(t, user, "delete", "pod/raw", "pvc/raw", "--ignore-not-found") })
	lab.Apply(t, user, claiming("raw", "lab-csi-crash", "Block", "null"))
	lab.Apply(t, user, withDevice("raw", "raw"))
	ready(t, lab, user, "blue", "raw")
	labtest.Eventually(t, "the device", func() error {
		out, err := lab.TryKubectl(user, "exec", "raw", "--", "stat", "-c", "%F", "/dev/data")
		if err == nil && strings.TrimSpace(out) != "block special file" {
			return errors.New(out)
		}
		return err
	})
}
