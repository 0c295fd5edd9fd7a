// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestAddressesAreTheAdministratorsThenTheBalancersThenTheNodes(t *testing.T) {
	svc := service()
	svc.Spec.Ports[0].Port = 4747
	want := func(what string, addresses ...string) {
		t.Helper()
		if got := addressesOf(svc, "192.0.2.11"); !slices.Equal(got, addresses) {
			t.Errorf("%s: %q", what, got)
		}
	}
	want("a NodePort", "192.0.2.11:30747")
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.1"}, {Hostname: "lb.example"}, {}}
	want("a balancer that was, and is not asked for any more", "192.0.2.11:30747")
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	want("a balancer", "198.51.100.1:4747", "lb.example:4747", "192.0.2.11:30747")
	svc.Annotations = map[string]string{v1alpha1.AnnotationEndpoints: "motion.example:443, ," + strings.Repeat("x", 300) + ",[2001:db8::1]:1"}
	want("endpoints", "motion.example:443", "[2001:db8::1]:1", "198.51.100.1:4747", "lb.example:4747", "192.0.2.11:30747")
	svc.Annotations[v1alpha1.AnnotationEndpoints] = strings.Repeat("motion.example:443,", 20)
	if got := addressesOf(svc, "192.0.2.11"); len(got) != maxAddresses {
		t.Errorf("%d addresses are more than a shipment holds", len(got))
	}
	svc.Spec.Ports, svc.Annotations = nil, nil
	want("no port")
}
