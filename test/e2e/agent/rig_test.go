//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package agent tries the agents on the lab's two real clusters with shipments
// made by hand: what they must ship, what they must refuse, and which layer
// refuses it. It expects KUBECONFIG with the lab's contexts, as
// test/with-lab.sh sets it; without it the tests fail.
package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

const (
	// patience bounds every wait of these tests.
	patience = 2 * time.Minute
	tools    = "lab/tools:1"
	pause    = "registry.k8s.io/pause:3.10.1"
	// labNetworks are those of every lab: several may run beside each other.
	labNetworks = "10.192.0.0/10"
)

func TestMain(m *testing.M) {
	if os.Getenv("KUBECONFIG") == "" {
		fmt.Fprintln(os.Stderr, "these tests need the lab: make e2e, or test/with-lab.sh")
		os.Exit(1)
	}
	// For experiments with agents of another manifest: docs/security.md has one.
	if os.Getenv("MOTION_AGENTS_AS_THEY_ARE") != "" {
		os.Exit(m.Run())
	}
	if err := install(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "install the agents:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func connect(ctx context.Context, name string) (*cluster.Cluster, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, err
	}
	return cluster.New(ctx, name, "", config)
}

// install puts the agents of this build on both clusters and waits for them.
func install(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	manifests, err := deploy.Manifests(deploy.Options{AgentImage: os.Getenv("MOTION_AGENT_IMAGE"), Relay: true, PreserveSpecialFiles: true})
	if err != nil {
		return err
	}
	for _, name := range []string{"lab-a", "lab-b"} {
		c, err := connect(ctx, name)
		if err != nil {
			return err
		}
		for _, m := range manifests {
			err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
				gvr, _, err := c.ResourceFor(m.GroupVersionKind())
				if meta.IsNoMatchError(err) {
					return false, nil // its CRD is a moment old
				}
				if err != nil {
					return false, err
				}
				_, err = c.Resource(gvr, m.GetNamespace()).Apply(ctx, m.GetName(), m, metav1.ApplyOptions{FieldManager: v1alpha1.FieldManager, Force: true})
				return err == nil, err
			})
			if err != nil {
				return fmt.Errorf("%s %s on %s: %w", m.GetKind(), m.GetName(), name, err)
			}
		}
		err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
			ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
			want := int32(0)
			if err == nil {
				want = ds.Status.DesiredNumberScheduled
			}
			return err == nil && want > 0 && ds.Status.ObservedGeneration >= ds.Generation &&
				ds.Status.UpdatedNumberScheduled == want && ds.Status.NumberAvailable == want, nil
		})
		if err != nil {
			return fmt.Errorf("agents on %s: %w", name, err)
		}
		err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
			set, err := c.Kube.AppsV1().StatefulSets(deploy.DefaultNamespace).Get(ctx, "motion-relay", metav1.GetOptions{})
			return err == nil && set.Status.ObservedGeneration >= set.Generation && set.Status.AvailableReplicas == 1 && set.Status.UpdatedReplicas == 1, nil
		})
		if err != nil {
			return fmt.Errorf("relay on %s: %w", name, err)
		}
	}
	return nil
}

// end is one side of a shipment: a namespace of a cluster with one claim, its
// mount pod and its shipment.
type end struct {
	t         *testing.T
	c         *cluster.Cluster
	namespace string
	role      v1alpha1.Role
	claim     *corev1.PersistentVolumeClaim
}

const (
	claimName    = "data"
	mountPodName = "motion-mount-data"
	shipmentName = "data-shipment"
)

// pair is two ends that know each other.
type pair struct{ send, receive *end }

// newPair makes everything up to a claimed shipment on both sides, with the
// content that script writes into the source's volume (bash, in its root).
func newPair(t *testing.T, class, script string) *pair {
	t.Helper()
	t.Parallel()
	return newPairOf(t, "", class, script)
}

// newPairOf is newPair for the team of a test that has several.
func newPairOf(t *testing.T, team, class, script string) *pair {
	t.Helper()
	sum := sha256.Sum256([]byte(t.Name() + team))
	namespace := "agent-e2e-" + hex.EncodeToString(sum[:4])
	p := &pair{
		send:    newEnd(t, "lab-a", namespace, v1alpha1.RoleSend),
		receive: newEnd(t, "lab-b", namespace, v1alpha1.RoleReceive),
	}
	t.Cleanup(func() { p.remove(context.WithoutCancel(t.Context())) })
	p.remove(t.Context())
	for _, e := range []*end{p.send, p.receive} {
		e.makeNamespace()
		e.makeClaim(class)
	}
	p.send.allow(p.receive.c.ID)
	p.receive.allow(p.send.c.ID)
	p.send.runOnce("fill", script)
	for _, e := range []*end{p.send, p.receive} {
		e.hold()
		e.request(p.other(e).c.ID)
	}
	p.introduce()
	return p
}

