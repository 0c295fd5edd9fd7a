// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestARawBlockVolumeIsADeviceOfTheSizeAskedForUntilItIsDeleted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("loop devices are root's to make")
	}
	f := provisioner(t)
	// Loop devices are the machine's: a name that no other run has.
	f.devices = &devices{dir: filepath.Join(t.TempDir(), fmt.Sprintf("devices-of-test-%d", os.Getpid()))}
	if err := f.devices.open(); err != nil {
		t.Fatal(err)
	}
	o := request(kindBlock, corev1.ReadWriteOnce)
	block := corev1.PersistentVolumeBlock
	o.PVC.Spec.VolumeMode = &block
	pv, _, err := f.Provision(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.devices.remove(pv.Name); err != nil {
			t.Error(err)
		}
	})
	device, err := os.Open(pv.Spec.Local.Path)
	if err != nil {
		t.Fatal(err)
	}
	size, err := device.Seek(0, 2)
	if closing := device.Close(); err != nil || closing != nil || size != 1<<30 || *pv.Spec.VolumeMode != block {
		t.Errorf("%d bytes, mode %s: %v, %v", size, *pv.Spec.VolumeMode, err, closing)
	}
	was := f.devices.attached(pv.Name)
	if err := f.devices.open(); err != nil || f.devices.attached(pv.Name) != was {
		t.Errorf("after a restart the device is %s, was %s: %v", f.devices.attached(pv.Name), was, err)
	}
	if err := f.Delete(context.Background(), pv); err != nil {
		t.Fatal(err)
	}
	if now := f.devices.attached(pv.Name); now != "" {
		t.Errorf("%s is left", now)
	}
	if left, err := os.ReadDir(f.devices.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestEachClassMakesOneModeOfVolume(t *testing.T) {
	f := provisioner(t)
	block, o := corev1.PersistentVolumeBlock, request("local", corev1.ReadWriteOnce)
	o.PVC.Spec.VolumeMode = &block
	if _, _, err := f.Provision(context.Background(), o); err == nil {
		t.Error("a folder for a raw block volume")
	}
	if _, _, err := f.Provision(context.Background(), request(kindBlock, corev1.ReadWriteOnce)); err == nil {
		t.Error("a device for a volume with a filesystem")
	}
}
