// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// storage says what the modes of a volume stand in the way of.
func (b *builder) storage(v Volume) {
	b.accessModes(v)
	b.readOnly(v)
	b.rawBlock(v)
}

// readOnly: what nobody may write cannot be filled.
func (b *builder) readOnly(v Volume) {
	if len(v.AccessModes) == 0 || slices.ContainsFunc(v.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return m != corev1.ReadOnlyMany }) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeReadOnlyClaim, Object: &ref,
		Message: "it is ReadOnlyMany and nothing else: the target's volume would be empty and nobody could write it",
		Hint:    "add a mode for writing to the target's claim with --patch, or leave it out with --exclude pvc/" + v.Claim + " and give the target a claim of the data that is there",
	})
}

// filesystemDrivers lists provisioners whose volumes are folders or shares and never
// devices; nothing in the API tells. Each fact is from the driver's own
// documentation.
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
	b.devicesOff(v, "source", b.facts.SourceAgents)
	b.devicesOff(v, "target", b.facts.Agents)
	class, found := b.facts.class(v.TargetClass)
	if !found || !slices.Contains(filesystemDrivers(), class.Provisioner) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeBlockVolumesUnsupported, Object: &ref,
		Message: fmt.Sprintf("it is a raw block volume, and the class %s (%s) makes volumes with a filesystem only", class.Name, class.Provisioner),
		Hint:    "name a class for block volumes with --storage-class " + v.StorageClass + "=CLASS",
	})
}

// devicesOff: the agents of one cluster are known not to open raw block volumes.
func (b *builder) devicesOff(v Volume, where string, agents Known[Agents]) {
	if !agents.Known || slices.ContainsFunc(agents.List, func(a Agents) bool { return a.Devices }) {
		return
	}
	ref := v.ref
	b.block(Finding{
		Code: CodeBlockDevicesDisabled, Object: &ref,
		Message: fmt.Sprintf("it is a raw block volume, and the agents of the %s may not open any", where),
		Hint:    "an administrator of both clusters runs kubectl motion pair with --block-devices, or leave it out with --exclude pvc/" + v.Claim,
	})
}

// grown says whether the target's refusal is about the size: the source's volume has
// grown since the target's claim was made, and that one's class cannot follow.
func (b *builder) cannotGrow(item *Item, s TargetState) bool {
	if s.Live == nil || item.Stage != StageVolume || s.Live.Request.IsZero() {
		return false
	}
	asked, err := item.asked()
	if err != nil || asked.Cmp(s.Live.Request) <= 0 {
		return false
	}
	name := "its class"
	if s.Live.Class != nil {
		name = "the class " + *s.Live.Class
		if c, found := b.facts.class(*s.Live.Class); found && c.Expansion {
			return false // then it is about something else
		}
	}
	ref := *item.Target
	b.block(Finding{
		Code: CodeTargetTooSmall, Object: &ref, Problem: s.Problem,
		Message: fmt.Sprintf("the source's volume has %s by now, the target's claim asks for %s, and %s lets no volume grow", asked.String(), s.Live.Request.String(), name),
		Hint:    "delete the target's claim to have it made anew with that size (everything is shipped once more), or have the class allow expansion",
	})
	return true
}

// asked is the size that a claim's manifest asks for.
func (i Item) asked() (resource.Quantity, error) {
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
