// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestEndpoints(t *testing.T) {
	ingress := []corev1.LoadBalancerIngress{{IP: "198.51.100.1", Hostname: "lb.example"}, {IP: "2001:db8::2"}, {}}
	for name, c := range map[string]struct {
		change func(*corev1.Service)
		want   []string
	}{
		"the NodePort of each node": {func(*corev1.Service) {}, []string{"192.0.2.11:30747", "[2001:db8::1]:30747"}},
		"a load balancer's IP and host name are two addresses": {func(s *corev1.Service) {
			s.Spec.Type, s.Status.LoadBalancer.Ingress = corev1.ServiceTypeLoadBalancer, ingress
		}, []string{"198.51.100.1:4747", "lb.example:4747", "[2001:db8::2]:4747", "192.0.2.11:30747", "[2001:db8::1]:30747"}},
		"a load balancer that was withdrawn is not an address": {func(s *corev1.Service) {
			s.Spec.Type, s.Status.LoadBalancer.Ingress = corev1.ServiceTypeNodePort, ingress
		}, []string{"192.0.2.11:30747", "[2001:db8::1]:30747"}},
		"an administrator's come first": {func(s *corev1.Service) {
			s.Annotations = map[string]string{v1alpha1.AnnotationEndpoints: "motion.example:443, ,[2001:db8::3]:1"}
		}, []string{"motion.example:443", "[2001:db8::3]:1", "192.0.2.11:30747", "[2001:db8::1]:30747"}},
		"no port": {func(s *corev1.Service) { s.Spec.Ports = nil }, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			svc := &corev1.Service{Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 4747, NodePort: 30747}},
			}}
			c.change(svc)
			e := Of(svc)
			if got := e.Addresses("192.0.2.11", "2001:db8::1"); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if e.None() != (len(c.want) == 0) {
				t.Errorf("none: %v", e.None())
			}
		})
	}
}
