// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// cluster answers for a network in which everybody on loopback is of one kind.
type cluster struct {
	kind    protocol.Via
	mu      sync.Mutex
	serving map[string]string
	asked   int
}

func (c *cluster) Serving(_ context.Context, uid string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.serving[uid], nil
}

func (c *cluster) questions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func (c *cluster) Kind(_ context.Context, addr netip.Addr) (protocol.Via, bool) {
	return c.kind, c.kind != 0 && addr.IsLoopback()
}

// node runs a server that passes on.
func node(t *testing.T, limits Limits, peers Peers, self protocol.Via) (*Server, string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(limits, nil, slog.New(slog.DiscardHandler))
	s.Forward(peers, self)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func say(t *testing.T, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func offerTo(t *testing.T, uid string) []byte {
	t.Helper()
	b, err := protocol.AppendOffer(nil, uid)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAConnectionAtTheWrongNodeIsPassedOnWithItsOrigin(t *testing.T) {
	serves, there := node(t, DefaultLimits(), &cluster{kind: protocol.Agent}, protocol.Agent)
	_, here := node(t, DefaultLimits(), &cluster{serving: map[string]string{blue: there}}, protocol.Agent)
	h, arrivals := collect(t)
	serves.Route(blue, h)

	conn := dial(t, here)
	ask(t, conn, blue)
	say(t, conn, []byte("there"))
	got := receive(t, arrivals)
	got.release()
	if from := OriginOf(got.conn); from.Relay || from.Addr != netip.MustParseAddr("127.0.0.1") || got.preface.TargetUID != blue {
		t.Errorf("it came from %s for %s", from, got.preface.TargetUID)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(got.conn, buf); err != nil || string(buf) != "there" {
		t.Errorf("%q, %v", buf, err)
	}
	say(t, got.conn, []byte("back!"))
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "back!" {
		t.Errorf("%q, %v", buf, err)
	}
	_ = got.conn.Close()
	wantClosed(t, conn)
}

func TestAConnectionThatWasPassedOnIsNotPassedOnAgain(t *testing.T) {
	// Each of two nodes takes the other for the one that serves the shipment.
	one, two := &cluster{kind: protocol.Agent, serving: map[string]string{}}, &cluster{kind: protocol.Agent, serving: map[string]string{}}
	_, first := node(t, DefaultLimits(), one, protocol.Agent)
	_, second := node(t, DefaultLimits(), two, protocol.Agent)
	one.mu.Lock()
	one.serving[blue] = second
	one.mu.Unlock()
	two.mu.Lock()
	two.serving[blue] = first
	two.mu.Unlock()
	conn := dial(t, first)
	ask(t, conn, blue)
	wantClosed(t, conn)
	if a, b := one.questions(), two.questions(); a != 1 || b != 0 {
		t.Errorf("asked %d and %d times where to pass it on to", a, b)
	}
}

func TestAWordAboutAnOriginIsTakenFromTheClustersOwnPodsOnly(t *testing.T) {
	said := protocol.AppendHeader(nil, protocol.Header{Via: protocol.Agent, From: netip.MustParseAddr("192.0.2.7")})
	relayed := protocol.AppendHeader(nil, protocol.Header{Via: protocol.Relay})
	for what, c := range map[string]struct {
		peers Peers
		words []byte
	}{
		"a stranger that says it is an agent":         {&cluster{}, said},
		"a stranger that says it is the relay":        {&cluster{}, relayed},
		"an agent that says it is the relay":          {&cluster{kind: protocol.Agent}, relayed},
		"the relay that says it is an agent":          {&cluster{kind: protocol.Relay}, said},
		"a header, to a listener that has no peers":   {nil, said},
		"two headers, one behind the other":           {&cluster{kind: protocol.Agent}, append(append([]byte{}, said...), said...)},
		"a header with nothing that it could be from": {&cluster{kind: protocol.Agent}, protocol.AppendHeader(nil, protocol.Header{Via: protocol.Agent})},
	} {
		t.Run(what, func(t *testing.T) {
			s, address := node(t, DefaultLimits(), c.peers, protocol.Agent)
			if c.peers == nil {
				s.peers = nil
			}
			h, arrivals := collect(t)
			s.Route(blue, h)
			conn := dial(t, address)
			say(t, conn, c.words)
			ask(t, conn, blue)
			wantClosed(t, conn)
			if len(arrivals) != 0 {
				t.Error("the connection reached the shipment")
			}
		})
	}
}

func TestAnOfferReachesASenderByTheRelayOnly(t *testing.T) {
	sender, there := node(t, DefaultLimits(), &cluster{kind: protocol.Relay}, protocol.Agent)
	_, relay := node(t, DefaultLimits(), &cluster{serving: map[string]string{blue: there}}, protocol.Relay)
	h, arrivals := collect(t)
	sender.RouteOffers(blue, h)

	direct := dial(t, there)
	say(t, direct, offerTo(t, blue))
	wantClosed(t, direct)
	asReceiver := dial(t, relay)
	ask(t, asReceiver, blue) // a connection for a receiver of that UID
	wantClosed(t, asReceiver)
	if len(arrivals) != 0 {
		t.Fatal("an offer without the relay's header, or none at all, reached the sender")
	}

	conn := dial(t, relay)
	say(t, conn, offerTo(t, blue))
	got := receive(t, arrivals)
	got.release()
	if !OriginOf(got.conn).Relay {
		t.Errorf("it came from %s", OriginOf(got.conn))
	}
	say(t, got.conn, []byte("hello"))
	buf := make([]byte, 5)
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q, %v", buf, err)
	}
}

func TestThereIsABoundOnWhatIsPassedOn(t *testing.T) {
	serves, there := node(t, DefaultLimits(), &cluster{kind: protocol.Agent}, protocol.Agent)
	limits := DefaultLimits()
	limits.Forwarded = 1
	_, here := node(t, limits, &cluster{serving: map[string]string{blue: there, red: there}}, protocol.Agent)
	h, arrivals := collect(t)
	serves.Route(blue, h)
	serves.Route(red, h)
	first := dial(t, here)
	ask(t, first, blue)
	receive(t, arrivals)
	second := dial(t, here)
	ask(t, second, red)
	wantClosed(t, second)
	_ = first.Close()
}

// A connection that is passed on must not count as half-open for as long as it
// lives; one whose shipment nobody serves must not be kept.
func TestAConnectionForNobodyIsClosedByTheRelayToo(t *testing.T) {
	_, relay := node(t, DefaultLimits(), &cluster{}, protocol.Relay)
	for _, words := range [][]byte{offerTo(t, blue), mustPreface(t, blue), mustPreface(t, ProbeUID)[:20]} {
		conn := dial(t, relay)
		say(t, conn, words)
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
		wantClosed(t, conn)
	}
}

func mustPreface(t *testing.T, uid string) []byte {
	t.Helper()
	b, err := link.AppendPreface(nil, link.Preface{Version: link.Version, TargetUID: uid})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARelayMeasuresTheWayToItAndAnAgentDoesNot(t *testing.T) {
	for self, measures := range map[protocol.Via]bool{protocol.Relay: true, protocol.Agent: false} {
		t.Run(self.String(), func(t *testing.T) {
			_, address := node(t, DefaultLimits(), &cluster{}, self)
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			say(t, conn, protocol.AppendRate(nil))
			_, _ = conn.Write(make([]byte, 1<<20)) // an agent may have hung up
			_ = conn.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(conn)
			rate, err := protocol.ParseRateAnswer(answer)
			if (err == nil) != measures || (rate > 0) != measures {
				t.Errorf("answers %q: %d bytes a second, %v", answer, rate, err)
			}
		})
	}
}
