// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// mountCheck is how often the mount pods are checked while volumes are shipped.
const mountCheck = time.Second

// mounted is a mount pod that exists until the volumes are released. One that is
// evicted, preempted, deleted or lost with its node is replaced.
type mounted struct {
	side    Side
	group   mountpod.Group
	options mountpod.Options
	// copies: its volumes are copies of one sync.
	copies bool
	// name of the current pod; replacements have numbers.
	name         string
	replacements int
	// problem is why it does not run, "" when it runs.
	problem string
}

func (m *mounted) pod() *corev1.Pod {
	pod := mountpod.Pod(m.group, m.options)
	if m.replacements > 0 {
		pod.Name = fmt.Sprintf("%s-%d", pod.Name, m.replacements)
	}
	if m.copies {
		pod.Labels[labelCopies] = "true"
	}
	return pod
}

// mount creates the mount pod of a group, once.
func (f *Volumes) mount(ctx context.Context, m *mounted) error {
	if f.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.Timeout)
		defer cancel()
	}
	base := mountpod.Name(f.Name, m.group)
	for _, old := range f.mounts {
		if old.side.Cluster == m.side.Cluster && mountpod.Name(f.Name, old.group) == base {
			m = old
		}
	}
	if !slices.Contains(f.mounts, m) {
		f.mounts = append(f.mounts, m)
	}
	pod := m.pod()
	m.name = pod.Name
	return mountpod.Ensure(ctx, m.side.Cluster, pod)
}

// keepMountPods replaces mount pods that are gone, at most once a second. Errors are
// problems of the mount pods: what waits for them ends with the timeout and names them.
func (f *Volumes) keepMountPods(ctx context.Context) {
	if time.Since(f.mountsChecked) < mountCheck {
		return
	}
	f.mountsChecked = time.Now()
	for _, side := range []Side{f.Source, f.Target} {
		mounts := slices.DeleteFunc(slices.Clone(f.mounts), func(m *mounted) bool { return m.side.Cluster != side.Cluster })
		if len(mounts) == 0 {
			continue
		}
		pods, err := side.Cluster.Kube.CoreV1().Pods(side.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue // checked again in a second
		}
		for _, m := range mounts {
			f.keep(ctx, m, pods.Items)
		}
	}
}

// keep replaces one mount pod if it is gone. The old pod may stay for long, on a node
// that does not respond, so the new one has another name and does not wait for it.
func (f *Volumes) keep(ctx context.Context, m *mounted, pods []corev1.Pod) {
	find := func(name string) *corev1.Pod {
		if i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == name }); i >= 0 {
			return &pods[i]
		}
		return nil
	}
	old := find(m.name)
	if old != nil && mountpod.Usable(old) {
		m.problem = mountpod.Problem(old)
		if m.problem != "" {
			m.problem = fmt.Sprintf("mount pod %s in %s: %s", m.name, m.side, m.problem)
		}
		return
	}
	why := "it was deleted"
	if old != nil {
		why = cmp.Or(old.Status.Message, old.Status.Reason, "it is being deleted")
	}
	for m.replacements++; find(m.pod().Name) != nil; {
		m.replacements++
	}
	if m.group.Placement.NodeName != "" {
		m.group.Placement.NodeName = nodeOf(m.group.Claims, pods)
	}
	gone, pod := m.name, m.pod()
	if err := mountpod.Ensure(ctx, m.side.Cluster, pod); err != nil {
		m.replacements--
		m.problem = fmt.Sprintf("mount pod %s in %s is gone (%s) and was not recreated: %v", gone, m.side, why, err)
		return
	}
	m.name, m.problem = pod.Name, fmt.Sprintf("mount pod %s in %s is starting", pod.Name, m.side)
	progress.Warnf(f.Sink, "mount pod %s in %s is gone (%s); created %s", gone, m.side, why, pod.Name)
	if old != nil && old.DeletionTimestamp == nil {
		_ = mountpod.RequestDeletion(ctx, m.side.Cluster, m.side.Name, gone) // deleted with the others at the end otherwise
	}
	for _, v := range f.Volumes {
		if v.link != nil {
			v.link.placed = nil // the new pod may run on another node
		}
	}
}

// nodeOf returns the node of the application's pods that mount one of the PVCs now, ""
// if there are none: the storage alone decides about the node then.
func nodeOf(claims []string, pods []corev1.Pod) string {
	for i := range pods {
		p := &pods[i]
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if p.Labels[v1alpha1.LabelMountPod] != "" || ended || p.Spec.NodeName == "" {
			continue
		}
		if slices.ContainsFunc(claims, func(c string) bool { return mounts(p, c) }) {
			return p.Spec.NodeName
		}
	}
	return ""
}

// mountProblem returns why a mount pod of the volume does not run, "" when all run.
func (f *Volumes) mountProblem(v *Volume) string {
	for _, m := range f.mounts {
		claim := v.Claim
		switch {
		case m.copies && v.pass.snapshot != nil:
			claim = v.pass.snapshot.ClaimName
		case m.side.Cluster == f.Target.Cluster:
			claim = v.TargetClaim
		}
		if m.problem != "" && slices.Contains(m.group.Claims, claim) {
			return m.problem
		}
	}
	return ""
}