func (p *pair) other(e *end) *end {
	if e == p.send {
		return p.receive
	}
	return p.send
}

func newEnd(t *testing.T, context, namespace string, role v1alpha1.Role) *end {
	t.Helper()
	c, err := connect(t.Context(), context)
	if err != nil {
		t.Fatal(err)
	}
	return &end{t: t, c: c, namespace: namespace, role: role}
}

func (e *end) makeNamespace() {
	e.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace, Labels: map[string]string{"kubectl-motion.dev/e2e": e.namespace}}}
	if _, err := e.c.Kube.CoreV1().Namespaces().Create(e.t.Context(), ns, metav1.CreateOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) makeClaim(class string) {
	e.t.Helper()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: claimName}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.StorageClassName = &class
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	var err error
	e.claim, err = e.c.Kube.CoreV1().PersistentVolumeClaims(e.namespace).Create(e.t.Context(), claim, metav1.CreateOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
}

// remove deletes both namespaces and waits until they are gone. One whose volume
// stays mounted never goes: that is a finding.
func (p *pair) remove(ctx context.Context) {
	ends := []*end{p.send, p.receive}
	for _, e := range ends {
		_ = e.c.Kube.CoreV1().Namespaces().Delete(ctx, e.namespace, metav1.DeleteOptions{})
	}
	for _, e := range ends {
		err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			_, err := e.c.Kube.CoreV1().Namespaces().Get(ctx, e.namespace, metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		})
		if err != nil {
			e.t.Errorf("namespace %s on %s does not go: %v", e.namespace, e.c, err)
		}
	}
}

// allow sets a policy for the namespace and the peer.
func (e *end) allow(peer string) *v1alpha1.MotionPolicy {
	e.t.Helper()
	p := &v1alpha1.MotionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MotionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: e.namespace},
	}
	p.Spec.NamespaceSelector.MatchLabels = map[string]string{"kubectl-motion.dev/e2e": e.namespace}
	p.Spec.Peers = []v1alpha1.PolicyPeer{{ClusterID: peer, CIDRs: []string{labNetworks}}}
	p.Spec.AllowUnpaired = true
	policies := e.c.Resource(v1alpha1.MotionPolicies, "")
	_ = policies.Delete(e.t.Context(), p.Name, metav1.DeleteOptions{})
	p, err := cluster.Create(e.t.Context(), e.c, v1alpha1.MotionPolicies, "", p)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = policies.Delete(context.WithoutCancel(e.t.Context()), p.Name, metav1.DeleteOptions{}) })
	return p
}

// pod mounts the claim.
func (e *end) pod(name string, change func(*corev1.Pod)) *corev1.Pod {
	no, grace, root := false, int64(1), int64(0)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: e.namespace}}
	p.Spec.AutomountServiceAccountToken, p.Spec.TerminationGracePeriodSeconds = &no, &grace
	p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root}
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName},
	}}}
	p.Spec.Containers = []corev1.Container{{
		Name: "c", Image: tools, WorkingDir: "/v", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
	}}
	change(p)
	return p
}

