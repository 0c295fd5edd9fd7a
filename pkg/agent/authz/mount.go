// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Mount is where a pod has the claim: everything that the path below the
// kubelet's folder is made of. All of it has the syntax that it must have.
type Mount struct {
	PodName string
	PodUID  types.UID
	// Container and MountIndex name the volumeMount (or the volumeDevice of a
	// block volume) by its position in the container.
	Container  string
	MountIndex int
	Block      bool
	// MountPod is set when the pod is labelled as a mount pod.
	MountPod bool
}

// wholeVolume is the subPath that makes the kubelet mount the volume's root once
// more below volume-subpaths, for every kind of volume alike.
const wholeVolume = "."

// Annotations by which the kubelet marks pods that it did not get from the API
// server (https://kubernetes.io/docs/reference/labels-annotations-taints/).
const (
	mirrorAnnotation = "kubernetes.io/config.mirror"
	sourceAnnotation = "kubernetes.io/config.source"
)

// MountPodImages proves that every container of the PVC's mount pods runs an image that
// the policies name, if any does. Pods without the mount pod label are the
// application's; where a volume must be exclusive, CheckExclusive rejects them. The
// error has the reason MountPodInvalid.
func MountPodImages(pvc *corev1.PersistentVolumeClaim, pods []corev1.Pod, allowed []string) error {
	if len(allowed) == 0 {
		return nil
	}
	for i := range pods {
		p := &pods[i]
		if p.Namespace != pvc.Namespace || !References(p, pvc.Name) || !isLabelled(p) || finished(p) {
			continue
		}
		for _, image := range imagesOf(p) {
			if !slices.Contains(allowed, image) {
				return fault.New(v1alpha1.ReasonMountPodInvalid,
					"mount pod %s of PVC %s runs image %s, but the mountPodTemplate of the MotionPolicies allows %s: delete the pod and run the migration again",
					p.Name, pvc.Name, image, strings.Join(allowed, ", "))
			}
		}
	}
	return nil
}

// imagesOf are the images of all containers of a pod.
func imagesOf(p *corev1.Pod) []string {
	var out []string
	for i := range p.Spec.InitContainers {
		out = append(out, p.Spec.InitContainers[i].Image)
	}
	for i := range p.Spec.Containers {
		out = append(out, p.Spec.Containers[i].Image)
	}
	for i := range p.Spec.EphemeralContainers {
		out = append(out, p.Spec.EphemeralContainers[i].Image)
	}
	return out
}

// FindMount finds the pod on node through which the claim can be reached (check
// b): mount pods first, then the oldest. pods are pods of the claim's namespace.
// The error has the reason WaitingForMountPod when no pod references the claim,
// MountPodInvalid when those that do are unfit.
func FindMount(pvc *corev1.PersistentVolumeClaim, pods []corev1.Pod, node string) (*Mount, error) {
	var fit []*corev1.Pod
	why := fault.New(v1alpha1.ReasonWaitingForMountPod, "no pod on node %s uses PVC %s", node, pvc.Name)
	for i := range pods {
		p := &pods[i]
		if p.Namespace != pvc.Namespace || p.Spec.NodeName != node || !References(p, pvc.Name) {
			continue
		}
		if _, err := mountIn(p, pvc); err != nil {
			why = err
			continue
		}
		fit = append(fit, p)
	}
	if len(fit) == 0 {
		return nil, why
	}
	slices.SortFunc(fit, prefer)
	return mountIn(fit[0], pvc)
}

func prefer(a, b *corev1.Pod) int {
	if ha, hb := isLabelled(a), isLabelled(b); ha != hb {
		if ha {
			return -1
		}
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func isLabelled(p *corev1.Pod) bool { return p.Labels[v1alpha1.LabelMountPod] == "true" }

func mountIn(p *corev1.Pod, pvc *corev1.PersistentVolumeClaim) (*Mount, error) {
	if err := fitPod(p); err != nil {
		return nil, err
	}
	volume := volumeOf(p, pvc.Name)
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		n := placeIn(c, volume, IsBlock(pvc))
		if n < 0 || len(validation.IsDNS1123Label(c.Name)) > 0 {
			continue
		}
		return &Mount{
			PodName: p.Name, PodUID: p.UID, Container: c.Name, MountIndex: n,
			Block: IsBlock(pvc), MountPod: isLabelled(p),
		}, nil
	}
	return nil, invalid("pod %s does not mount the whole of PVC %s: a mount pod must mount it with subPath %q", p.Name, pvc.Name, wholeVolume)
}

func fitPod(p *corev1.Pod) error {
	if _, err := uuid.Parse(string(p.UID)); err != nil || len(p.UID) != 36 {
		return invalid("pod %s has an invalid UID; volumes of static pods are not supported", p.Name)
	}
	if _, ok := p.Annotations[mirrorAnnotation]; ok {
		return invalid("pod %s is a mirror pod; volumes of static pods are not supported", p.Name)
	}
	if source, ok := p.Annotations[sourceAnnotation]; ok && source != "api" {
		return invalid("pod %s is a static pod; volumes of static pods are not supported", p.Name)
	}
	if p.DeletionTimestamp != nil {
		return fault.New(v1alpha1.ReasonWaitingForMountPod, "pod %s is being deleted", p.Name)
	}
	if p.Status.Phase != corev1.PodRunning {
		return fault.New(v1alpha1.ReasonWaitingForMountPod, "pod %s is not running yet", p.Name)
	}
	return nil
}

// volumeOf returns the name by which the pod calls the claim.
func volumeOf(p *corev1.Pod, claim string) string {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim {
			return v.Name
		}
		if v.Ephemeral != nil && p.Name+"-"+v.Name == claim {
			return v.Name
		}
	}
	return ""
}

// placeIn returns the index of the mount or device in the container, or -1.
func placeIn(c *corev1.Container, volume string, block bool) int {
	if block {
		return slices.IndexFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == volume })
	}
	return slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == volume && m.SubPath == wholeVolume && m.SubPathExpr == ""
	})
}

// References says whether the pod uses the claim, by name or as a generic
// ephemeral volume (whose claim is called <pod>-<volume>).
func References(p *corev1.Pod, claim string) bool { return volumeOf(p, claim) != "" }

func invalid(format string, args ...any) error {
	return fault.New(v1alpha1.ReasonMountPodInvalid, format, args...)
}
