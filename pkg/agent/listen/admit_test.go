// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"net/netip"
	"testing"
	"time"
)

// startAdmission is an admission whose clock stands still, and that knows 192.0.2.0/24.
func startAdmission(l Limits) *admission {
	a := newAdmission(l)
	a.now = func() time.Time { return time.Unix(1000, 0) }
	peers := netip.MustParsePrefix("192.0.2.0/24")
	a.known = peers.Contains
	return a
}

// admitted is how many of n connections from addr are accepted, released at once or held.
func admitted(a *admission, addr string, n int, hold bool) int {
	count := 0
	for range n {
		if release, ok := a.admit(netip.MustParseAddr(addr)); ok {
			count++
			if !hold {
				release()
			}
		}
	}
	return count
}

func TestAdmission(t *testing.T) {
	t.Run("one address does not use up the rate of all", func(t *testing.T) {
		a := startAdmission(DefaultLimits())
		if n := admitted(a, "192.0.2.1", 10_000, false); n != a.limits.BurstPerAddress {
			t.Errorf("%d of one address are accepted", n)
		}
		if n := admitted(a, "192.0.2.2", 10, false); n != 10 {
			t.Errorf("%d of 10 of another address are accepted", n)
		}
	})
	t.Run("strangers do not keep peers out by their rate", func(t *testing.T) {
		a := startAdmission(DefaultLimits())
		total := 0
		for i := range 200 {
			total += admitted(a, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String(), 100, false)
		}
		if total != a.limits.StrangersPerSecond {
			t.Errorf("%d connections of strangers are accepted", total)
		}
		if n := admitted(a, "192.0.2.1", 100, false); n != 100 {
			t.Errorf("%d of 100 of a peer are accepted", n)
		}
	})
	t.Run("strangers do not keep peers out by holding connections", func(t *testing.T) {
		l := DefaultLimits()
		l.StrangersPerSecond = 10_000
		a := startAdmission(l)
		for i := range 200 {
			admitted(a, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String(), 100, true)
		}
		if a.strangersHalfOpen != l.StrangersHalfOpen {
			t.Errorf("%d connections of strangers are half-open", a.strangersHalfOpen)
		}
		if n := admitted(a, "192.0.2.1", 100, true); n != 100 {
			t.Errorf("%d of 100 of a peer are accepted", n)
		}
	})
	t.Run("a /64 of IPv6 counts as one address", func(t *testing.T) {
		a := startAdmission(DefaultLimits())
		a.known = nil
		total := 0
		for _, addr := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
			total += admitted(a, addr, 100, true)
		}
		if total != a.limits.HalfOpenPerAddress {
			t.Errorf("%d connections of one /64 are half-open", total)
		}
	})
	t.Run("the addresses that are remembered are bounded", func(t *testing.T) {
		a := startAdmission(DefaultLimits())
		for i := range 2 * maxAddresses {
			admitted(a, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), 1, false)
		}
		if len(a.rates) > maxAddresses || len(a.perAddr) != 0 {
			t.Errorf("%d rates, %d addresses are remembered", len(a.rates), len(a.perAddr))
		}
	})
	t.Run("a release counts once", func(t *testing.T) {
		a := startAdmission(DefaultLimits())
		release, ok := a.admit(netip.MustParseAddr("198.51.100.1"))
		if !ok {
			t.Fatal("not accepted")
		}
		release()
		release()
		if a.halfOpen != 0 || a.strangersHalfOpen != 0 {
			t.Errorf("%d half-open, %d of strangers", a.halfOpen, a.strangersHalfOpen)
		}
	})
}
