// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// storage checks the modes of a volume against the target's storage.
func (b *builder) storage(v Volume) {
	b.accessModes(v)
	b.readOnly(v)
	b.rawBlock(v)
}

// readOnly blocks for volumes that cannot be written to.
func (b *builder) readOnly(v Volume) {
	if len(v.AccessModes) == 0 || slices.ContainsFunc(v.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany }) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeReadOnlyClaim, Object: &ref,
		Message: "its only access mode is ReadOnlyMany: the target's volume would be empty and not writable",
		Hint:    "add a writable access mode with --patch, or use --exclude pvc/" + v.Claim + " and create a PVC for existing data on the target",
	})
}

// filesystemDrivers lists provisioners whose volumes are directories or shares and
// never devices, from the drivers' own documentation: no API has it.
func filesystemDrivers() []string {
	return []string{
		"rancher.io/local-path", "k8s.io/minikube-hostpath", "nfs.csi.k8s.io", "smb.csi.k8s.io", "efs.csi.aws.com", "fsx.csi.aws.com",
		"file.csi.azure.com", "filestore.csi.storage.gke.io", "cephfs.csi.ceph.com", "rook-ceph.cephfs.csi.ceph.com", "manila.csi.openstack.org",
		"cluster.local/nfs-subdir-external-provisioner",
	}
}

func (b *builder) rawBlock(v Volume) {
	if v.VolumeMode != corev1.PersistentVolumeBlock {
		return
	}
	b.devicesDisabled(v, "source", b.facts.SourceAgents)
	b.devicesDisabled(v, "target", b.facts.Agents)
	class, found := b.facts.class(v.TargetClass)
	if !found || !slices.Contains(filesystemDrivers(), class.Provisioner) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeBlockVolumesUnsupported, Object: &ref,
		Message: fmt.Sprintf("it is a raw block volume, and the class %s (%s) supports volumes with a filesystem only", class.Name, class.Provisioner),
		Hint:    "choose a class for block volumes with --storage-class " + v.StorageClass + "=CLASS",
	})
}

// devicesDisabled blocks when raw block volumes are disabled for the agents of one
// cluster.
func (b *builder) devicesDisabled(v Volume, where string, agents Known[Agents]) {
	if !agents.Known || slices.ContainsFunc(agents.List, func(a Agents) bool { return a.Devices }) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeBlockDevicesDisabled, Object: &ref,
		Message: fmt.Sprintf("it is a raw block volume, and block devices are disabled for the agents of the %s", where),
		Hint:    "ask an administrator of both clusters to run kubectl motion pair with --block-devices, or use --exclude pvc/" + v.Claim,
	})
}

// cannotGrow blocks, and returns true, when the source's volume was expanded after the
// target's PVC was created, and the target's class does not allow expansion.
func (b *builder) cannotGrow(item *Item, s TargetState) bool {
	if s.Live == nil || item.Stage != StageVolume || s.Live.Request.IsZero() {
		return false
	}
	asked, err := item.requested()
	if err != nil || asked.Cmp(s.Live.Request) <= 0 {
		return false
	}
	name := "its class"
	if s.Live.Class != nil {
		name = "the class " + *s.Live.Class
		if c, found := b.facts.class(*s.Live.Class); found && c.Expansion {
			return false // the problem is another one
		}
	}
	ref := *item.Target
	b.block(Finding{
		Code: CodeTargetTooSmall, Object: &ref, Problem: s.Problem,
		Message: fmt.Sprintf("the source's volume has %s, the target's PVC requests %s, and %s does not allow expansion", asked.String(), s.Live.Request.String(), name),
		Hint:    "delete the target's PVC, which is created again with that size and copied in full, or set allowVolumeExpansion on the class",
	})
	return true
}

// requested is the size that a PVC's manifest requests.
func (i Item) requested() (resource.Quantity, error) {
	u, err := i.Object()
	if err != nil {
		return resource.Quantity{}, err
	}
	c, err := toClaim(u)
	if err != nil {
		return resource.Quantity{}, err
	}
	return c.Spec.Resources.Requests[corev1.ResourceStorage], nil
}
