// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"net"
	"time"
)

const (
	// pollInterval is how often the connections are looked at.
	pollInterval = 50 * time.Millisecond
	// fastEnough is the rate, in bytes per second, beyond which compressing would be what
	// everybody waits for.
	fastEnough = 250 << 20
	// farAway is a round trip in microseconds that no fast local link has.
	farAway = 2000
)

// traffic is what the kernel knows of a connection: how long it had something to send, how
// long of that the receiver would not take more, and what went through.
type traffic struct {
	busy, refused time.Duration
	bytes         uint64
	trip          uint32
}

func (t traffic) plus(u traffic) traffic {
	return traffic{t.busy + u.busy, t.refused + u.refused, t.bytes + u.bytes, max(t.trip, u.trip)}
}

// narrow says whether between two looks it was the network that the data waited for: neither
// us, nor the receiver, nor is it fast anyway.
func narrow(before, after traffic, took time.Duration, connections int) bool {
	busy, refused := after.busy-before.busy, after.refused-before.refused
	rate := float64(after.bytes-before.bytes) / took.Seconds()
	return busy > took/2*time.Duration(connections)/2 && refused < busy/4 && rate < fastEnough
}

// watch keeps telling the pass whether the network is narrow.
func (x *sendSession) watch(conns []net.Conn) {
	if x.o.Bandwidth > 0 {
		return // we are what is narrow
	}
	look := func() (sum traffic) {
		for _, c := range conns {
			t, ok := trafficOf(c)
			if !ok {
				return traffic{}
			}
			sum = sum.plus(t)
		}
		return sum
	}
	before, at := look(), time.Now()
	x.pass.Narrow(before.trip > farAway)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-x.ctx.Done():
			return
		}
		if x.pass.Waiting() == 0 {
			before, at = look(), time.Now()
			continue // nothing waits
		}
		after, now := look(), time.Now()
		x.pass.Narrow(narrow(before, after, now.Sub(at), len(conns)))
		before, at = after, now
	}
}
