// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package peers knows where the other listeners of a cluster are: which node
// serves a shipment, and which pods are agents and which is the relay.
//
// What it knows comes from a watch and from a list that is a few seconds old. It
// decides where bytes go that only the two ends of a shipment can read, and whose
// word about a connection's origin is taken. For the latter it stands on this: in
// the agents' namespace only an administrator makes pods, and in a cluster's
// network a pod has its address to itself.
package peers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

// Labels of the pods that are listeners.
const (
	nameLabel = "app.kubernetes.io/name"
	agentName = "motion-agent"
	relayName = "motion-relay"
	selector  = nameLabel + " in (" + agentName + ", " + relayName + ")"
)

// DataPort is where agents listen.
const DataPort = 4747

// ByUID is the name of the index that a store of shipments must have; Index is it.
const ByUID = "uid"

// Index finds a shipment by its UID.
func Index() cache.Indexers {
	return cache.Indexers{ByUID: func(o any) ([]string, error) {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			return nil, nil
		}
		return []string{string(u.GetUID())}, nil
	}}
}

const (
	// fresh is how long a list of pods serves, and unknown how long one does that
	// does not have what is looked for.
	fresh   = 5 * time.Second
	unknown = time.Second
)

// Directory implements listen.Peers.
type Directory struct {
	kube      kubernetes.Interface
	namespace string
	// node that we are on; empty for the relay, which serves nothing.
	node string
	now  func() time.Time

	mu        sync.Mutex
	shipments cache.Indexer
	listed    time.Time
	kinds     map[netip.Addr]protocol.Via
	agents    map[string]string
}

// New makes a directory of the listeners in namespace, as seen from node.
func New(kube kubernetes.Interface, namespace, node string) *Directory {
	return &Directory{kube: kube, namespace: namespace, node: node, now: time.Now}
}

// Watch gives the directory the shipments, in a store with Index.
func (d *Directory) Watch(shipments cache.Indexer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shipments = shipments
}

// Serving is the address of the listener of another node that serves the live
// shipment uid, "" when there is none.
func (d *Directory) Serving(ctx context.Context, uid string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.nodeOf(uid)
	if node == "" || node == d.node {
		return "", nil
	}
	if err := d.refresh(ctx, func() bool { return d.agents[node] != "" }); err != nil {
		return "", err
	}
	return d.agents[node], nil
}

// nodeOf is the node that serves the shipment, "" when it is none or goes.
func (d *Directory) nodeOf(uid string) string {
	if d.shipments == nil {
		return ""
	}
	found, err := d.shipments.ByIndex(ByUID, uid)
	if err != nil || len(found) != 1 {
		return ""
	}
	u, ok := found[0].(*unstructured.Unstructured)
	if !ok || u.GetDeletionTimestamp() != nil {
		return ""
	}
	node, _, _ := unstructured.NestedString(u.Object, "status", "nodeName")
	return node
}

// Known reports whether addr was a listener's by the last list. It makes no request.
func (d *Directory) Known(addr netip.Addr) bool {
	if !d.mu.TryLock() {
		return false // a list is under way
	}
	defer d.mu.Unlock()
	_, ok := d.kinds[addr]
	return ok
}

// Kind says whose pod has addr.
func (d *Directory) Kind(ctx context.Context, addr netip.Addr) (protocol.Via, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refresh(ctx, func() bool { _, ok := d.kinds[addr]; return ok }); err != nil {
		return 0, false
	}
	kind, ok := d.kinds[addr]
	return kind, ok
}

// look lists the pods again, unless the last list is young enough for what it says.
func (d *Directory) refresh(ctx context.Context, known func() bool) error {
	age := d.now().Sub(d.listed)
	if d.kinds != nil && (age < unknown || age < fresh && known()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fresh)
	defer cancel()
	pods, err := d.kube.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return fmt.Errorf("pods of namespace %s: %w", d.namespace, err)
	}
	d.listed, d.kinds, d.agents = d.now(), map[netip.Addr]protocol.Via{}, map[string]string{}
	for i := range pods.Items {
		d.record(&pods.Items[i])
	}
	return nil
}

func (d *Directory) record(p *corev1.Pod) {
	kind := protocol.Agent
	if p.Labels[nameLabel] == relayName {
		kind = protocol.Relay
	}
	// A pod in the node's network has an address that is not its own.
	if p.Status.Phase != corev1.PodRunning || p.Spec.HostNetwork {
		return
	}
	for _, ip := range p.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			d.kinds[addr.Unmap()] = kind
		}
	}
	if kind == protocol.Agent && p.Status.PodIP != "" && p.DeletionTimestamp == nil {
		d.agents[p.Spec.NodeName] = net.JoinHostPort(p.Status.PodIP, strconv.Itoa(DataPort))
	}
}
