//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// twoShops run side by side, with the ends of both claims on the same nodes.
type twoShops struct {
	blueShop, redShop                          *shop
	blueSend, blueReceive, redSend, redReceive end
}

func sideBySide(t *testing.T) *twoShops {
	t.Helper()
	w := &twoShops{blueShop: built(t, blue, "lab-local"), redShop: built(t, red, "lab-local")}
	w.redShop.on(t, w.redShop.a, "echo for red only >/data/words; sync")
	w.blueShop.pod(t, w.blueShop.a)
	w.blueSend, w.blueReceive = w.blueShop.ends(t, "lab-b-node-1")
	w.redSend, w.redReceive = w.redShop.ends(t, "lab-b-node-1")
	return w
}

// The attacks wait for each other's time to pass, so they are made side by side.
func TestAgentsGiveATeamNothingThatIsNotItsOwn(t *testing.T) {
	w := sideBySide(t)
	for name, attack := range map[string]func(*testing.T, *twoShops){
		"a shipment that presents itself as another team's is refused in both roles": presentsItself,
		"a claim that names another team's volume reaches nothing":                   namesAnothersVolume,
		"an address that the policy does not allow is never dialled":                 anotherAddress,
		"a connection that proves nothing gets nothing":                              provesNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attack(t, w)
		})
	}
}

// Layer: TLS. Each shipment has a key pair of its own, and the other end's is
// pinned. Blue knows everything that is not a key: UIDs, addresses, hashes.
func presentsItself(t *testing.T, w *twoShops) {
	w.redReceive.shipment(t, "receive", 1, v1alpha1.ShipmentPeer{})
	w.redSend.shipment(t, "send", 0, v1alpha1.ShipmentPeer{})
	receive, send := w.redReceive.claimed(t, "receive"), w.redSend.claimed(t, "send")
	w.redReceive.edit(t, "receive", func(s *v1alpha1.VolumeShipmentSpec) {
		s.Peer.ShipmentUID, s.Peer.KeySHA256 = string(send.UID), send.Status.Endpoint.KeySHA256
	})

	// As red's sender: blue's shipment asks for red's receiver.
	w.blueSend.shipment(t, "as-reds-sender", 1, asPeer(receive))
	// As red's receiver: red's sender was led to blue's shipment, and knows the key
	// that it wants to see. Blue's receiver would take whatever comes.
	w.blueReceive.shipment(t, "as-reds-receiver", 1, v1alpha1.ShipmentPeer{})
	trap := w.blueReceive.claimed(t, "as-reds-receiver")
	led := asPeer(receive)
	led.ShipmentUID = string(trap.UID)
	w.redSend.shipment(t, "led-astray", 1, led)
	astray := w.redSend.claimed(t, "led-astray")
	w.blueReceive.edit(t, "as-reds-receiver", func(s *v1alpha1.VolumeShipmentSpec) {
		s.Peer.ShipmentUID, s.Peer.KeySHA256 = string(astray.UID), astray.Status.Endpoint.KeySHA256
	})

	w.blueSend.saying(t, "as-reds-sender", v1alpha1.ShipmentShipped, metav1.ConditionFalse, v1alpha1.ReasonPeerKeyMismatch)
	w.redSend.saying(t, "led-astray", v1alpha1.ShipmentShipped, metav1.ConditionFalse, v1alpha1.ReasonPeerKeyMismatch)
	w.redReceive.gotNothing(t, "receive")
	w.blueReceive.gotNothing(t, "as-reds-receiver")

	// Red's own pair of shipments goes through all the same.
	w.redSend.edit(t, "send", func(s *v1alpha1.VolumeShipmentSpec) {
		p := asPeer(receive)
		p.ClusterID = s.Peer.ClusterID
		s.Peer, s.Sync = p, 1
	})
	w.redReceive.saying(t, "receive", v1alpha1.ShipmentShipped, metav1.ConditionTrue, v1alpha1.ReasonShipped)
}

