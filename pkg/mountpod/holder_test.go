// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package mountpod

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

func TestFilesystemClaimsAreMountedWithSubPathAndBlockClaimsAreDevices(t *testing.T) {
	pod := Pod(Group{Name: "db-0", Claims: []string{"b", "a"}, Block: []string{"b"}}, Options{Namespace: "n", Migration: "m", ReadOnly: true})
	c := pod.Spec.Containers[0]
	want := []corev1.VolumeMount{{Name: "claim-0", MountPath: "/claims/claim-0", SubPath: ".", ReadOnly: true}}
	if d := cmp.Diff(want, c.VolumeMounts); d != "" {
		t.Error(d)
	}
	if len(c.VolumeDevices) != 1 || c.VolumeDevices[0].Name != "claim-1" {
		t.Errorf("devices %v", c.VolumeDevices)
	}
	if got := pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName; got != "a" {
		t.Errorf("first volume is %s: the order must not depend on the caller", got)
	}
}

func TestAMountPodHasNothingThatWouldChangeTheVolumeOrReachTheAPI(t *testing.T) {
	pod := Pod(Group{Name: "x", Claims: []string{"a"}}, Options{})
	sc := pod.Spec.SecurityContext
	if sc.FSGroup != nil || sc.SELinuxOptions != nil {
		t.Error("fsGroup or SELinux options would relabel the volume")
	}
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("a mount pod needs no token")
	}
	if pod.Spec.ActiveDeadlineSeconds == nil {
		t.Error("a forgotten mount pod must end")
	}
	if _, limited := pod.Spec.Containers[0].Resources.Limits[corev1.ResourceCPU]; limited {
		t.Error("the container would be started within that limit, which takes seconds")
	}
}

func TestThePinHoldsInEveryAlternativeOfTheApplicationsAffinity(t *testing.T) {
	term := func(key string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpExists}}}
	}
	spec := &corev1.PodSpec{Affinity: &corev1.Affinity{
		NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{term("a"), term("b")},
		}},
		PodAffinity: &corev1.PodAffinity{},
	}}
	p := PlacementOf(spec)
	p.NodeName = "node-1"
	pod := Pod(Group{Name: "x", Claims: []string{"a"}, Placement: p}, Options{})
	if pod.Spec.Affinity.PodAffinity != nil {
		t.Error("rules about the application's pods came along")
	}
	for _, term := range pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if len(term.MatchFields) != 1 || term.MatchFields[0].Key != metav1.ObjectNameField {
			t.Errorf("alternative without the pin: %+v", term)
		}
	}
	if n := len(spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields); n != 0 {
		t.Error("the application's own spec was changed")
	}
}

func TestNamesAreValidForAnyGroup(t *testing.T) {
	for _, name := range []string{"x", strings.Repeat("a.", 100), "db-0"} {
		n := Name(strings.Repeat("m", 50), Group{Name: name, Claims: []string{"c"}})
		if msgs := validation.IsDNS1123Subdomain(n); len(msgs) > 0 || len(n) > 63 {
			t.Errorf("%s: %v", n, msgs)
		}
	}
}

func TestWhereLimitsAreAskedForAMountPodHasSomeEqualToItsRequests(t *testing.T) {
	kube := fake.NewClientset()
	var refused int
	kube.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create, _ := a.(clienttesting.CreateAction)
		pod, _ := create.GetObject().(*corev1.Pod)
		if r := pod.Spec.Containers[0].Resources; !cmp.Equal(r.Requests, r.Limits) {
			refused++
			return true, nil, apierrors.NewForbidden(corev1.Resource("pods"), pod.Name, errors.New("must specify limits.cpu"))
		}
		return false, nil, nil
	})
	c := &cluster.Cluster{Kube: kube}
	pod := Pod(Group{Name: "x", Claims: []string{"a"}}, Options{Namespace: "n"})
	if err := Ensure(t.Context(), c, pod); err != nil || refused != 1 {
		t.Errorf("%d refusals, error %v", refused, err)
	}
	if _, err := kube.CoreV1().Pods("n").Get(t.Context(), pod.Name, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	// What an administrator says about mount pods is not replaced.
	own := &v1alpha1.MountPodTemplate{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}
	pod = Pod(Group{Name: "y", Claims: []string{"b"}}, Options{Namespace: "n", Template: own})
	if err := Ensure(t.Context(), c, pod); !apierrors.IsForbidden(err) {
		t.Errorf("error %v", err)
	}
}
