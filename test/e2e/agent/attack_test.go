//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Each test names the layer that denies.

// Layer: the agent, by the administrator's MotionPolicy.
func TestAnAddressOutsideThePolicyIsNotDialled(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	for _, address := range []string{"192.0.2.1:4747", "127.0.0.1:8081", "169.254.169.254:80", "kubernetes.default.svc:443", "10.213.2.11"} {
		p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.Addresses = []string{address} })
		p.ask(v1alpha1.CopyMethodLive)
		if got := p.send.awaitReason(v1alpha1.ReasonAddressNotAllowed); got.Status != metav1.ConditionFalse {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

// Layer: the agent, by the administrator's MotionPolicy, on the receiving side.
func TestAConnectionFromOutsideThePolicyIsRefused(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	policy, err := cluster.Get[v1alpha1.MotionPolicy](t.Context(), p.receive.c, v1alpha1.MotionPolicies, "", p.receive.namespace)
	if err != nil {
		t.Fatal(err)
	}
	policy.Spec.Peers[0].CIDRs = []string{"192.0.2.0/24"}
	if policy, err = cluster.Update(t.Context(), p.receive.c, v1alpha1.MotionPolicies, "", policy); err != nil {
		t.Fatal(err)
	}
	number := p.ask(v1alpha1.CopyMethodLive)
	p.send.awaitReason(v1alpha1.ReasonWaitingForPeer)
	if got := p.receive.awaitReason(v1alpha1.ReasonWaitingForPeer); got.Status != metav1.ConditionUnknown {
		t.Errorf("a refused connection ended the generation: %+v", got)
	}
	policy.Spec.Peers[0].CIDRs = []string{labNetworks}
	if _, err := cluster.Update(t.Context(), p.receive.c, v1alpha1.MotionPolicies, "", policy); err != nil {
		t.Fatal(err)
	}
	p.awaitVerified(number)
}

// Layer: the agent: no policy, no shipment.
func TestANamespaceWithoutAPolicyShipsNothing(t *testing.T) {
	for _, role := range []v1alpha1.Role{v1alpha1.RoleSend, v1alpha1.RoleReceive} {
		t.Run(string(role), func(t *testing.T) {
			p := newPair(t, "lab-local", someFiles)
			e := p.send
			if role == v1alpha1.RoleReceive {
				e = p.receive
			}
			if err := e.c.Resource(v1alpha1.MotionPolicies, "").Delete(t.Context(), e.namespace, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			p.ask(v1alpha1.CopyMethodLive)
			e.awaitReason(v1alpha1.ReasonPolicyDenied)
			if got := p.receive.get().Status.VerifiedSync; got != 0 {
				t.Errorf("generation %d was verified", got)
			}
		})
	}
}

// Layer: one key pair per shipment. Blue's sender presents itself as red's, on
// the node and with the addresses, UIDs and pins of red's.
func TestAShipmentCannotPassAsAnotherNamespaces(t *testing.T) {
	t.Parallel()
	red := newPairOf(t, "red", "lab-local", someFiles)
	blue := newPairOf(t, "blue", "lab-local", `echo blue > x`)
	target := red.receive.get()
	s := blue.send.shipment(blue.receive.c.ID)
	s.Name, s.Spec.Sync = "as-red", 1
	s.Spec.Peer.ShipmentUID, s.Spec.Peer.KeySHA256 = string(target.UID), target.Status.Endpoint.KeySHA256
	s.Spec.Peer.Addresses = target.Status.Endpoint.Addresses
	red.receive.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Sync = 1 })
	red.receive.awaitReason(v1alpha1.ReasonWaitingForPeer)
	if _, err := cluster.Create(t.Context(), blue.send.c, v1alpha1.VolumeShipments, blue.send.namespace, s); err != nil {
		t.Fatal(err)
	}
	c := blue.send.awaitCondition(s.Name, v1alpha1.ShipmentShipped, "False")
	if c.Reason != v1alpha1.ReasonPeerKeyMismatch {
		t.Errorf("refused as %s: %s", c.Reason, c.Message)
	}
	if got := red.receive.get().Status; got.VerifiedSync != 0 || got.ShippedSync != 0 {
		t.Errorf("red received something: %+v", got)
	}
	red.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Sync = 1 })
	red.awaitVerified(1) // and red's own goes through
}

