// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

const (
	blue = "6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11"
	red  = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
	// patience bounds waits for what must happen; nothing depends on its length.
	timeout = 10 * time.Second
)

// serve runs a server on loopback until the test ends.
func serve(t *testing.T, limits Limits, probe func(netip.Addr) string) (*Server, string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(limits, probe, slog.New(slog.DiscardHandler))
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

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func ask(t *testing.T, conn net.Conn, uid string) {
	t.Helper()
	p, err := link.AppendPreface(nil, link.Preface{Version: link.Version, TargetUID: uid})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(p); err != nil {
		t.Fatal(err)
	}
}

// wantClosed waits until the server has closed the connection. A server that
// leaves it open lets the read run into its deadline.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatalf("the connection is still open: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

type arrival struct {
	conn    net.Conn
	preface link.Preface
	release func()
}

func collect(t *testing.T) (Handler, chan arrival) {
	t.Helper()
	arrivals := make(chan arrival, 16)
	return func(conn net.Conn, p link.Preface, release func()) {
		t.Cleanup(func() { _ = conn.Close() })
		arrivals <- arrival{conn, p, release}
	}, arrivals
}

func receive(t *testing.T, c chan arrival) arrival {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(timeout):
		t.Fatal("no connection arrived")
		return arrival{}
	}
}

func TestAConnectionReachesTheShipmentItAsksForAndKeepsItsBytes(t *testing.T) {
	s, address := serve(t, DefaultLimits(), nil)
	toBlue, blues := collect(t)
	toRed, reds := collect(t)
	s.Route(blue, toBlue)
	s.Route(red, toRed)
	conn := dial(t, address)
	ask(t, conn, red)
	if _, err := conn.Write([]byte("what follows the preface")); err != nil {
		t.Fatal(err)
	}
	a := receive(t, reds)
	got := make([]byte, 24)
	if _, err := io.ReadFull(a.conn, got); err != nil || string(got) != "what follows the preface" {
		t.Errorf("%q, %v", got, err)
	}
	if a.preface.TargetUID != red {
		t.Errorf("preface of %s", a.preface.TargetUID)
	}
	if len(blues) != 0 {
		t.Error("the other shipment got a connection, too")
	}
}

func TestAConnectionForAShipmentOfAnotherNodeIsClosed(t *testing.T) {
	_, address := serve(t, DefaultLimits(), nil)
	conn := dial(t, address)
	ask(t, conn, blue)
	wantClosed(t, conn)
}

func TestARemovedRouteTakesNothing(t *testing.T) {
	s, address := serve(t, DefaultLimits(), nil)
	h, _ := collect(t)
	remove := s.Route(blue, h)
	remove()
	conn := dial(t, address)
	ask(t, conn, blue)
	wantClosed(t, conn)
}

func TestRemovingAnOldRouteLeavesTheNewOne(t *testing.T) {
	s, address := serve(t, DefaultLimits(), nil)
	old, _ := collect(t)
	h, arrivals := collect(t)
	remove := s.Route(blue, old)
	s.Route(blue, h)
	remove()
	ask(t, dial(t, address), blue)
	receive(t, arrivals)
}

func TestWhatIsNoShipmentsConnectionIsClosed(t *testing.T) {
	_, address := serve(t, DefaultLimits(), nil)
	conn := dial(t, address)
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: node\r\nX: 0123456789012345678901234567890123456789012345678901234567890\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, conn)
}

func TestHalfOpenConnectionsAreBoundedInAllAndPerAddress(t *testing.T) {
	cases := map[string]Limits{
		"in all":      {HalfOpen: 2, HalfOpenPerAddress: 100, PerSecond: 1000, Burst: 1000, BurstPerAddress: 1000},
		"per address": {HalfOpen: 100, HalfOpenPerAddress: 2, PerSecond: 1000, Burst: 1000, BurstPerAddress: 1000},
	}
	for name, limits := range cases {
		t.Run(name, func(t *testing.T) {
			s, address := serve(t, limits, nil)
			h, arrivals := collect(t)
			s.Route(blue, h)
			first, second := dial(t, address), dial(t, address)
			ask(t, first, blue)
			ask(t, second, blue)
			a, b := receive(t, arrivals), receive(t, arrivals)
			// Both have said whom they want, neither has proved it.
			wantClosed(t, dial(t, address))
			a.release()
			a.release() // counts once
			third := dial(t, address)
			ask(t, third, blue)
			receive(t, arrivals)
			wantClosed(t, dial(t, address))
			b.release()
		})
	}
}

func TestConnectionsPerSecondAreBounded(t *testing.T) {
	s, address := serve(t, Limits{HalfOpen: 100, HalfOpenPerAddress: 100, PerSecond: 0, Burst: 1, BurstPerAddress: 100}, nil)
	h, arrivals := collect(t)
	s.Route(blue, h)
	conn := dial(t, address)
	ask(t, conn, blue)
	receive(t, arrivals)
	wantClosed(t, dial(t, address))
}

func TestConnectionsThatSayNothingAreClosedWhenTheServerStops(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(DefaultLimits(), nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	h, arrivals := collect(t)
	s.Route(blue, h)
	silent := dial(t, l.Addr().String())
	// A second connection, served, proves that the first was taken in before it.
	ask(t, dial(t, l.Addr().String()), blue)
	receive(t, arrivals)
	cancel()
	wantClosed(t, silent)
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestAProbeLearnsHowItIsSeen(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		_, address := serve(t, DefaultLimits(), func(from netip.Addr) string {
			return FormatAnswer(Answer{SeenAs: from, Accepted: accepted})
		})
		got, err := Probe(t.Context(), address, timeout)
		if want := (Answer{SeenAs: netip.MustParseAddr("127.0.0.1"), Accepted: accepted}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
}

func TestOnlyAnAgentsAnswerIsTakenForOne(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1 400 Bad Request\r\n", "kubectl-motion 10.0.0.1 accepted", "kubectl-motion accepted\n", "kubectl-motion 10.0.0.1 maybe\n", "kubectl-motion ten accepted\n"} {
		if a, err := parseAnswer(text); err == nil {
			t.Errorf("%q is taken for %+v", text, a)
		}
	}
}

func TestAProbeMeasuresTheRateAtWhichBytesArrive(t *testing.T) {
	for text, want := range map[string]bool{
		"kubectl-motion 192.0.2.1 accepted 1048576 1000\n": true,
		"kubectl-motion 192.0.2.1 accepted 1048576 1000":   false,
		"kubectl-motion 192.0.2.1 accepted -1 1000\n":      false,
		"HTTP/1.1 400 Bad Request\n":                       false,
		"":                                                 false,
	} {
		if rate, err := parseRate(text); (err == nil) != want || (want && rate != 1048576*1000) {
			t.Errorf("%q: %d, %v", text, rate, err)
		}
	}
	for word, measured := range map[string]bool{statusAccepted: true, wordRefused: false} {
		_, address := serve(t, DefaultLimits(), func(a netip.Addr) string { return a.String() + " " + word })
		rate, err := MeasureRate(t.Context(), address, timeout)
		if got := err == nil && rate > 0; got != measured {
			t.Errorf("%s: rate %d, error %v", word, rate, err)
		}
	}
}
