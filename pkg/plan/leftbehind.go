// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// leftBehind warns about things that objects use and that are not migrated: data
// outside of PVCs, owners outside of the namespace, classes and nodes that the
// target does not have.
func (b *builder) leftBehind(items []Item) {
	scratch := 0
	for i := range items {
		o := b.inv.FindUID(items[i].Source.UID)
		if items[i].Verdict != inventory.Move || o == nil || items[i].Target == nil {
			continue
		}
		b.ownerLost(o)
		if !o.RunsPods() && o.Ref.GroupKind() != kindIngress {
			continue
		}
		u, err := items[i].active()
		if err != nil {
			continue // reported where the object is applied
		}
		b.hostPaths(o, u)
		if hasEmptyDir(u) {
			scratch++
		}
		b.nodesFor(o, u)
		b.ingressClass(o, u)
	}
	if scratch > 0 {
		b.warn(Finding{
			Code:    CodeDataNotMoved,
			Message: fmt.Sprintf("%d objects have emptyDir volumes, whose data is not migrated", scratch),
		})
	}
	for _, v := range b.volumes {
		b.storage(v)
	}
}

func hasEmptyDir(u *unstructured.Unstructured) bool {
	volumes, _, _ := unstructured.NestedSlice(inventory.PodSpec(u), "volumes")
	return slices.ContainsFunc(volumes, func(v any) bool {
		m, _ := v.(map[string]any)
		_, found := m["emptyDir"]
		return found
	})
}

var kindIngress = schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}

func (b *builder) ownerLost(o *inventory.Object) {
	for _, owner := range o.Owners {
		if b.inv.FindUID(owner.UID) != nil {
			continue
		}
		ref := o.Ref
		b.warn(Finding{
			Code: CodeOwnerNotMoved, Object: &ref,
			Message: fmt.Sprintf("its owner %s %s is not in the namespace; on the target it has no owner", owner.Kind, owner.Name),
		})
	}
}

// hostPaths warns about directories of the node.
func (b *builder) hostPaths(o *inventory.Object, u *unstructured.Unstructured) {
	volumes, _, _ := unstructured.NestedSlice(inventory.PodSpec(u), "volumes")
	for _, v := range volumes {
		m, _ := v.(map[string]any)
		path, _, _ := unstructured.NestedString(m, "hostPath", "path")
		if path == "" {
			continue
		}
		ref := o.Ref
		b.warn(Finding{
			Code: CodeDataNotMoved, Object: &ref,
			Message: fmt.Sprintf("it uses the hostPath %s, whose data is not migrated", path),
		})
	}
}

// nodesFor warns when a node selector matches no node: the pods stay pending.
func (b *builder) nodesFor(o *inventory.Object, u *unstructured.Unstructured) {
	selector, _, _ := unstructured.NestedStringMap(inventory.PodSpec(u), "nodeSelector")
	if len(selector) == 0 || !b.facts.Nodes.Known {
		return
	}
	if slices.ContainsFunc(b.facts.Nodes.List, func(n Node) bool { return matches(n.Labels, selector) }) {
		return
	}
	ref := o.Ref
	b.warn(Finding{
		Code: CodeNodeUnavailable, Object: &ref,
		Message: fmt.Sprintf("no node of the target matches the node selector %s of its pods", joined(selector)),
		Hint:    "label a node, or change the selector with --patch",
	})
}

func matches(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func joined(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func (b *builder) ingressClass(o *inventory.Object, u *unstructured.Unstructured) {
	if o.Ref.GroupKind() != kindIngress || !b.facts.IngressClasses.Known {
		return
	}
	class, _, _ := unstructured.NestedString(u.Object, "spec", "ingressClassName")
	if class == "" || slices.Contains(b.facts.IngressClasses.List, class) {
		return
	}
	ref := o.Ref
	b.warn(Finding{
		Code: CodeClassMissing, Object: &ref,
		Message: fmt.Sprintf("the target has no ingress class %q: no controller will serve it", class),
		Hint:    "ask an administrator to install the class, or change it with --patch",
	})
}

// singleNodeDrivers lists drivers whose volumes cannot be used from several nodes as
// filesystems, from the drivers' own documentation: no API has it.
func singleNodeDrivers() []string {
	return []string{
		"rancher.io/local-path", "k8s.io/minikube-hostpath", "kubernetes.io/no-provisioner", "openebs.io/local", "local.csi.openebs.io",
		"topolvm.io", "zfs.csi.openebs.io", "ebs.csi.aws.com", "kubernetes.io/aws-ebs", "pd.csi.storage.gke.io", "kubernetes.io/gce-pd",
		"disk.csi.azure.com", "kubernetes.io/azure-disk", "cinder.csi.openstack.org", "csi.hetzner.cloud", "dobs.csi.digitalocean.com",
		"rbd.csi.ceph.com", "csi.vsphere.vmware.com", "linodebs.csi.linode.com", "block.csi.ibm.com",
	}
}

func (b *builder) accessModes(v Volume) {
	class, found := b.facts.class(v.TargetClass)
	many := slices.Contains(v.AccessModes, corev1.ReadWriteMany) || slices.Contains(v.AccessModes, corev1.ReadOnlyMany)
	if !found || !many || v.VolumeMode == corev1.PersistentVolumeBlock || !slices.Contains(singleNodeDrivers(), class.Provisioner) {
		return
	}
	ref := v.ref
	b.warn(Finding{
		Code: CodeAccessMode, Object: &ref,
		Message: fmt.Sprintf("it requests %v, and volumes of the class %s (%s) can be used from one node only", v.AccessModes, class.Name, class.Provisioner),
		Hint:    "choose a shared class with --storage-class " + v.StorageClass + "=CLASS",
	})
}

// patchesUnused blocks when a patch selects nothing: its target is probably wrong.
func (b *builder) patchesUnused() {
	for _, p := range b.request.Patches {
		if slices.ContainsFunc(b.items, func(i Item) bool {
			return slices.ContainsFunc(i.Changes, func(c transform.Change) bool { return c.Path == "*" && c.To == p.Where })
		}) {
			continue
		}
		b.block(Finding{
			Code: CodePatchUnused, Message: fmt.Sprintf("the patch %s selects no migrated object", p.Where),
			Hint: "correct its target, or remove the patch",
		})
	}
}
