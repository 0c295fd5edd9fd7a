// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Annotations of a Service that are kept across migrations, for facts that are lost
// with the field managers at the handover.
const (
	// AnnotationChosen lists the fields that a user set although the API server
	// would have allocated them, as JSON of chosen.
	AnnotationChosen = v1alpha1.GroupName + "/chosen"
	// AnnotationBalancer has the settings of the load balancer of the source, as JSON
	// of balancer. They are restored when the Service is migrated back.
	AnnotationBalancer = v1alpha1.GroupName + "/load-balancer"
)

// chosen lists the fields that a user set although the API server would have
// allocated them.
type chosen struct {
	NodePorts      []int64 `json:"nodePorts,omitempty"`
	IPFamilies     bool    `json:"ipFamilies,omitempty"`
	IPFamilyPolicy bool    `json:"ipFamilyPolicy,omitempty"`
	HealthPort     bool    `json:"healthCheckNodePort,omitempty"`
}

// balancer has the settings of a Service of type LoadBalancer on its home cluster.
type balancer struct {
	// Home is <cluster id>/<namespace>.
	Home string         `json:"home"`
	Spec map[string]any `json:"spec"`
	// NodePorts that were chosen, by port/protocol.
	NodePorts   map[string]int64  `json:"nodePorts,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// service removes the fields that depend on the source's network: addresses, allocated
// ports and the settings of an external load balancer. Fields that a user set (a
// headless Service, a node port, a policy of address families) stay.
func (r *transformation) service() {
	c := chosenOf(r.u)
	if ip, _, _ := unstructured.NestedString(r.o, "spec", "clusterIP"); ip != "None" {
		r.drop("allocated by the source", false, "spec", "clusterIP")
		r.drop("allocated by the source", false, "spec", "clusterIPs")
	}
	r.drop("addresses of the source's network", true, "spec", "externalIPs")
	r.ipFamilies(c)
	if !r.restoreBalancer(&c) {
		r.loadBalancer(&c)
	}
	if !c.HealthPort {
		r.drop("the target allocates its own port", false, "spec", "healthCheckNodePort")
	}
	r.nodePorts(c)
	r.remember(AnnotationChosen, c, chosen{})
}

// chosenOf returns the fields that a user set: those of a field manager, of the
// annotation of kubectl apply, or of AnnotationChosen.
func chosenOf(u *unstructured.Unstructured) chosen {
	var c chosen
	if note, found := u.GetAnnotations()[AnnotationChosen]; found && json.Unmarshal([]byte(note), &c) == nil {
		return c
	}
	c = chosen{}
	applied := lastApplied(u)
	named := func(field string) bool {
		_, inNote, _ := unstructured.NestedFieldNoCopy(applied, "spec", field)
		return inNote || managed(u, fieldpath.MakePathOrDie("spec", field))
	}
	c.IPFamilies, c.IPFamilyPolicy, c.HealthPort = named("ipFamilies"), named("ipFamilyPolicy"), named("healthCheckNodePort")
	for _, p := range elements(applied, "spec", "ports") {
		if n, ok := p["nodePort"].(int64); ok {
			c.NodePorts = append(c.NodePorts, n)
		}
	}
	for _, p := range elements(u.Object, "spec", "ports") {
		n, found := p["nodePort"].(int64)
		key := fieldpath.KeyByFields("port", p["port"], "protocol", protocolOf(p["protocol"]))
		if found && !slices.Contains(c.NodePorts, n) && managed(u, fieldpath.MakePathOrDie("spec", "ports", key, "nodePort")) {
			c.NodePorts = append(c.NodePorts, n)
		}
	}
	return c
}

func protocolOf(v any) any {
	if v == nil {
		return "TCP"
	}
	return v
}

// ipFamilies removes the families unless a user set them and the target has them. A
// Service that requires both on a single-stack target prefers both.
func (r *transformation) ipFamilies(c chosen) {
	families, _, _ := unstructured.NestedStringSlice(r.o, "spec", "ipFamilies")
	known := len(r.opts.IPFamilies) > 0
	missing := known && slices.ContainsFunc(families, func(f string) bool { return !slices.Contains(r.opts.IPFamilies, f) })
	switch {
	case !c.IPFamilies:
		r.drop("the target's network has its own address families", false, "spec", "ipFamilies")
	case missing:
		r.drop("the target's network does not have all of them", true, "spec", "ipFamilies")
	}
	policy, _, _ := unstructured.NestedString(r.o, "spec", "ipFamilyPolicy")
	switch {
	case !c.IPFamilyPolicy:
		r.drop("the target's network has its own address families", false, "spec", "ipFamilyPolicy")
	case policy == "RequireDualStack" && known && len(r.opts.IPFamilies) < 2:
		r.set("the target's network has one address family", true, "PreferDualStack", "spec", "ipFamilyPolicy")
	}
}

// balancerFields are about the balancer alone.
func balancerFields() []string {
	return []string{"loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "externalTrafficPolicy", "healthCheckNodePort", "loadBalancerIP"}
}

// loadBalancer changes the type LoadBalancer to ClusterIP and remembers the settings.
// With LoadBalancersKeep only the address is removed.
func (r *transformation) loadBalancer(c *chosen) {
	if t, _, _ := unstructured.NestedString(r.o, "spec", "type"); t != "LoadBalancer" {
		return
	}
	if r.opts.LoadBalancers == LoadBalancersKeep {
		r.drop("an address of the source's network", true, "spec", "loadBalancerIP")
		return
	}
	const why = "the source's load balancer is not migrated, use --load-balancers=keep for one on the target"
	was := balancer{
		Home: r.opts.Source.ClusterID + "/" + r.opts.Source.Namespace,
		Spec: map[string]any{}, NodePorts: map[string]int64{}, Annotations: map[string]string{},
	}
	for _, p := range elements(r.o, "spec", "ports") {
		if n, found := p["nodePort"].(int64); found && slices.Contains(c.NodePorts, n) {
			was.NodePorts[portKey(p)] = n
		}
	}
	r.set(why, true, "ClusterIP", "spec", "type")
	for _, f := range balancerFields() {
		if v, found, _ := unstructured.NestedFieldNoCopy(r.o, "spec", f); found && (f != "healthCheckNodePort" || c.HealthPort) {
			was.Spec[f] = v
		}
		r.drop(why, f == "loadBalancerSourceRanges" || f == "loadBalancerIP", "spec", f)
	}
	annotations := r.u.GetAnnotations()
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if cloudBalancer(k) {
			was.Annotations[k] = annotations[k]
			unstructured.RemoveNestedField(r.o, "metadata", "annotations", k)
			r.note(Change{Path: "metadata.annotations." + k, From: short(annotations[k]), Why: why})
		}
	}
	c.NodePorts, c.HealthPort = nil, false
	r.remember(AnnotationBalancer, was, balancer{})
}

// restoreBalancer restores the load balancer of a Service that is migrated back to the
// cluster that has it, or with LoadBalancersKeep. It returns true if it did.
func (r *transformation) restoreBalancer(c *chosen) bool {
	note, found := r.u.GetAnnotations()[AnnotationBalancer]
	var was balancer
	if !found || json.Unmarshal([]byte(note), &was) != nil {
		return false
	}
	home := was.Home == r.opts.Target.ClusterID+"/"+r.opts.Target.Namespace
	if !home && r.opts.LoadBalancers != LoadBalancersKeep {
		return false
	}
	r.set("the target has its load balancer", true, "LoadBalancer", "spec", "type")
	for k, v := range was.Spec {
		if k == "loadBalancerIP" && !home {
			continue
		}
		if err := unstructured.SetNestedField(r.o, jsonValue(v), "spec", k); err != nil {
			continue
		}
	}
	for _, p := range elements(r.o, "spec", "ports") {
		if n, found := was.NodePorts[portKey(p)]; found {
			p["nodePort"] = n
			c.NodePorts = append(c.NodePorts, n)
		}
	}
	_, c.HealthPort = was.Spec["healthCheckNodePort"]
	annotations := r.u.GetAnnotations()
	maps.Copy(annotations, was.Annotations)
	delete(annotations, AnnotationBalancer)
	r.u.SetAnnotations(annotations)
	return true
}

// portKey is what names a port of a Service in server-side apply.
func portKey(p map[string]any) string {
	return fmt.Sprintf("%v/%v", p["port"], protocolOf(p["protocol"]))
}

// jsonValue turns the numbers of encoding/json into those of unstructured objects.
func jsonValue(v any) any {
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return v
}

// remember puts v as JSON into an annotation, unless it is its zero value.
func (r *transformation) remember(key string, v, zero any) {
	raw, err1 := json.Marshal(v)
	none, err2 := json.Marshal(zero)
	annotations := r.u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, key)
	if err1 == nil && err2 == nil && string(raw) != string(none) {
		annotations[key] = string(raw)
	}
	r.u.SetAnnotations(annotations)
}

// cloudBalancer says whether an annotation speaks to a load balancer provider.
func cloudBalancer(key string) bool {
	return slices.ContainsFunc([]string{
		"service.beta.kubernetes.io/", "service.kubernetes.io/load-balancer", "service.kubernetes.io/local-svc-only-bind-node-with-pod",
		"networking.gke.io/load-balancer", "cloud.google.com/", "metallb.universe.tf/", "metallb.io/",
		"load-balancer.hetzner.cloud/", "loadbalancer.openstack.org/", "kube-vip.io/",
	}, func(p string) bool { return strings.HasPrefix(key, p) })
}

// nodePorts removes the ports that the source's API server allocated.
func (r *transformation) nodePorts(c chosen) {
	t, _, _ := unstructured.NestedString(r.o, "spec", "type")
	for _, p := range elements(r.o, "spec", "ports") {
		port, found := p["nodePort"].(int64)
		if !found || (slices.Contains(c.NodePorts, port) && (t == "NodePort" || t == "LoadBalancer")) {
			continue
		}
		drop(r, p, "spec.ports.", "the target allocates its own port", false, "nodePort")
	}
}
