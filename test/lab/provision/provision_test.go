// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func provisioner(t *testing.T) *folders {
	t.Helper()
	f := &folders{node: "n1", root: t.TempDir()}
	for _, kind := range []string{"local", "hostPath"} {
		if err := os.Mkdir(filepath.Join(f.root, kind), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func request(kind string, modes ...corev1.PersistentVolumeAccessMode) controller.ProvisionOptions {
	policy := corev1.PersistentVolumeReclaimDelete
	return controller.ProvisionOptions{
		StorageClass: &storagev1.StorageClass{Parameters: map[string]string{"type": kind}, ReclaimPolicy: &policy},
		PVName:       "pvc-1",
		PVC: &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "blue", Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{AccessModes: modes, Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			}},
		},
		SelectedNodeName: "n1",
	}
}

func TestEachClassMakesItsTypeOfVolumeInAFolderThatEverybodyMayWrite(t *testing.T) {
	f := provisioner(t)
	for _, kind := range []string{"local", "hostPath"} {
		pv, _, err := f.Provision(context.Background(), request(kind, corev1.ReadWriteOnce))
		if err != nil {
			t.Fatal(err)
		}
		path := ""
		if kind == "local" && pv.Spec.Local != nil {
			path = pv.Spec.Local.Path
		} else if kind == "hostPath" && pv.Spec.HostPath != nil {
			path = pv.Spec.HostPath.Path
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o777 {
			t.Errorf("%s: folder %q: %v, %v", kind, path, info, err)
		}
		terms := pv.Spec.NodeAffinity.Required.NodeSelectorTerms
		if got := terms[0].MatchExpressions[0].Values[0]; got != "n1" {
			t.Errorf("%s: the volume is bound to node %s", kind, got)
		}
		if err := f.Delete(context.Background(), pv); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: the folder is still there: %v", kind, err)
		}
	}
}

func TestWhatAFolderCannotBeIsRefused(t *testing.T) {
	f := provisioner(t)
	block := request("local", corev1.ReadWriteOnce)
	mode := corev1.PersistentVolumeBlock
	block.PVC.Spec.VolumeMode = &mode
	for name, o := range map[string]controller.ProvisionOptions{
		"several nodes": request("local", corev1.ReadWriteMany), "a block device": block, "unknown type": request("tape", corev1.ReadWriteOnce),
		"outside": request("../x", corev1.ReadWriteOnce),
	} {
		if pv, _, err := f.Provision(context.Background(), o); err == nil {
			t.Errorf("%s: got %+v", name, pv.Spec)
		}
	}
}

func TestOnlyOwnFoldersAreRemoved(t *testing.T) {
	f := provisioner(t)
	outside := t.TempDir()
	for _, path := range []string{
		outside, "/", "", f.root, f.root + "/local", f.root + "/local/../../x", f.root + "/local/a/b",
		f.root + "/local/x/..",
	} {
		pv := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			Local: &corev1.LocalVolumeSource{Path: path},
		}}}
		if err := f.Delete(context.Background(), pv); err == nil {
			t.Errorf("%q was removed", path)
		}
	}
	for _, dir := range []string{outside, f.root, f.root + "/local"} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%s is gone", dir)
		}
	}
}

func TestEachNodeAnswersForItsOwnClaimsAndVolumes(t *testing.T) {
	f := provisioner(t)
	for node, want := range map[string]bool{"n1": true, "n2": false, "": false} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Annotations: map[string]string{"volume.kubernetes.io/selected-node": node},
		}}
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{onNode: node}}}
		if got := f.ShouldProvision(context.Background(), claim); got != want {
			t.Errorf("claim of %q: %v", node, got)
		}
		if got := f.ShouldDelete(context.Background(), pv); got != want {
			t.Errorf("volume of %q: %v", node, got)
		}
	}
}
