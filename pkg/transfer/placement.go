// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// placement is what an end's agent published about where the volume is mounted.
type placement struct{ claim, node, podUID string }

// place keeps an end's shipment at the node of its mount pod.
//
// It writes the node into spec.nodeName, by which admission rejects the agents of all
// other nodes, and compares what an agent published with the pods of the namespace,
// which agents cannot create. An agent that was taken over could otherwise assign
// itself a volume that was never mounted on its node, and get its peer's data. It
// returns why the end must not be linked yet, "" when it may.
func (l *Link) place(ctx context.Context, e End, s *v1alpha1.VolumeShipment) (string, error) {
	claim, _ := s.Spec.Mounted()
	published := placement{claim: claim}
	if Assigned(s) {
		published.node, published.podUID = s.Status.NodeName, s.Status.Endpoint.PodUID
		if l.placed[s.Spec.Role] == published && (s.Spec.NodeName == "" || s.Spec.NodeName == published.node) {
			return "", nil
		}
	}
	pods, err := e.Cluster.Kube.CoreV1().Pods(e.Name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("pods in %s: %w", e.Namespace, err)
	}
	node, proved := "", false
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.NodeName == "" || !mounts(p, claim) {
			continue
		}
		proved = proved || string(p.UID) == published.podUID && p.Spec.NodeName == published.node
		if isLiveMountPod(p) && (node == "" || node != s.Spec.NodeName) { // another migration's may be elsewhere
			node = p.Spec.NodeName
		}
	}
	if node != "" && node != s.Spec.NodeName {
		err := l.change(ctx, e, s.Name, func(s *v1alpha1.VolumeShipment) bool {
			changed := s.Spec.NodeName != node
			s.Spec.NodeName = node
			return changed
		})
		if err != nil {
			return "", err
		}
	}
	switch {
	case !Assigned(s):
		return "", nil
	case !proved:
		return fmt.Sprintf("shipment %s in %s is assigned to node %s, where no pod mounts PVC %s", s.Name, e.Namespace, published.node, claim), nil
	}
	if l.placed == nil {
		l.placed = map[v1alpha1.Role]placement{}
	}
	l.placed[s.Spec.Role] = published
	return "", nil
}

func isLiveMountPod(p *corev1.Pod) bool {
	return p.Labels[v1alpha1.LabelMountPod] == "true" && p.DeletionTimestamp == nil &&
		p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// mounts reports whether the pod uses the PVC.
func mounts(p *corev1.Pod, claim string) bool {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim ||
			v.Ephemeral != nil && p.Name+"-"+v.Name == claim {
			return true
		}
	}
	return false
}