// The same the other way: blue's receiver with red's sender for a peer. Red's
// sender dials only whom red's own shipment names, and blue's is not that one.
func TestAReceiverThatNamesAnotherNamespacesSenderGetsNothing(t *testing.T) {
	t.Parallel()
	red := newPairOf(t, "red", "lab-local", someFiles)
	blue := newPairOf(t, "blue", "lab-local", `echo blue > x`)
	source := red.send.get()
	s := blue.receive.shipment(blue.send.c.ID)
	s.Name, s.Spec.Sync = "from-red", 1
	s.Spec.Peer.ShipmentUID, s.Spec.Peer.KeySHA256 = string(source.UID), source.Status.Endpoint.KeySHA256
	if _, err := cluster.Create(t.Context(), blue.receive.c, v1alpha1.VolumeShipments, blue.receive.namespace, s); err != nil {
		t.Fatal(err)
	}
	blue.receive.awaitCondition(s.Name, v1alpha1.ShipmentShipped, "Unknown "+v1alpha1.ReasonWaitingForPeer)
	red.awaitVerified(red.ask(v1alpha1.CopyMethodStopped))
	got, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), blue.receive.c, v1alpha1.VolumeShipments, s.Namespace, s.Name)
	if err != nil || got.Status.Statistics.StartTime != nil {
		t.Errorf("%+v, %v", got.Status, err)
	}
}

// Layer: the agent, checks a. A PVC that names someone else's volume is bound to
// nothing; a UID that is not the claim's is someone else's claim.
func TestAShipmentForAnotherClaimsUIDIsNotServed(t *testing.T) {
	red := newPair(t, "lab-local", someFiles)
	s := red.send.shipment(red.receive.c.ID)
	s.Name, s.Spec.ClaimUID = "other-uid", string(red.receive.claim.UID)
	if _, err := cluster.Create(t.Context(), red.send.c, v1alpha1.VolumeShipments, red.send.namespace, s); err != nil {
		t.Fatal(err)
	}
	c := red.send.awaitCondition(s.Name, v1alpha1.ShipmentAssigned, "False")
	if c.Reason != v1alpha1.ReasonClaimMismatch {
		t.Errorf("%+v", c)
	}
}

// impersonate is c with another identity.
func impersonate(t *testing.T, c *cluster.Cluster, who rest.ImpersonationConfig) *cluster.Cluster {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.Impersonate = who
	out, err := cluster.New(t.Context(), who.UserName, "", config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func agentOf(node string) rest.ImpersonationConfig {
	who := rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + deploy.DefaultNamespace + ":" + deploy.AgentName,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + deploy.DefaultNamespace, "system:authenticated"},
	}
	if node != "" {
		who.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	return who
}

func wantForbidden(t *testing.T, err error, words string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want forbidden with %q", err, words)
	}
}

// Layer: the admission policy agent-status.kubectl-motion.dev.
func TestAnAgentWritesTheStatusOfItsOwnNodesShipmentsOnly(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	s := p.receive.get()
	mine, other := s.Status.NodeName, "lab-b-node-1"
	if mine == other {
		other = "lab-b-node-2"
	}
	write := func(node string, status func(*v1alpha1.VolumeShipmentStatus)) error {
		s := p.receive.get()
		status(&s.Status)
		_, err := cluster.UpdateStatus(t.Context(), impersonate(t, p.receive.c, agentOf(node)), v1alpha1.VolumeShipments, s.Namespace, s)
		return err
	}
	wantForbidden(t, write(other, func(s *v1alpha1.VolumeShipmentStatus) { s.Digest = "forged" }), "is assigned to node "+mine)
	wantForbidden(t, write(other, func(s *v1alpha1.VolumeShipmentStatus) { s.NodeName = other }), "is assigned to node "+mine)
	wantForbidden(t, write(mine, func(s *v1alpha1.VolumeShipmentStatus) { s.NodeName = other }), "cannot assign a shipment to another node")
	wantForbidden(t, write("", func(s *v1alpha1.VolumeShipmentStatus) { s.Digest = "forged" }), "has no node name")
	if err := write(mine, func(s *v1alpha1.VolumeShipmentStatus) { s.ObservedGeneration++ }); err != nil && !apierrors.IsConflict(err) {
		t.Errorf("an agent cannot write the status of its own node's shipment: %v", err)
	}

	// A shipment that no agent is assigned to, of a mount pod on the node mine.
	open := p.receive.shipment(p.send.c.ID)
	open.Name, open.Spec.ClaimName, open.Spec.NodeName = "unassigned", "no-such-claim", mine
	open, err := cluster.Create(t.Context(), p.receive.c, v1alpha1.VolumeShipments, open.Namespace, open)
	if err != nil {
		t.Fatal(err)
	}
	assign := func(node string) error {
		s := open.DeepCopy()
		s.Status.NodeName = node
		_, err := cluster.UpdateStatus(t.Context(), impersonate(t, p.receive.c, agentOf(node)), v1alpha1.VolumeShipments, s.Namespace, s)
		return err
	}
	wantForbidden(t, assign(other), "the shipment is for node "+mine)
	if err := assign(mine); err != nil {
		t.Errorf("the agent of the mount pod's node cannot be assigned: %v", err)
	}
}

