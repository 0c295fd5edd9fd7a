// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"net"
	"time"
)

const (
	// pollInterval is how often the kernel's statistics of the connections are read.
	pollInterval = 50 * time.Millisecond
	// fastEnough is the rate, in bytes per second, beyond which compression would be the
	// bottleneck.
	fastEnough = 250 << 20
	// longTrip is a round trip, in microseconds, that no fast local link has.
	longTrip = 2000
)

// traffic is the kernel's statistics of a connection.
type traffic struct {
	busy   time.Duration // it had something to send
	closed time.Duration // of that, the receiver's window was closed
	bytes  uint64        // acknowledged
	trip   uint32        // round trip in microseconds
}

func (t traffic) plus(u traffic) traffic {
	return traffic{t.busy + u.busy, t.closed + u.closed, t.bytes + u.bytes, max(t.trip, u.trip)}
}

// congested reports whether between two samples the data waited for the network: neither for
// this end nor for the receiver, and it is not fast anyway.
func congested(before, after traffic, took time.Duration, connections int) bool {
	busy, closed := after.busy-before.busy, after.closed-before.closed
	rate := float64(after.bytes-before.bytes) / took.Seconds()
	return busy > took/2*time.Duration(connections)/2 && closed < busy/4 && rate < fastEnough
}

// watchCongestion reports to the pass, until the session ends, whether the network is the
// bottleneck.
func (x *sendSession) watchCongestion(conns []net.Conn) {
	if x.o.Bandwidth > 0 {
		return // our own limit is the bottleneck
	}
	sample := func() (sum traffic) {
		for _, c := range conns {
			t, ok := trafficOf(c)
			if !ok {
				return traffic{}
			}
			sum = sum.plus(t)
		}
		return sum
	}
	before, at := sample(), time.Now()
	x.pass.Narrow(before.trip > longTrip)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-x.ctx.Done():
			return
		}
		if x.pass.Waiting() == 0 {
			before, at = sample(), time.Now()
			continue
		}
		after, now := sample(), time.Now()
		x.pass.Narrow(congested(before, after, now.Sub(at), len(conns)))
		before, at = after, now
	}
}