func (e *end) create(p *corev1.Pod) {
	e.t.Helper()
	if _, err := e.c.Kube.CoreV1().Pods(e.namespace).Create(e.t.Context(), p, metav1.CreateOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *end) awaitPhase(name string, phases ...corev1.PodPhase) *corev1.Pod {
	e.t.Helper()
	var got *corev1.Pod
	e.await("pod "+name, func(ctx context.Context) (bool, error) {
		var err error
		got, err = e.c.Kube.CoreV1().Pods(e.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return slices.Contains(phases, got.Status.Phase), nil
	})
	return got
}

// deletePod deletes a pod and waits until the kubelet has let it go, which it
// does only after it has unmounted everything.
func (e *end) deletePod(name string) {
	e.t.Helper()
	pods := e.c.Kube.CoreV1().Pods(e.namespace)
	if err := pods.Delete(e.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		e.t.Fatal(err)
	}
	e.await("the end of pod "+name, func(ctx context.Context) (bool, error) {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

func (e *end) await(what string, done func(context.Context) (bool, error)) {
	e.t.Helper()
	if err := wait.PollUntilContextTimeout(e.t.Context(), 100*time.Millisecond, patience, true, done); err != nil {
		e.t.Fatalf("%s in %s on %s: %v", what, e.namespace, e.c, err)
	}
}

// runOnce runs a script in the volume's root and returns what it wrote to its
// termination log.
func (e *end) runOnce(name, script string) string {
	e.t.Helper()
	e.create(e.pod(name, func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"bash", "-euc", script}
	}))
	got := e.awaitPhase(name, corev1.PodSucceeded, corev1.PodFailed)
	said := ""
	if s := got.Status.ContainerStatuses; len(s) == 1 && s[0].State.Terminated != nil {
		said = s[0].State.Terminated.Message
	}
	if got.Status.Phase != corev1.PodSucceeded {
		e.t.Fatalf("pod %s failed: %s", name, said)
	}
	e.deletePod(name)
	return strings.TrimSpace(said)
}

// fingerprint is of everything in the volume: names, kinds, owners, modes, times
// and contents, as other programs than ours see them.
func (e *end) fingerprint() string {
	e.t.Helper()
	return e.runOnce("fingerprint", `( find . -printf '%P %y %m %U %G %s %T@ %l\n' | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum ) | sha256sum > /dev/termination-log`)
}

// run starts an application that has the claim mounted.
func (e *end) run(name string) {
	e.t.Helper()
	e.create(e.pod(name, func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sleep", "1000000"} }))
}

// hold makes the kubelet mount the claim for the agent.
func (e *end) hold() {
	e.t.Helper()
	e.create(e.pod(mountPodName, func(p *corev1.Pod) {
		p.Labels = map[string]string{v1alpha1.LabelMountPod: "true"}
		p.Spec.Containers[0].Image, p.Spec.Containers[0].WorkingDir = pause, ""
		p.Spec.Containers[0].VolumeMounts[0].SubPath = "."
		p.Spec.Containers[0].VolumeMounts[0].ReadOnly = e.role == v1alpha1.RoleSend
	}))
	e.awaitPhase(mountPodName, corev1.PodRunning)
}

// shipment is what request asks for.
func (e *end) shipment(peerCluster string) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "VolumeShipment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: shipmentName},
	}
	s.Spec.Role, s.Spec.CopyMethod = e.role, v1alpha1.CopyMethodLive
	s.Spec.ClaimName, s.Spec.ClaimUID = claimName, string(e.claim.UID)
	s.Spec.Peer = v1alpha1.ShipmentPeer{ClusterID: peerCluster, Namespace: e.namespace}
	return s
}

func (e *end) request(peerCluster string) {
	e.t.Helper()
	if _, err := cluster.Create(e.t.Context(), e.c, v1alpha1.VolumeShipments, e.namespace, e.shipment(peerCluster)); err != nil {
		e.t.Fatal(err)
	}
	e.awaitShipment("Assigned", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Endpoint != nil })
}

func (e *end) get() *v1alpha1.VolumeShipment {
	e.t.Helper()
	s, err := cluster.Get[v1alpha1.VolumeShipment](e.t.Context(), e.c, v1alpha1.VolumeShipments, e.namespace, shipmentName)
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

func (e *end) awaitShipment(what string, done func(*v1alpha1.VolumeShipment) bool) *v1alpha1.VolumeShipment {
	e.t.Helper()
	var s *v1alpha1.VolumeShipment
	err := wait.PollUntilContextTimeout(e.t.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		s = e.get()
		return done(s), nil
	})
	if err != nil {
		e.t.Fatalf("shipment %s/%s on %s is not %s: %+v", e.namespace, shipmentName, e.c, what, s.Status)
	}
	return s
}

// awaitReason waits for a reason of the condition Shipped.
func (e *end) awaitReason(reason string) metav1.Condition {
	e.t.Helper()
	s := e.awaitShipment(reason, func(s *v1alpha1.VolumeShipment) bool {
		c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ShipmentShipped)
		return c != nil && s.Status.ActiveSync == s.Spec.Sync && c.Reason == reason
	})
	return *meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ShipmentShipped)
}

// awaitCondition waits until a condition of a shipment of any name has a status
// (and reason): want is "False", or "Unknown WaitingForPeer".
func (e *end) awaitCondition(name, kind, want string) metav1.Condition {
	e.t.Helper()
	var found metav1.Condition
	e.await("condition "+kind+" of "+name, func(ctx context.Context) (bool, error) {
		s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, e.c, v1alpha1.VolumeShipments, e.namespace, name)
		if err != nil {
			return false, err
		}
		c := meta.FindStatusCondition(s.Status.Conditions, kind)
		if c != nil {
			found = *c
		}
		return c != nil && strings.HasPrefix(string(c.Status)+" "+c.Reason, want), nil
	})
	return found
}

