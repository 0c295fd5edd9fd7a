// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func request(kind string, modes ...core.PersistentVolumeAccessMode) controller.ProvisionOptions {
	policy := core.PersistentVolumeReclaimDelete
	return controller.ProvisionOptions{
		StorageClass: &storage.StorageClass{Parameters: map[string]string{"type": kind}, ReclaimPolicy: &policy},
		PVName:       "pvc-1",
		PVC: &core.PersistentVolumeClaim{
			ObjectMeta: meta.ObjectMeta{Namespace: "blue", Name: "data"},
			Spec: core.PersistentVolumeClaimSpec{AccessModes: modes, Resources: core.VolumeResourceRequirements{
				Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")},
			}},
		},
		SelectedNodeName: "n1",
	}
}

func TestEachClassMakesItsTypeOfVolumeInAFolderThatEverybodyMayWrite(t *testing.T) {
	f := provisioner(t)
	for _, kind := range []string{"local", "hostPath"} {
		pv, _, err := f.Provision(context.Background(), request(kind, core.ReadWriteOnce))
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
	block := request("local", core.ReadWriteOnce)
	mode := core.PersistentVolumeBlock
	block.PVC.Spec.VolumeMode = &mode
	for name, o := range map[string]controller.ProvisionOptions{
		"several nodes": request("local", core.ReadWriteMany), "a block device": block, "unknown type": request("tape", core.ReadWriteOnce),
		"outside": request("../x", core.ReadWriteOnce),
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
		pv := &core.PersistentVolume{Spec: core.PersistentVolumeSpec{PersistentVolumeSource: core.PersistentVolumeSource{
			Local: &core.LocalVolumeSource{Path: path},
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
		claim := &core.PersistentVolumeClaim{ObjectMeta: meta.ObjectMeta{
			Annotations: map[string]string{"volume.kubernetes.io/selected-node": node},
		}}
		pv := &core.PersistentVolume{ObjectMeta: meta.ObjectMeta{Annotations: map[string]string{onNode: node}}}
		if got := f.ShouldProvision(context.Background(), claim); got != want {
			t.Errorf("claim of %q: %v", node, got)
		}
		if got := f.ShouldDelete(context.Background(), pv); got != want {
			t.Errorf("volume of %q: %v", node, got)
		}
	}
}
