// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/metrics"
)

// Limits of connections that have not authenticated themselves.
type Limits struct {
	// HalfOpen connections in all, and from one address.
	HalfOpen, HalfOpenPerAddress int
	// PerSecond connections are accepted, after a Burst; and from one address.
	PerSecond, Burst                     int
	PerSecondPerAddress, BurstPerAddress int
	// Strangers are the addresses that no policy accepts: how many connections of theirs
	// are half-open, and accepted in a second.
	StrangersHalfOpen, StrangersPerSecond int
	// Forwarded connections to other nodes at a time.
	Forwarded int
}

// maxAddresses bounds the addresses whose rate is remembered. An address beyond it is
// bounded by the rates of all.
const maxAddresses = 4096

// admission decides which connections are read from. It makes no request and knows
// nothing but addresses. All IPv6 addresses of a /64 count as one. Addresses that
// nothing accepts have a budget of their own, so that they cannot keep peers out.
type admission struct {
	limits Limits
	// known reports whether an address is expected; nil: all are.
	known func(netip.Addr) bool
	now   func() time.Time

	peers, strangers *rate.Limiter

	mu                sync.Mutex
	halfOpen          int
	strangersHalfOpen int
	perAddr           map[netip.Prefix]int
	rates             map[netip.Prefix]*addressRate
}

type addressRate struct {
	limiter *rate.Limiter
	used    time.Time
}

func newAdmission(l Limits) *admission {
	return &admission{
		limits: l, now: time.Now,
		peers:     rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst),
		strangers: rate.NewLimiter(rate.Limit(l.StrangersPerSecond), l.StrangersPerSecond),
		perAddr:   map[netip.Prefix]int{}, rates: map[netip.Prefix]*addressRate{},
	}
}

// network is what counts as one address.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// admit counts a connection from an address as half-open until release. It is false
// when there are too many.
func (a *admission) admit(addr netip.Addr) (release func(), ok bool) {
	stranger := a.known != nil && !a.known(addr)
	from := network(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	limiter := a.peers
	if stranger {
		limiter = a.strangers
	}
	switch {
	case a.halfOpen >= a.limits.HalfOpen, a.perAddr[from] >= a.limits.HalfOpenPerAddress,
		stranger && a.strangersHalfOpen >= a.limits.StrangersHalfOpen, !a.allowAddress(from), !limiter.AllowN(a.now(), 1):
		return nil, false
	}
	a.halfOpen++
	a.perAddr[from]++
	if stranger {
		a.strangersHalfOpen++
	}
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.halfOpen--
		if stranger {
			a.strangersHalfOpen--
		}
		if a.perAddr[from]--; a.perAddr[from] == 0 {
			delete(a.perAddr, from)
		}
	}), true
}

// allowAddress is the rate of one address.
func (a *admission) allowAddress(from netip.Prefix) bool {
	now := a.now()
	r := a.rates[from]
	if r == nil {
		if len(a.rates) >= maxAddresses {
			a.forgetIdle(now)
		}
		if len(a.rates) >= maxAddresses {
			return true
		}
		r = &addressRate{limiter: rate.NewLimiter(rate.Limit(a.limits.PerSecondPerAddress), a.limits.BurstPerAddress)}
		a.rates[from] = r
	}
	r.used = now
	return r.limiter.AllowN(now, 1)
}

// forgetIdle forgets the addresses whose bursts are full again.
func (a *admission) forgetIdle(now time.Time) {
	for from, r := range a.rates {
		if now.Sub(r.used) > 10*time.Second {
			delete(a.rates, from)
		}
	}
}

// admit counts a connection as half-open until release, unless there are too many.
func (s *Server) admit(conn net.Conn) (release func(), ok bool) {
	from := remoteAddr(conn)
	if release, ok = s.admission.admit(from); !ok {
		s.count.Refused(metrics.TooMany)
		s.log.Debug("connection rejected: too many unauthenticated connections", "from", from)
	}
	return release, ok
}