// Layers: RBAC and the admission policy shipments.kubectl-motion.dev.
func TestAShipmentIsMadeOnlyByWhoMayCreatePodsAndNeverByAnAgent(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	rbac := p.send.c.Kube.RbacV1()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "shipper"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"volumeshipments"}, Verbs: []string{"get", "create", "update"}},
	}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "shipper"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "shipper"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "shipper"}, {Kind: rbacv1.ServiceAccountKind, Namespace: deploy.DefaultNamespace, Name: deploy.AgentName}},
	}
	if _, err := rbac.Roles(p.send.namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.RoleBindings(p.send.namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shipper := impersonate(t, p.send.c, rest.ImpersonationConfig{UserName: "shipper", Groups: []string{"system:authenticated"}})
	s := p.send.shipment(p.receive.c.ID)
	s.Name = "another"
	var err error
	p.send.await("the binding", func(ctx context.Context) (bool, error) { // RBAC is a moment behind
		_, err = cluster.Create(ctx, shipper, v1alpha1.VolumeShipments, s.Namespace, s)
		return err == nil || strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), nil
	})
	wantForbidden(t, err, "requires the right to create pods in it")
	err = p.send.tryChange(shipper, func(s *v1alpha1.VolumeShipmentSpec) { s.Sync = 9 })
	wantForbidden(t, err, "requires the right to create pods in it")
	_, err = cluster.Create(t.Context(), impersonate(t, p.send.c, agentOf("lab-a-node-1")), v1alpha1.VolumeShipments, s.Namespace, s)
	wantForbidden(t, err, "agents may not create or change shipments")
}

// Layer: RBAC. A shipment's status is the agents' word: whoever may edit a
// namespace may not write it.
func TestAUserCannotWriteAShipmentsStatus(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "owner"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "owner"}},
	}
	if _, err := p.send.c.Kube.RbacV1().RoleBindings(p.send.namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owner := impersonate(t, p.send.c, rest.ImpersonationConfig{UserName: "owner", Groups: []string{"system:authenticated"}})
	p.send.await("the binding", func(ctx context.Context) (bool, error) {
		_, err := cluster.Get[v1alpha1.VolumeShipment](ctx, owner, v1alpha1.VolumeShipments, p.send.namespace, shipmentName)
		return err == nil, nil
	})
	s := p.send.get()
	s.Status.VerifiedSync = 99
	_, err := cluster.UpdateStatus(t.Context(), owner, v1alpha1.VolumeShipments, s.Namespace, s)
	wantForbidden(t, err, "volumeshipments/status")
}

