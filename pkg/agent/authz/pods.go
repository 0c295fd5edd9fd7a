// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const (
	// PodPage is how many pods one request returns. A pod may have 1.5 MiB, and its
	// user writes them: an agent holds no more than a few pages at a time.
	PodPage = 25
	// podRequests bounds the pages that are read at the same time.
	podRequests = 4
)

// listPods lists the pods of a namespace, trimmed, page by page. The pages are of one
// state of the namespace, that of the first request.
func (v *Authorizer) listPods(ctx context.Context, namespace string) ([]corev1.Pod, error) {
	v.podsOnce.Do(func() { v.podSlots = make(chan struct{}, podRequests) })
	var out []corev1.Pod
	for opts := (metav1.ListOptions{Limit: PodPage}); ; {
		next, err := v.listPage(ctx, namespace, opts, &out)
		if err != nil || next == "" {
			return out, err
		}
		opts.Continue = next
	}
}

func (v *Authorizer) listPage(ctx context.Context, namespace string, opts metav1.ListOptions, out *[]corev1.Pod) (next string, err error) {
	select {
	case v.podSlots <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-v.podSlots }()
	page, err := v.Cluster.Kube.CoreV1().Pods(namespace).List(ctx, opts)
	if err != nil {
		return "", err
	}
	for i := range page.Items {
		if p := TrimPod(&page.Items[i]); len(p.Spec.Volumes) > 0 {
			*out = append(*out, *p)
		}
	}
	return page.Continue, nil
}

// TrimPod keeps of a pod what decisions are made of: its identity, phase and node, the
// PVCs it uses, and where its containers mount them.
func TrimPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{}
	out.Namespace, out.Name, out.UID, out.ResourceVersion = p.Namespace, p.Name, p.UID, p.ResourceVersion
	out.CreationTimestamp, out.DeletionTimestamp = p.CreationTimestamp, p.DeletionTimestamp
	out.Labels = pick(p.Labels, v1alpha1.LabelMountPod)
	out.Annotations = pick(p.Annotations, mirrorAnnotation, sourceAnnotation)
	out.Spec.NodeName, out.Status.Phase = p.Spec.NodeName, p.Status.Phase
	out.Spec.InitContainers = make([]corev1.Container, len(p.Spec.InitContainers))
	out.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, len(p.Spec.EphemeralContainers))
	for i := range p.Spec.InitContainers {
		out.Spec.InitContainers[i].Image = p.Spec.InitContainers[i].Image
	}
	for i := range p.Spec.EphemeralContainers {
		out.Spec.EphemeralContainers[i].Image = p.Spec.EphemeralContainers[i].Image
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		source := corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}
		if v.Ephemeral != nil {
			source.Ephemeral = &corev1.EphemeralVolumeSource{}
		}
		if source.PersistentVolumeClaim != nil || source.Ephemeral != nil {
			out.Spec.Volumes = append(out.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: source})
		}
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		out.Spec.Containers = append(out.Spec.Containers, corev1.Container{
			Name: c.Name, Image: c.Image, VolumeMounts: c.VolumeMounts, VolumeDevices: c.VolumeDevices,
		})
	}
	return out
}

func pick(all map[string]string, keys ...string) map[string]string {
	out := map[string]string{}
	for _, k := range keys {
		if v, ok := all[k]; ok {
			out[k] = v
		}
	}
	return out
}
