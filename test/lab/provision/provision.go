// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package provision serves the lab's StorageClasses on one node: it makes and removes the folders behind
// PersistentVolumes on the node that the scheduler chose.
//
// Two kinds of PersistentVolume exist in the wild for such folders, and a migration of volumes meets both: of type local
// (k3s) and of type hostPath (kind, minikube). The classes differ in nothing else.
package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Name is what the lab's StorageClasses call their provisioner.
const Name = "lab.kubectl-motion.dev/folder"

// onNode marks a PersistentVolume with the node that has its folder.
const onNode = "lab.kubectl-motion.dev/node"

// kindParameter is the StorageClass parameter that says which type of PersistentVolume to make: local, hostPath, or
// block for a local one that is a raw block device.
const (
	kindParameter = "type"
	kindBlock     = "block"
)

// Run provisions for one node until the context ends. Volumes go to folders below root, raw block volumes to loop
// devices on files in deviceDir.
func Run(ctx context.Context, kubeconfig, node, root, deviceDir string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	raw := &devices{dir: deviceDir}
	if err := raw.open(); err != nil {
		return err
	}
	c := controller.NewProvisionController(ctx, client, Name, &folders{node: node, root: root, devices: raw},
		// Each node's instance answers for its own claims, so there is no leader to elect.
		controller.LeaderElection(false), controller.AddFinalizer(true))
	c.Run(ctx)
	return errors.New("the provisioner's controller ended")
}

// folders provisions volumes as folders below root on one node.
type folders struct {
	node, root string
	devices    *devices
}

// ShouldProvision tells this node's claims from those of other nodes.
func (f *folders) ShouldProvision(_ context.Context, claim *corev1.PersistentVolumeClaim) bool {
	return claim.Annotations["volume.kubernetes.io/selected-node"] == f.node
}

// ShouldDelete tells this node's volumes from those of other nodes.
func (f *folders) ShouldDelete(_ context.Context, pv *corev1.PersistentVolume) bool {
	return pv.Annotations[onNode] == f.node
}

// SupportsBlock tells the library to hand on claims of raw block volumes.
func (f *folders) SupportsBlock(context.Context) bool { return true }

// Provision makes the folder and describes it as a PersistentVolume.
func (f *folders) Provision(_ context.Context, o controller.ProvisionOptions) (
	*corev1.PersistentVolume, controller.ProvisioningState, error,
) {
	kind := o.StorageClass.Parameters[kindParameter]
	raw := o.PVC.Spec.VolumeMode != nil && *o.PVC.Spec.VolumeMode == corev1.PersistentVolumeBlock
	if raw != (kind == kindBlock) {
		return nil, controller.ProvisioningFinished, errors.New("raw block volumes are of the class lab-block, and nothing else is")
	}
	for _, mode := range o.PVC.Spec.AccessModes {
		if mode == corev1.ReadWriteMany || mode == corev1.ReadOnlyMany {
			return nil, controller.ProvisioningFinished, fmt.Errorf("a folder of one node cannot be %s", mode)
		}
	}
	if raw {
		link, err := f.devices.make(o.PVName, o.PVC.Spec.Resources.Requests.Storage().Value())
		if err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		source := corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: link}}
		return f.describe(o, source, corev1.PersistentVolumeBlock), controller.ProvisioningFinished, nil
	}
	path := filepath.Join(f.root, kind, fmt.Sprintf("%s_%s_%s", o.PVName, o.PVC.Namespace, o.PVC.Name))
	source, err := volumeSource(kind, path)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := makeFolder(path); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return f.describe(o, source, corev1.PersistentVolumeFilesystem), controller.ProvisioningFinished, nil
}

func volumeSource(kind, path string) (corev1.PersistentVolumeSource, error) {
	switch kind {
	case "local":
		return corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}}, nil
	case "hostPath":
		directory := corev1.HostPathDirectoryOrCreate
		return corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &directory}}, nil
	}
	return corev1.PersistentVolumeSource{}, fmt.Errorf("StorageClass parameter %s is %q, want local or hostPath",
		kindParameter, kind)
}

// makeFolder lets everybody write, as local-path does: a pod that may not be root has no other way in, for the kubelet
// applies no fsGroup to these types of volume.
func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(path, 0o777) // for any umask
}

func (f *folders) describe(o controller.ProvisionOptions, source corev1.PersistentVolumeSource,
	mode corev1.PersistentVolumeMode,
) *corev1.PersistentVolume {
	here := corev1.NodeSelectorRequirement{
		Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn,
		Values: []string{f.node},
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName, Annotations: map[string]string{onNode: f.node}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        source,
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{here}},
			}}},
		},
	}
}

// Delete removes the folder or device of a released volume.
func (f *folders) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	path := ""
	switch {
	case pv.Spec.Local != nil:
		path = pv.Spec.Local.Path
	case pv.Spec.HostPath != nil:
		path = pv.Spec.HostPath.Path
	}
	if mode := pv.Spec.VolumeMode; mode != nil && *mode == corev1.PersistentVolumeBlock {
		if path != f.devices.link(pv.Name) {
			return fmt.Errorf("volume %s: %q is not a device of this provisioner", pv.Name, path)
		}
		return f.devices.remove(pv.Name)
	}
	// The object is an administrator's to edit; what is removed with root's rights stays within our own folders.
	if filepath.Clean(path) != path || filepath.Dir(filepath.Dir(path)) != f.root {
		return fmt.Errorf("volume %s: %q is not a folder of this provisioner", pv.Name, path)
	}
	return os.RemoveAll(path)
}
