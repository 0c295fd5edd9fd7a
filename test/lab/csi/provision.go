// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"context"
	"errors"
	"fmt"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisioner makes and removes the PersistentVolumes of one node, as external-provisioner would.
type provisioner struct {
	driver  *driver
	client  kubernetes.Interface
	objects dynamic.Interface
}

const (
	onNode       = "csi.lab.kubectl-motion.dev/node"
	selectedNode = "volume.kubernetes.io/selected-node"
)

// ShouldProvision tells this node's claims from those of other nodes.
func (p *provisioner) ShouldProvision(_ context.Context, claim *corev1.PersistentVolumeClaim) bool {
	return claim.Annotations[selectedNode] == p.driver.node
}

// ShouldDelete tells this node's volumes from those of other nodes.
func (p *provisioner) ShouldDelete(_ context.Context, pv *corev1.PersistentVolume) bool {
	return pv.Annotations[onNode] == p.driver.node
}

// SupportsBlock says that claims may be for raw block volumes.
func (p *provisioner) SupportsBlock(context.Context) bool { return true }

// Provision makes a volume for a claim.
func (p *provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (
	*corev1.PersistentVolume, controller.ProvisioningState, error,
) {
	source, err := p.source(ctx, o.PVC)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	size := o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]
	made, err := p.driver.CreateVolume(ctx, &spec.CreateVolumeRequest{
		Name: o.PVName, Parameters: o.StorageClass.Parameters, VolumeContentSource: source,
		CapacityRange: &spec.CapacityRange{RequiredBytes: size.Value()}, VolumeCapabilities: capabilities(o.PVC),
	})
	if status.Code(err) == codes.ResourceExhausted {
		return nil, controller.ProvisioningReschedule, err
	}
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return p.describe(o, made.GetVolume()), controller.ProvisioningFinished, nil
}

func capabilities(claim *corev1.PersistentVolumeClaim) []*spec.VolumeCapability {
	modes := map[corev1.PersistentVolumeAccessMode]spec.VolumeCapability_AccessMode_Mode{
		corev1.ReadWriteOnce:    spec.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
		corev1.ReadWriteOncePod: spec.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		corev1.ReadWriteMany:    spec.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER,
		corev1.ReadOnlyMany:     spec.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
	}
	var out []*spec.VolumeCapability
	for _, m := range claim.Spec.AccessModes {
		c := &spec.VolumeCapability{AccessMode: &spec.VolumeCapability_AccessMode{Mode: modes[m]}}
		if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
			c.AccessType = &spec.VolumeCapability_Block{Block: &spec.VolumeCapability_BlockVolume{}}
		} else {
			c.AccessType = &spec.VolumeCapability_Mount{Mount: &spec.VolumeCapability_MountVolume{FsType: "ext4"}}
		}
		out = append(out, c)
	}
	return out
}

// source finds the snapshot or the volume that a claim is to be filled from.
func (p *provisioner) source(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*spec.VolumeContentSource, error) {
	from := claim.Spec.DataSource
	switch {
	case from == nil:
		return nil, nil
	case from.Kind == "VolumeSnapshot" && from.APIGroup != nil && *from.APIGroup == snapshotGroup:
		handle, err := p.snapshotHandle(ctx, claim.Namespace, from.Name)
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", from.Name, err)
		}
		return &spec.VolumeContentSource{Type: &spec.VolumeContentSource_Snapshot{
			Snapshot: &spec.VolumeContentSource_SnapshotSource{SnapshotId: handle},
		}}, nil
	case from.Kind == "PersistentVolumeClaim":
		origin, err := p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, from.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, origin.Spec.VolumeName, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != Driver {
			return nil, errors.New("the PVC to clone belongs to another driver")
		}
		return &spec.VolumeContentSource{Type: &spec.VolumeContentSource_Volume{
			Volume: &spec.VolumeContentSource_VolumeSource{VolumeId: pv.Spec.CSI.VolumeHandle},
		}}, nil
	}
	return nil, fmt.Errorf("volumes are not made from a %s", from.Kind)
}

const snapshotGroup = "snapshot.storage.k8s.io"

// snapshotHandle goes from a VolumeSnapshot through its content, which must point back, to the driver's name for it.
func (p *provisioner) snapshotHandle(ctx context.Context, namespace, name string) (string, error) {
	resources := schema.GroupVersion{Group: snapshotGroup, Version: "v1"}
	snap, err := p.objects.Resource(resources.WithResource("volumesnapshots")).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	bound, _, _ := unstructured.NestedString(snap.Object, "status", "boundVolumeSnapshotContentName")
	ready, _, _ := unstructured.NestedBool(snap.Object, "status", "readyToUse")
	if bound == "" || !ready {
		return "", errors.New("not ready to use")
	}
	content, err := p.objects.Resource(resources.WithResource("volumesnapshotcontents")).Get(ctx, bound, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	uid, _, _ := unstructured.NestedString(content.Object, "spec", "volumeSnapshotRef", "uid")
	driver, _, _ := unstructured.NestedString(content.Object, "spec", "driver")
	handle, _, _ := unstructured.NestedString(content.Object, "status", "snapshotHandle")
	if uid != string(snap.GetUID()) || driver != Driver || handle == "" {
		return "", errors.New("its content is not this snapshot's")
	}
	return handle, nil
}

func (p *provisioner) describe(o controller.ProvisionOptions, v *spec.Volume) *corev1.PersistentVolume {
	here := corev1.NodeSelectorRequirement{Key: Topology, Operator: corev1.NodeSelectorOpIn, Values: []string{p.driver.node}}
	mode := corev1.PersistentVolumeFilesystem
	if o.PVC.Spec.VolumeMode != nil {
		mode = *o.PVC.Spec.VolumeMode
	}
	csi := &corev1.CSIPersistentVolumeSource{Driver: Driver, VolumeHandle: v.GetVolumeId()}
	if mode == corev1.PersistentVolumeFilesystem {
		csi.FSType = "ext4"
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName, Annotations: map[string]string{onNode: p.driver.node}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: *resource.NewQuantity(v.GetCapacityBytes(), resource.BinarySI)},
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &mode,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: csi},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{here}},
			}}},
		},
	}
}

// Delete removes a released volume.
func (p *provisioner) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != Driver {
		return fmt.Errorf("volume %s is not of this driver", pv.Name)
	}
	_, err := p.driver.DeleteVolume(ctx, &spec.DeleteVolumeRequest{VolumeId: pv.Spec.CSI.VolumeHandle})
	return err
}
