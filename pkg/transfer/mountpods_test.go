// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// withMountPod returns the volumes of a migration whose mount pod runs on node-1, and
// the client of the source.
func withMountPod(t *testing.T) (*Volumes, *fake.Clientset, *mounted) {
	t.Helper()
	client := fake.NewClientset()
	side := Side{Namespace: cluster.Namespace{Cluster: &cluster.Cluster{Name: "east", Kube: client}, Name: "shop"}}
	other := Side{Namespace: cluster.Namespace{Cluster: &cluster.Cluster{Name: "west", Kube: fake.NewClientset()}, Name: "shop"}}
	f := &Volumes{Name: "m", Source: side, Target: other, Sink: progress.Discard{}, Volumes: []*Volume{{Claim: "data", link: &Link{
		placed: map[v1alpha1.Role]placement{v1alpha1.RoleSend: {node: "node-1"}},
	}}}}
	group := mountpod.Group{Name: "db-0", Claims: []string{"data"}, Placement: mountpod.Placement{NodeName: "node-1"}}
	m := &mounted{side: side, group: group, options: mountpod.Options{Namespace: "shop", Migration: "m"}}
	if err := f.mount(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return f, client, m
}

// TestMountPodsAreReplaced: a mount pod that is gone is created again while volumes are
// shipped, and does not wait for the old one.
func TestMountPodsAreReplaced(t *testing.T) {
	for name, lose := range map[string]func(*corev1.Pod) *corev1.Pod{
		"deleted by a user": func(*corev1.Pod) *corev1.Pod { return nil },
		"evicted": func(p *corev1.Pod) *corev1.Pod {
			p.Status.Phase, p.Status.Message = corev1.PodFailed, "the node was low on memory"
			return p
		},
		"lost with its node": func(p *corev1.Pod) *corev1.Pod {
			p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.com/kubelet-is-gone"}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, client, m := withMountPod(t)
			first := m.name
			old, err := client.CoreV1().Pods("shop").Get(t.Context(), first, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if p := lose(old.DeepCopy()); p == nil {
				err = client.CoreV1().Pods("shop").Delete(t.Context(), first, metav1.DeleteOptions{})
			} else {
				err = client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "shop")
			}
			if err != nil {
				t.Fatal(err)
			}
			f.keepMountPods(t.Context())
			pod, err := client.CoreV1().Pods("shop").Get(t.Context(), first+"-1", metav1.GetOptions{})
			if err != nil {
				t.Fatalf("not replaced: %v", err)
			}
			if pod.Labels[v1alpha1.LabelMountPod] != "true" || pod.Labels[v1alpha1.LabelMigration] != "m" {
				t.Errorf("labels %v", pod.Labels)
			}
			if pod.Spec.Affinity != nil {
				t.Error("bound to the old node although the application does not run there")
			}
			if f.Volumes[0].link.placed != nil {
				t.Error("the node of the old pod is still taken for the volume's")
			}
			if got := f.mountProblem(f.Volumes[0]); !strings.Contains(got, first+"-1") {
				t.Errorf("problem %q", got)
			}
		})
	}
}

// TestMountPodProblems: the volume names what keeps its mount pod from running.
func TestMountPodProblems(t *testing.T) {
	f, client, m := withMountPod(t)
	if err := client.CoreV1().Pods("shop").Delete(t.Context(), m.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", nil)
	denied.ErrStatus.Message = "exceeded quota: pods=10"
	client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
	f.keepMountPods(t.Context())
	if got := f.mountProblem(f.Volumes[0]); !strings.Contains(got, "exceeded quota: pods=10") {
		t.Errorf("problem %q", got)
	}
}

// TestProgress: an attempt that starts again is not progress, so that the timeout ends it.
func TestProgress(t *testing.T) {
	now := metav1.Now()
	if advanced(v1alpha1.ShipmentStatistics{ScannedBytes: 5}, v1alpha1.ShipmentStatistics{StartTime: &now}) {
		t.Error("a new start is progress")
	}
	if !advanced(v1alpha1.ShipmentStatistics{SentBytes: 5}, v1alpha1.ShipmentStatistics{SentBytes: 6}) {
		t.Error("sent bytes are no progress")
	}
}