// Layer: the CRD's own rules.
func TestWhatAShipmentIsAboutCannotBeChanged(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	p.ask(v1alpha1.CopyMethodLive)
	for name, edit := range map[string]func(*v1alpha1.VolumeShipmentSpec){
		"role":             func(s *v1alpha1.VolumeShipmentSpec) { s.Role = v1alpha1.RoleReceive },
		"claim":            func(s *v1alpha1.VolumeShipmentSpec) { s.ClaimName = "logs" },
		"claim UID":        func(s *v1alpha1.VolumeShipmentSpec) { s.ClaimUID = string(p.receive.claim.UID) },
		"peer cluster":     func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.ClusterID = "other" },
		"peer namespace":   func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.Namespace = "other" },
		"peer shipment":    func(s *v1alpha1.VolumeShipmentSpec) { s.Peer.ShipmentUID = "other" },
		"older generation": func(s *v1alpha1.VolumeShipmentSpec) { s.Sync-- },
		"view alone":       func(s *v1alpha1.VolumeShipmentSpec) { s.CopyMethod = v1alpha1.CopyMethodStopped },
	} {
		if err := p.send.tryChange(p.send.c, edit); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Layer: the kubelet and the agent. A pod of another namespace on the same node
// opens no way to the volume, nor does one that mounts a part of it.
func TestOnlyAPodOfTheNamespaceWithTheWholeVolumeIsAWay(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	p.send.deletePod(mountPodName)
	p.send.awaitShipment("given up", func(s *v1alpha1.VolumeShipment) bool { return s.Status.NodeName == "" })
	p.send.create(p.send.pod("part", func(pod *corev1.Pod) {
		pod.Labels = map[string]string{v1alpha1.LabelMountPod: "true"}
		pod.Spec.Containers[0].Command = []string{"sleep", "1000000"}
		pod.Spec.Containers[0].VolumeMounts[0].SubPath = "a"
	}))
	p.send.awaitPhase("part", corev1.PodRunning)
	// The whole volume is one; when it is claimed, the part was not taken.
	p.send.hold()
	s := p.send.awaitShipment("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	mountPod := p.send.awaitPhase(mountPodName, corev1.PodRunning)
	if s.Status.Endpoint.PodUID != string(mountPod.UID) {
		t.Errorf("served through pod %s", s.Status.Endpoint.PodUID)
	}
}

// Layer: the agents of both clusters, by the administrators' MotionPolicies. Without
// the mountPodTemplate the same mount pods do.
func TestAMountPodRunsTheImageThatThePolicyNames(t *testing.T) {
	for _, role := range []v1alpha1.Role{v1alpha1.RoleSend, v1alpha1.RoleReceive} {
		t.Run(string(role), func(t *testing.T) {
			p := newPair(t, "lab-local", someFiles)
			e := p.send
			if role == v1alpha1.RoleReceive {
				e = p.receive
			}
			e.template(&v1alpha1.MountPodTemplate{Image: "registry.example.com/pause:1"})
			p.ask(v1alpha1.CopyMethodStopped)
			c := e.awaitReason(v1alpha1.ReasonMountPodInvalid)
			if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "registry.example.com/pause:1") || !strings.Contains(c.Message, mountPodName) {
				t.Errorf("%+v", c)
			}
			if got := p.receive.get().Status; got.VerifiedSync != 0 {
				t.Errorf("generation %d was verified", got.VerifiedSync)
			}
			e.template(nil)
			p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
		})
	}
}

// template sets the mountPodTemplate of the end's MotionPolicy.
func (e *end) template(to *v1alpha1.MountPodTemplate) {
	e.t.Helper()
	p, err := cluster.Get[v1alpha1.MotionPolicy](e.t.Context(), e.c, v1alpha1.MotionPolicies, "", e.namespace)
	if err != nil {
		e.t.Fatal(err)
	}
	p.Spec.MountPodTemplate = to
	if _, err := cluster.Update(e.t.Context(), e.c, v1alpha1.MotionPolicies, "", p); err != nil {
		e.t.Fatal(err)
	}
}

// Layers: one key pair per shipment; passes are named by both UIDs. A Receive that is
// deleted and made again, with the words of the old one, is another shipment: the
// sender that knew the old one does not take it for that, and the generation that was
// verified stays the volume's until both are introduced anew.
func TestAReceiveThatIsMadeAgainIsNotTheOldOne(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
	old := p.receive.get()
	before := p.receive.fingerprint()
	if err := p.receive.c.Resource(v1alpha1.VolumeShipments, p.receive.namespace).Delete(t.Context(), shipmentName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.receive.await("the end of the shipment", func(ctx context.Context) (bool, error) {
		_, err := cluster.Get[v1alpha1.VolumeShipment](ctx, p.receive.c, v1alpha1.VolumeShipments, p.receive.namespace, shipmentName)
		return apierrors.IsNotFound(err), nil
	})
	again := p.receive.shipment(p.send.c.ID)
	again.Spec.Peer, again.Spec.Sync, again.Spec.CopyMethod = old.Spec.Peer, old.Spec.Sync, old.Spec.CopyMethod
	if _, err := cluster.Create(t.Context(), p.receive.c, v1alpha1.VolumeShipments, p.receive.namespace, again); err != nil {
		t.Fatal(err)
	}
	now := p.receive.awaitShipment("claimed", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
	if now.Status.Endpoint.KeySHA256 == old.Status.Endpoint.KeySHA256 {
		t.Error("it has the key of the old one")
	}
	// The sender is asked again and still knows the old one.
	p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Sync++ })
	c := p.send.awaitReason(v1alpha1.ReasonWaitingForPeer)
	if c.Status != metav1.ConditionUnknown {
		t.Errorf("the sender says %+v", c)
	}
	if s := p.receive.get().Status; s.VerifiedSync != 0 || s.ShippedSync != 0 || s.Statistics.WireBytes != 0 {
		t.Errorf("it took something in, or calls the old generation its own: %+v", s)
	}
	if after := p.receive.fingerprint(); after != before {
		t.Error("the volume has changed")
	}
}
