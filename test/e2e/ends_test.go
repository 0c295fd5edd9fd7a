//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/transfer"
)

// end is a claim of a team on one cluster with a mount pod, and what a shipment of it
// says. Tests make shipments of it that the plugin would not make.
type end struct {
	team  string
	c     *cluster.Cluster
	role  v1alpha1.Role
	claim *corev1.PersistentVolumeClaim
	peer  string // the other cluster's id
}

// ends makes the two ends of the shop's claim, the target's on a node of lab-b.
func (s *shop) ends(t *testing.T, node string) (send, receive end) {
	t.Helper()
	put(t, s.b, s.namespace, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: lab-local
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}`)
	hold(t, s.b, s.namespace, node, false)
	hold(t, s.a, s.namespace, "lab-a-node-1", true)
	return end{s.namespace, s.a, v1alpha1.RoleSend, boundClaim(t, s.a, s.namespace), s.b.ID},
		end{s.namespace, s.b, v1alpha1.RoleReceive, boundClaim(t, s.b, s.namespace), s.a.ID}
}

// hold makes a mount pod of the claim data on a node, as the plugin would.
func hold(t *testing.T, c *cluster.Cluster, namespace, node string, readOnly bool) {
	t.Helper()
	pod := mountpod.Pod(mountpod.Group{Name: "e2e", Claims: []string{"data"}, Placement: mountpod.Placement{NodeName: node}},
		mountpod.Options{Namespace: namespace, Migration: "e2e", ReadOnly: readOnly})
	pod.OwnerReferences = nil
	if err := mountpod.Ensure(t.Context(), c, pod); err != nil {
		t.Fatal(err)
	}
}

func boundClaim(t *testing.T, c *cluster.Cluster, namespace string) *corev1.PersistentVolumeClaim {
	t.Helper()
	var out *corev1.PersistentVolumeClaim
	await(t, "the claim data to be bound on "+c.Name, func() (err error) {
		out, err = c.Kube.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "data", metav1.GetOptions{})
		if err == nil && out.Status.Phase != corev1.ClaimBound {
			err = fmt.Errorf("it is %s", out.Status.Phase)
		}
		return err
	})
	return out
}

// shipment makes a shipment of the end's claim as its team.
func (e end) shipment(t *testing.T, name string, number int64, peer v1alpha1.ShipmentPeer) *v1alpha1.VolumeShipment {
	t.Helper()
	peer.ClusterID = e.peer
	if peer.Namespace == "" {
		peer.Namespace = e.team
	}
	s, err := cluster.Create(t.Context(), e.c, v1alpha1.VolumeShipments, e.team, &v1alpha1.VolumeShipment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.VolumeShipmentSpec{
			Role: e.role, ClaimName: e.claim.Name, ClaimUID: string(e.claim.UID), CopyMethod: v1alpha1.CopyMethodLive, Sync: number, Peer: peer,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// now reads a shipment of the end's team.
func (e end) now(t *testing.T, name string) *v1alpha1.VolumeShipment {
	t.Helper()
	s, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), e.c, v1alpha1.VolumeShipments, e.team, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claimed waits until an agent serves the shipment.
func (e end) claimed(t *testing.T, name string) *v1alpha1.VolumeShipment {
	t.Helper()
	var s *v1alpha1.VolumeShipment
	await(t, "an agent for shipment "+name+" on "+e.c.Name, func() error {
		s = e.now(t, name)
		if !transfer.Assigned(s) {
			return fmt.Errorf("conditions %v", s.Status.Conditions)
		}
		return nil
	})
	return s
}

// asPeer is how the other end names a claimed shipment.
func asPeer(s *v1alpha1.VolumeShipment) v1alpha1.ShipmentPeer {
	return v1alpha1.ShipmentPeer{
		Namespace: s.Namespace, ShipmentUID: string(s.UID), KeySHA256: s.Status.Endpoint.KeySHA256, Addresses: s.Status.Endpoint.Addresses,
	}
}

// edit changes a shipment's spec as its team.
func (e end) edit(t *testing.T, name string, change func(*v1alpha1.VolumeShipmentSpec)) {
	t.Helper()
	await(t, "the change of shipment "+name, func() error {
		s := e.now(t, name)
		change(&s.Spec)
		_, err := cluster.Update(t.Context(), e.c, v1alpha1.VolumeShipments, e.team, s)
		return err
	})
}

// saying waits until a condition of a shipment has a status and a reason, and
// returns its message.
func (e end) saying(t *testing.T, name, condition string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	message := ""
	await(t, fmt.Sprintf("%s=%s %s of shipment %s on %s", condition, status, reason, name, e.c.Name), func() error {
		s := e.now(t, name)
		c := meta.FindStatusCondition(s.Status.Conditions, condition)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("conditions %v", s.Status.Conditions)
		}
		message = c.Message
		return nil
	})
	return message
}

// gotNothing fails when a receiving shipment took anything in.
func (e end) gotNothing(t *testing.T, name string) {
	t.Helper()
	s := e.now(t, name)
	f := s.Status.Statistics
	if s.Status.ShippedSync != 0 || s.Status.VerifiedSync != 0 || f.Entries != 0 || f.WireBytes != 0 || f.SentBytes != 0 {
		t.Errorf("shipment %s of %s took something in: %+v", name, e.team, s.Status)
	}
}

// nodePID is the process whose namespaces are a node's, as the machine sees it.
func nodePID(t *testing.T, node string) string {
	t.Helper()
	for line := range strings.Lines(motionLab(t, "status")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == node {
			return f[1]
		}
	}
	t.Fatalf("the lab has no node %s", node)
	return ""
}

// dialFrom connects as a process on a node would, such as lab-a/node-1.
func dialFrom(t *testing.T, node, address string) (net.Conn, error) {
	t.Helper()
	network, err := os.Open("/proc/" + nodePID(t, node) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = network.Close() }()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		// The thread is not given back: it ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: err}
			return
		}
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err == nil {
		t.Cleanup(func() { _ = r.conn.Close() })
	}
	return r.conn, r.err
}
