// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// fatPod has all that its user can make large, and one PVC.
func fatPod(i int) corev1.Pod {
	fat := strings.Repeat("x", 100<<10)
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "blue", Name: fmt.Sprintf("p-%d", i), Annotations: map[string]string{"a": fat, mirrorAnnotation: "m"},
		Labels: map[string]string{"l": fat, v1alpha1.LabelMountPod: "true"},
	}}
	p.Spec.NodeName, p.Status.Phase, p.Status.Message = "node-1", corev1.PodRunning, fat
	p.Spec.InitContainers = []corev1.Container{{Image: "i", Args: []string{fat}}}
	p.Spec.Containers = []corev1.Container{{
		Name: "c", Image: "i", Args: []string{fat}, Env: []corev1.EnvVar{{Name: "E", Value: fat}},
		VolumeMounts: []corev1.VolumeMount{{Name: "v", SubPath: "."}},
	}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
		{Name: "e", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
			VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": fat}}},
		}}},
		{Name: "d", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}},
	}
	return p
}

func TestPodsAreListedTrimmedInPages(t *testing.T) {
	const n = 3*PodPage + 1
	kube := fake.NewClientset()
	requests := 0
	kube.PrependReactor("list", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		opts := a.(clienttesting.ListActionImpl).ListOptions
		from, _ := strconv.Atoi(opts.Continue)
		list := &corev1.PodList{}
		for i := from; i < min(from+int(opts.Limit), n); i++ {
			list.Items = append(list.Items, fatPod(i))
		}
		if next := from + int(opts.Limit); next < n {
			list.Continue = strconv.Itoa(next)
		}
		requests++
		return true, list, nil
	})
	v := &Authorizer{Cluster: &cluster.Cluster{Kube: kube}}
	pods, err := v.listPods(t.Context(), "blue")
	if err != nil {
		t.Fatal(err)
	}
	if len(pods) != n || requests != 4 {
		t.Errorf("%d pods in %d requests", len(pods), requests)
	}
	data, err := json.Marshal(pods)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > n<<10 {
		t.Errorf("%d pods are held as %d bytes", len(pods), len(data))
	}
	fat := fatPod(0)
	if p := &pods[0]; !References(p, "data") || !isLabelled(p) || IsMountPod(p, v1alpha1.RoleReceive) != IsMountPod(&fat, v1alpha1.RoleReceive) {
		t.Errorf("a decision about the trimmed pod differs: %+v", p)
	}
	if err := fitPod(&pods[0]); err == nil {
		t.Error("a trimmed mirror pod is accepted")
	}
}
