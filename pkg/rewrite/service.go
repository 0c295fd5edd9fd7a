// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package rewrite

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// service drops what the source's network gave the Service: its addresses,
// allocated node ports and everything about an external load balancer. What a
// person chose (a headless Service, a node port) stays.
func (r *rewriting) service() {
	chosen := chosenNodePorts(r.u)
	if ip, _, _ := unstructured.NestedString(r.o, "spec", "clusterIP"); ip != "None" {
		r.drop("the target allocates its own address", false, "spec", "clusterIP")
		r.drop("the target allocates its own addresses", false, "spec", "clusterIPs")
	}
	r.ipFamilies()
	r.drop("the target allocates its own port", false, "spec", "healthCheckNodePort")
	r.drop("addresses of the source's network", true, "spec", "externalIPs")
	if t, _, _ := unstructured.NestedString(r.o, "spec", "type"); t == "LoadBalancer" {
		r.loadBalancer()
	}
	r.nodePorts(chosen)
}

// ipFamilies leaves the choice of families to the target. A Service that
// requires both asks for both and takes what there is.
func (r *rewriting) ipFamilies() {
	r.drop("the target's network has its own address families", false, "spec", "ipFamilies")
	if p, _, _ := unstructured.NestedString(r.o, "spec", "ipFamilyPolicy"); p == "RequireDualStack" {
		r.set("the target may have one address family only", true, "PreferDualStack", "spec", "ipFamilyPolicy")
	}
}

func (r *rewriting) loadBalancer() {
	r.drop("the source's balancer stays behind", true, "spec", "loadBalancerIP")
	if r.opts.LoadBalancers == LoadBalancersKeep {
		return
	}
	const why = "the source's load balancer stays behind; --load-balancers=keep asks the target for one"
	r.set(why, true, "ClusterIP", "spec", "type")
	for _, f := range []string{"loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"} {
		r.drop(why, f == "loadBalancerSourceRanges", "spec", f)
	}
	for k := range r.u.GetAnnotations() {
		if cloudBalancer(k) {
			unstructured.RemoveNestedField(r.o, "metadata", "annotations", k)
			r.note(Change{Path: "metadata.annotations." + k, Why: why})
		}
	}
}

// cloudBalancer says whether an annotation speaks to a load balancer provider.
func cloudBalancer(key string) bool {
	for _, p := range []string{
		"service.beta.kubernetes.io/", "service.kubernetes.io/load-balancer", "service.kubernetes.io/local-svc-only-bind-node-with-pod",
		"networking.gke.io/load-balancer", "cloud.google.com/", "metallb.universe.tf/", "metallb.io/",
		"load-balancer.hetzner.cloud/", "loadbalancer.openstack.org/", "kube-vip.io/",
	} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// nodePorts drops the ports that the source's API server picked.
func (r *rewriting) nodePorts(chosen map[int64]bool) {
	t, _, _ := unstructured.NestedString(r.o, "spec", "type")
	for _, p := range elements(r.o, "spec", "ports") {
		port, found := p["nodePort"].(int64)
		if !found || (chosen[port] && t != "ClusterIP") {
			continue
		}
		drop(r, p, "spec.ports.", "the target allocates its own port", false, "nodePort")
	}
}

// chosenNodePorts returns the node ports that somebody asked for: those that a
// field manager or the note of kubectl apply names. The API server's own
// allocation appears in neither.
func chosenNodePorts(u *unstructured.Unstructured) map[int64]bool {
	chosen := map[int64]bool{}
	applied := lastApplied(u)
	for _, p := range elements(applied, "spec", "ports") {
		if n, ok := p["nodePort"].(int64); ok {
			chosen[n] = true
		}
	}
	for _, p := range elements(u.Object, "spec", "ports") {
		port, found := p["nodePort"].(int64)
		if found && managed(u, fieldpath.MakePathOrDie("spec", "ports", fieldpath.KeyByFields(
			"port", p["port"], "protocol", orDefault(p["protocol"], "TCP")), "nodePort")) {
			chosen[port] = true
		}
	}
	return chosen
}

func orDefault(v any, d string) any {
	if v == nil {
		return d
	}
	return v
}
