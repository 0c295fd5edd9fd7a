// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mountpod

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// poll is how often the API server is asked while a pod comes or goes.
const poll = 250 * time.Millisecond

// Ensure creates the pod. A mount pod that ended, or is being deleted, is replaced. It
// fails when admission set an fsGroup: the kubelet would change the group of every file.
func Ensure(ctx context.Context, c *cluster.Cluster, pod *corev1.Pod) error {
	pods := c.Kube.CoreV1().Pods(pod.Namespace)
	old, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("mount pod %s/%s on %s: %w", pod.Namespace, pod.Name, c, err)
	case old.Labels[v1alpha1.LabelMountPod] == "":
		return fmt.Errorf("pod %s/%s on %s has the name of a mount pod and is not managed by kubectl-motion: rename or delete it", pod.Namespace, pod.Name, c)
	case Usable(old):
		return nil
	default:
		if err := Delete(ctx, c, pod.Namespace, pod.Name); err != nil {
			return err
		}
	}
	made, err := pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if apierrors.IsForbidden(err) && equality.Semantic.DeepEqual(pod.Spec.Containers[0].Resources, unthrottled()) {
		pod = pod.DeepCopy()
		pod.Spec.Containers[0].Resources = Resources()
		made, err = pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	}
	if err != nil {
		return fmt.Errorf("mount pod %s/%s on %s: %w", pod.Namespace, pod.Name, c, err)
	}
	if sc := made.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		_ = Delete(ctx, c, pod.Namespace, pod.Name)
		return fmt.Errorf("admission on %s set fsGroup %[4]d on mount pod %[2]s/%[3]s, so the kubelet would change the group of every file on the volume; "+
			"exempt pods with the label %[5]s from that rule", c, pod.Namespace, pod.Name, *sc.FSGroup, v1alpha1.LabelMountPod)
	}
	return nil
}

// Usable is true for a mount pod that runs or will run.
func Usable(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded
}

// Problem returns why a mount pod does not run yet, as its status reports it, "" when it
// runs or its status reports nothing.
func Problem(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodRunning {
		return ""
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Message != "" {
			return w.Reason + ": " + w.Message
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Type == corev1.PodScheduled {
			return c.Reason + ": " + c.Message
		}
	}
	return p.Status.Message
}

// RequestDeletion deletes a mount pod and does not wait for its end.
func RequestDeletion(ctx context.Context, c *cluster.Cluster, namespace, name string) error {
	err := c.Kube.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("mount pod %s/%s on %s: %w", namespace, name, c, err)
	}
	return nil
}

// Delete removes a mount pod and waits until it is gone, so that the volume is
// free when Delete returns.
func Delete(ctx context.Context, c *cluster.Cluster, namespace, name string) error {
	pods := c.Kube.CoreV1().Pods(namespace)
	if err := RequestDeletion(ctx, c, namespace, name); err != nil {
		return err
	}
	node := ""
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		p, err := pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err == nil {
			node = p.Spec.NodeName
		}
		return false, nil
	})
	if err != nil && node != "" {
		return fmt.Errorf("mount pod %s/%s on %s was not deleted: check whether node %s is ready: %w", namespace, name, c, node, err)
	}
	return err
}

// DeleteFinished deletes every mount pod of a migration, returns their names and does not
// wait: the application may start meanwhile, since a mount pod writes nothing.
func DeleteFinished(ctx context.Context, c *cluster.Cluster, namespace, migration string) ([]string, error) {
	list, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: v1alpha1.LabelMountPod + "=true," + v1alpha1.LabelMigration + "=" + migration,
	})
	if err != nil {
		return nil, fmt.Errorf("mount pods of %s in %s on %s: %w", migration, namespace, c, err)
	}
	var names []string
	for i := range list.Items {
		name := list.Items[i].Name
		if err := RequestDeletion(ctx, c, namespace, name); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// DeleteAll removes every mount pod of a migration and waits until they are gone.
func DeleteAll(ctx context.Context, c *cluster.Cluster, namespace, migration string) error {
	names, err := DeleteFinished(ctx, c, namespace, migration)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := Delete(ctx, c, namespace, name); err != nil {
			return err
		}
	}
	return nil
}