// Layer: the kubelet and the agent. A claim can name any volume, but the volume
// names its claim too.
func namesAnothersVolume(t *testing.T, w *twoShops) {
	volume := w.redSend.claim.Spec.VolumeName
	put(t, w.blueShop.a, blue, `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stolen}
spec:
  storageClassName: lab-local
  volumeName: `+volume+`
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}`)
	// A pod can name its node too, so that no scheduler waits for the claim.
	put(t, w.blueShop.a, blue, `apiVersion: v1
kind: Pod
metadata: {name: thief, labels: {kubectl-motion.dev/mount-pod: "true"}}
spec:
  nodeName: lab-a-node-1
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: c
      image: registry.k8s.io/pause:3.10.1
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: v, mountPath: /v, subPath: "."}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: stolen}}]`)
	claim, err := w.blueShop.a.Kube.CoreV1().PersistentVolumeClaims(blue).Get(t.Context(), "stolen", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	thief := w.blueSend
	thief.claim = claim
	thief.shipment(t, "thief", 1, v1alpha1.ShipmentPeer{})
	said := thief.saying(t, "thief", v1alpha1.ShipmentAssigned, metav1.ConditionFalse, v1alpha1.ReasonClaimMismatch)
	if !strings.Contains(said, "PVC stolen is not bound") {
		t.Errorf("the agent says %q", said)
	}
	pod, err := w.blueShop.a.Kube.CoreV1().Pods(blue).Get(t.Context(), "thief", metav1.GetOptions{})
	if err != nil || pod.Status.Phase != corev1.PodPending {
		t.Errorf("the pod is %s, error %v", pod.Status.Phase, err)
	}
	if s := thief.now(t, "thief"); s.Status.Endpoint != nil {
		t.Errorf("the agent offers an endpoint: %+v", s.Status.Endpoint)
	}
	w.redShop.pod(t, w.redShop.a)
	if got := w.redShop.on(t, w.redShop.a, "cat /data/words"); got != "for red only\n" {
		t.Errorf("red's volume says %q", got)
	}
}

// listening counts the connections that reach an address of this machine.
func listening(t *testing.T, ip string) (address string, count *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	count = &atomic.Int32{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), count
}

// machineAddress is this machine's address as the nodes of a cluster see it.
func machineAddress(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	conn, err := net.Dial("udp", apiServer(t, c))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// apiServer is the host:port pair of a cluster's API server.
func apiServer(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	u, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// Layer: the agent, by the administrator's MotionPolicy.
func anotherAddress(t *testing.T, w *twoShops) {
	here, count := listening(t, machineAddress(t, w.blueShop.a))
	conn, err := dialFrom(t, "lab-a/node-1", here)
	if err != nil {
		t.Fatalf("the node could reach the address, if it were to: %v", err)
	}
	_ = conn.Close()
	await(t, "the node's own connection", func() error {
		if count.Load() != 1 {
			return fmt.Errorf("%d connections", count.Load())
		}
		return nil
	})
	w.blueSend.shipment(t, "elsewhere", 1, v1alpha1.ShipmentPeer{
		ShipmentUID: "22222222-2222-2222-2222-222222222222", KeySHA256: strings.Repeat("ab", 32),
		Addresses: []string{here, "127.0.0.1:10250", "[::1]:10250", "169.254.169.254:80", apiServer(t, w.blueShop.a), "localhost:10250", "kubernetes.default.svc:443"},
	})
	said := w.blueSend.saying(t, "elsewhere", v1alpha1.ShipmentShipped, metav1.ConditionFalse, v1alpha1.ReasonAddressNotAllowed)
	if !strings.Contains(said, here) {
		t.Errorf("the agent does not name the address: %q", said)
	}
	if n := count.Load(); n != 1 {
		t.Errorf("the agent dialled the address %d times", n-1)
	}
}

// Layer: the agent, by the administrator's MotionPolicies, of which none is about
// the namespace.
func TestANamespaceThatNoPolicySelectsShipsNothing(t *testing.T) {
	site(t, blue)
	const ns = "e2e-nobodys"
	a, b := as(t, "lab-a"), as(t, "lab-b")
	for _, c := range []*cluster.Cluster{a, b} {
		_, err := c.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	reset(t, ns)
	t.Cleanup(func() {
		for _, c := range []*cluster.Cluster{a, b} {
			_ = c.Kube.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), ns, metav1.DeleteOptions{})
		}
	})
	s := &shop{namespace: ns, a: a, b: b}
	put(t, a, ns, strings.ReplaceAll(shopManifest, "CLASS", "lab-local"))
	s.pod(t, a)
	refused(t, 1, []string{"PolicyDenied", "ask an administrator to allow it"},
		"migrate", "--context", "lab-a", "-n", ns, "--to-context", "lab-b", "--cutover", "--progress", "plain")
	s.runsOnly(t, a, b)
	s.untouched(t)
	send, receive := s.shipments(t)
	for _, e := range []*v1alpha1.VolumeShipment{send, receive} {
		if e.Status.VerifiedSync != 0 || e.Status.Statistics.SentBytes != 0 {
			t.Errorf("shipment %s did something: %+v", e.Name, e.Status)
		}
	}
}

// Layer: the listener and TLS. The port of an agent is open to whoever reaches
// the node, and tells nothing to whoever holds no shipment's key.
func provesNothing(t *testing.T, w *twoShops) {
	receive := w.blueReceive
	receive.shipment(t, "waiting", 1, v1alpha1.ShipmentPeer{ShipmentUID: "22222222-2222-2222-2222-222222222222", KeySHA256: strings.Repeat("ab", 32)})
	waiting := receive.claimed(t, "waiting")
	receive.saying(t, "waiting", v1alpha1.ShipmentShipped, metav1.ConditionUnknown, v1alpha1.ReasonWaitingForPeer)
	address := waiting.Status.Endpoint.Addresses[0]
	key, err := link.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	// One that an agent served, and that is over.
	receive.shipment(t, "over", 1, v1alpha1.ShipmentPeer{ShipmentUID: "22222222-2222-2222-2222-222222222222", KeySHA256: strings.Repeat("ab", 32)})
	over := receive.claimed(t, "over")
	if err := receive.c.Resource(v1alpha1.VolumeShipments, blue).Delete(t.Context(), "over", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the shipment", func() error {
		_, err := cluster.Get[v1alpha1.VolumeShipment](t.Context(), receive.c, v1alpha1.VolumeShipments, blue, "over")
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	for _, c := range []struct {
		what, uid, from string
		// tls: it is the pin that refuses, and nothing before it.
		tls bool
	}{
		{"a shipment that does not exist", "33333333-3333-3333-3333-333333333333", "lab-a/node-1", false},
		{"a shipment that is over", string(over.UID), "lab-a/node-1", false},
		{"no shipment's UID", strings.Repeat("x", link.MaxUID), "lab-a/node-1", false},
		{"the shipment, from an address that the policy does not know", string(waiting.UID), "lab-b/node-2", false},
		{"the shipment, with a key that it does not know", string(waiting.UID), "lab-a/node-1", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			raw, err := dialFrom(t, c.from, address)
			if err != nil {
				t.Fatal(err)
			}
			got, err := link.Dial(t.Context(), raw, link.Local{Key: key, UID: "22222222-2222-2222-2222-222222222222", Role: link.Sender, Sync: 1},
				link.Peer{UID: c.uid, KeySHA256: waiting.Status.Endpoint.KeySHA256})
			if err == nil {
				_ = got.Close()
				t.Fatal("the agent took the connection for its peer's")
			}
			if errors.Is(err, link.ErrWrongKey) != c.tls {
				t.Errorf("refused at another place: %v", err)
			}
		})
	}
	t.Run("words that are no shipment's", func(t *testing.T) {
		for _, c := range []struct {
			what string
			say  func(net.Conn) error
		}{
			{"nothing", func(net.Conn) error { return nil }},
			{"half a preface", func(c net.Conn) error { _, err := c.Write([]byte("KMOTION\x00\x01")); return err }},
			{"HTTP", func(c net.Conn) error {
				_, err := c.Write([]byte("GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n" + strings.Repeat(" ", 80)))
				return err
			}},
			{"TLS without a preface", func(c net.Conn) error {
				err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context()) //nolint:gosec // nothing is believed
				if err == nil {
					return errors.New("a handshake succeeded")
				}
				return nil
			}},
		} {
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				conn, err := dialFrom(t, "lab-a/node-1", address)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.say(conn); err != nil {
					t.Fatal(err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(patience))
				if got, err := io.ReadAll(conn); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the agent answered %q, error %v; want the end of the connection", got, err)
				}
			})
		}
	})
	receive.gotNothing(t, "waiting")
}
