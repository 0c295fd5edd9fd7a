// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package provision serves the lab's StorageClasses on one node: it makes and removes the folders behind
// PersistentVolumes on the node that the scheduler chose.
//
// Two kinds of PersistentVolume exist in the wild for such folders, and a mover of volumes meets both: of type local
// (k3s) and of type hostPath (kind, minikube). The classes differ in nothing else.
package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
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
func (f *folders) ShouldProvision(_ context.Context, claim *core.PersistentVolumeClaim) bool {
	return claim.Annotations["volume.kubernetes.io/selected-node"] == f.node
}

// ShouldDelete tells this node's volumes from those of other nodes.
func (f *folders) ShouldDelete(_ context.Context, pv *core.PersistentVolume) bool {
	return pv.Annotations[onNode] == f.node
}

// SupportsBlock tells the library to hand on claims of raw block volumes.
func (f *folders) SupportsBlock(context.Context) bool { return true }

// Provision makes the folder and describes it as a PersistentVolume.
func (f *folders) Provision(_ context.Context, o controller.ProvisionOptions) (
	*core.PersistentVolume, controller.ProvisioningState, error,
) {
	kind := o.StorageClass.Parameters[kindParameter]
	raw := o.PVC.Spec.VolumeMode != nil && *o.PVC.Spec.VolumeMode == core.PersistentVolumeBlock
	if raw != (kind == kindBlock) {
		return nil, controller.ProvisioningFinished, errors.New("raw block volumes are of the class lab-block, and nothing else is")
	}
	for _, mode := range o.PVC.Spec.AccessModes {
		if mode == core.ReadWriteMany || mode == core.ReadOnlyMany {
			return nil, controller.ProvisioningFinished, fmt.Errorf("a folder of one node cannot be %s", mode)
		}
	}
	if raw {
		link, err := f.devices.make(o.PVName, o.PVC.Spec.Resources.Requests.Storage().Value())
		if err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		source := core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: link}}
		return f.describe(o, source, core.PersistentVolumeBlock), controller.ProvisioningFinished, nil
	}
	path := filepath.Join(f.root, kind, fmt.Sprintf("%s_%s_%s", o.PVName, o.PVC.Namespace, o.PVC.Name))
	source, err := volumeSource(kind, path)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := makeFolder(path); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return f.describe(o, source, core.PersistentVolumeFilesystem), controller.ProvisioningFinished, nil
}

func volumeSource(kind, path string) (core.PersistentVolumeSource, error) {
	switch kind {
	case "local":
		return core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}}, nil
	case "hostPath":
		directory := core.HostPathDirectoryOrCreate
		return core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path, Type: &directory}}, nil
	}
	return core.PersistentVolumeSource{}, fmt.Errorf("StorageClass parameter %s is %q, want local or hostPath",
		kindParameter, kind)
}

// makeFolder lets everybody write, as local-path does: a pod that may not be root has no other way in, for the kubelet
// applies no fsGroup to these types of volume.
func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(path, 0o777) // whatever the umask
}

func (f *folders) describe(o controller.ProvisionOptions, source core.PersistentVolumeSource,
	mode core.PersistentVolumeMode,
) *core.PersistentVolume {
	here := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn,
		Values: []string{f.node},
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName, Annotations: map[string]string{onNode: f.node}},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: o.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        source,
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{
				{MatchExpressions: []core.NodeSelectorRequirement{here}},
			}}},
		},
	}
}

// Delete removes the folder or device of a released volume.
func (f *folders) Delete(_ context.Context, pv *core.PersistentVolume) error {
	path := ""
	switch {
	case pv.Spec.Local != nil:
		path = pv.Spec.Local.Path
	case pv.Spec.HostPath != nil:
		path = pv.Spec.HostPath.Path
	}
	if mode := pv.Spec.VolumeMode; mode != nil && *mode == core.PersistentVolumeBlock {
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
