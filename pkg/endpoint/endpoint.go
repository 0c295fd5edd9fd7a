// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package endpoint reads from the agents' Service where agents can be dialled. It
// is pure, and used by the agents, which publish these addresses in the status of
// shipments, and by the plugin, which shows and tries them.
package endpoint

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Endpoints of a cluster's agents, as host:port pairs, in the order in which a
// sender tries them. These lead to any agent of the cluster.
type Endpoints struct {
	// Given are those that an administrator set on the Service.
	Given []string
	// LoadBalancer are those of a load balancer that is ready.
	LoadBalancer []string
	// NodePort is the port at which each node's address answers; 0: none.
	NodePort int32
}

// Of reads the agents' Service. Addresses of a load balancer that was withdrawn are
// not returned, although the Service's status may still have them.
func Of(svc *corev1.Service) Endpoints {
	e := Endpoints{Given: Given(svc)}
	if len(svc.Spec.Ports) == 0 {
		return e
	}
	port := svc.Spec.Ports[0]
	e.NodePort = port.NodePort
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return e
	}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		for _, host := range []string{in.IP, in.Hostname} {
			if host != "" {
				e.LoadBalancer = append(e.LoadBalancer, join(host, port.Port))
			}
		}
	}
	return e
}

// Given are the host:port pairs that an administrator set on the Service.
func Given(svc *corev1.Service) []string {
	var out []string
	for given := range strings.SplitSeq(svc.Annotations[v1alpha1.AnnotationEndpoints], ",") {
		if given = strings.TrimSpace(given); given != "" {
			out = append(out, given)
		}
	}
	return out
}

// Shared are the addresses that are not a node's.
func (e Endpoints) Shared() []string {
	return append(append([]string{}, e.Given...), e.LoadBalancer...)
}

// Addresses are the shared ones, and the NodePort of each of nodes, which are IPs
// or host names.
func (e Endpoints) Addresses(nodes ...string) []string {
	out := e.Shared()
	if e.NodePort == 0 {
		return out
	}
	for _, n := range nodes {
		out = append(out, join(n, e.NodePort))
	}
	return out
}

// None reports whether no agent can be dialled, on any node.
func (e Endpoints) None() bool { return e.NodePort == 0 && len(e.Given)+len(e.LoadBalancer) == 0 }

func join(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
