// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
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

func TestAHolderHasNothingThatWouldChangeTheVolumeOrReachTheAPI(t *testing.T) {
	pod := Pod(Group{Name: "x", Claims: []string{"a"}}, Options{})
	sc := pod.Spec.SecurityContext
	if sc.FSGroup != nil || sc.SELinuxOptions != nil {
		t.Error("fsGroup or SELinux options would relabel the volume")
	}
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("a holder needs no token")
	}
	if pod.Spec.ActiveDeadlineSeconds == nil {
		t.Error("a forgotten holder must end")
	}
	c := pod.Spec.Containers[0]
	if !cmp.Equal(c.Resources.Requests, c.Resources.Limits) {
		t.Error("requests and limits differ: a LimitRange with a ratio would refuse the pod")
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
