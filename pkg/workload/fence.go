// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// ErrStillUsed is returned by Fence when pods still have the claims.
var ErrStillUsed = errors.New("the application still uses its volumes")

const fencePoll = 200 * time.Millisecond

// Users are the pods that have one of the claims: any pod that references it,
// Terminating ones included, but mount pods and pods that ended. A pod on a node
// that does not answer counts, because it may still write.
func Users(ctx context.Context, c *cluster.Cluster, namespace string, claims []string) ([]corev1.Pod, error) {
	list, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("pods in %s on %s: %w", namespace, c, err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		done := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		return done || p.Labels[v1alpha1.LabelMountPod] != "" || !uses(&p, claims)
	}), nil
}

func uses(p *corev1.Pod, claims []string) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && slices.Contains(claims, v.PersistentVolumeClaim.ClaimName)
	})
}

// Fence waits until only mount pods use the PVCs. The agents verify the same before and
// after the last read. After the timeout, the error wraps ErrStillUsed and names the
// pods.
func Fence(ctx context.Context, c *cluster.Cluster, namespace string, claims []string, timeout time.Duration) error {
	var left []corev1.Pod
	err := wait.PollUntilContextTimeout(ctx, fencePoll, timeout, true, func(ctx context.Context) (bool, error) {
		users, err := Users(ctx, c, namespace, claims)
		left = users
		return err == nil && len(users) == 0, err
	})
	if !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	names := make([]string, 0, len(left))
	for i := range left {
		names = append(names, fmt.Sprintf("%s (node %s)", left[i].Name, left[i].Spec.NodeName))
	}
	return fmt.Errorf("%w after %s: pods %s in %s on %s; a pod on a node that is not ready may still write and does not count as stopped",
		ErrStillUsed, timeout, strings.Join(names, ", "), namespace, c)
}