// change updates the shipment's spec.
func (e *end) change(f func(*v1alpha1.VolumeShipmentSpec)) {
	e.t.Helper()
	if err := e.tryChange(e.c, f); err != nil {
		e.t.Fatal(err)
	}
}

// tryChange updates the shipment's spec as c's identity, however often its agent writes the
// status meanwhile.
func (e *end) tryChange(c *cluster.Cluster, f func(*v1alpha1.VolumeShipmentSpec)) error {
	e.t.Helper()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		s := e.get()
		f(&s.Spec)
		_, err := cluster.Update(e.t.Context(), c, v1alpha1.VolumeShipments, e.namespace, s)
		return err
	})
}

// introduce tells each end what the other published.
func (p *pair) introduce() {
	for _, e := range []*end{p.receive, p.send} {
		peer := p.other(e).get()
		e.change(func(s *v1alpha1.VolumeShipmentSpec) {
			s.Peer.ShipmentUID, s.Peer.KeySHA256 = string(peer.UID), peer.Status.Endpoint.KeySHA256
			if e.role == v1alpha1.RoleSend {
				s.Peer.Addresses = peer.Status.Endpoint.Addresses
			}
		})
	}
}

// ask asks both ends for one more generation.
func (p *pair) ask(method v1alpha1.CopyMethod) int64 {
	next := int64(0)
	for _, e := range []*end{p.receive, p.send} {
		e.change(func(s *v1alpha1.VolumeShipmentSpec) {
			if next == 0 {
				next = s.Sync + 1
			}
			s.Sync, s.CopyMethod = next, method
		})
	}
	return next
}

// slow bounds the sender, so that a test can act in mid-copy.
func (p *pair) slow(bandwidth string) {
	q := resource.MustParse(bandwidth)
	p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Limits = &v1alpha1.ShipmentLimits{Bandwidth: &q} })
}

// fast lifts the bound.
func (p *pair) fast() {
	p.send.change(func(s *v1alpha1.VolumeShipmentSpec) { s.Limits = nil })
}

// awaitVerified waits for a generation on both ends.
func (p *pair) awaitVerified(number int64) {
	for _, e := range []*end{p.receive, p.send} {
		e.t.Helper()
		e.awaitShipment(fmt.Sprintf("verified at %d", number), func(s *v1alpha1.VolumeShipment) bool {
			return s.Status.VerifiedSync == number
		})
	}
	if a, b := p.send.get().Status.Digest, p.receive.get().Status.Digest; a != b || a == "" {
		p.send.t.Errorf("the ends have the digests %q and %q", a, b)
	}
}

// awaitCopying waits until both ends are in the middle of a generation.
func (p *pair) awaitCopying() {
	p.receive.t.Helper()
	p.receive.awaitReason(v1alpha1.ReasonShipping)
	p.send.awaitReason(v1alpha1.ReasonShipping)
	p.send.awaitShipment("copying", func(s *v1alpha1.VolumeShipment) bool { return s.Status.Statistics.SentBytes > 0 })
}

// preface is what a sender says first to the shipment uid.
func preface(t *testing.T, uid string) []byte {
	t.Helper()
	b, err := link.AppendPreface(nil, link.Preface{Version: link.Version, TargetUID: uid})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forged is a preface that pretends to have been passed on by another agent.
func forged(t *testing.T, uid string) []byte {
	t.Helper()
	return append(protocol.AppendHeader(nil, protocol.Header{Via: protocol.Agent, From: netip.MustParseAddr("10.213.1.11")}), preface(t, uid)...)
}

func offer(t *testing.T, uid string) []byte {
	t.Helper()
	b, err := protocol.AppendOffer(nil, uid)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deadShipment is the UID of a shipment that was claimed, and deleted.
func (p *pair) deadShipment() string {
	t := p.receive.t
	t.Helper()
	s := p.receive.shipment(p.send.c.ID)
	s.Name = "dead"
	s, err := cluster.Create(t.Context(), p.receive.c, v1alpha1.VolumeShipments, s.Namespace, s)
	if err != nil {
		t.Fatal(err)
	}
	p.receive.awaitCondition("dead", v1alpha1.ShipmentAssigned, "True")
	if err := p.receive.c.Resource(v1alpha1.VolumeShipments, s.Namespace).Delete(t.Context(), "dead", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	return string(s.UID)
}
