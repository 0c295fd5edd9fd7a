// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import (
	"errors"
	"strings"
	"testing"
)

func TestTheWayIsChosenByWhatIsOpenAndSaysWhy(t *testing.T) {
	const noAddress, noRelay = "no address is published", "no policy says relay"
	for name, c := range map[string]struct {
		ways  Ways
		asked Mode
		want  Mode // empty: refused
		words []string
	}{
		"directly, with the relay in reserve":       {Ways{At: "port 31747"}, Auto, Direct, []string{"at port 31747", "by the relay, when no address answers"}},
		"directly, with nothing in reserve":         {Ways{NotByRelay: noRelay}, Auto, Direct, []string{"none: " + noRelay}},
		"by the relay at once, where none is there": {Ways{NotDirect: noAddress}, Auto, Relay, []string{noAddress}},
		"not at all, where neither is open":         {Ways{NotDirect: noAddress, NotByRelay: noRelay}, Auto, "", []string{noAddress, noRelay, "--endpoint", "pair --relay"}},
		"directly, as asked for":                    {Ways{NotByRelay: noRelay}, Direct, Direct, []string{"asked for"}},
		"not directly although asked for":           {Ways{NotDirect: noAddress}, Direct, "", []string{noAddress, "--load-balancer"}},
		"by the relay, as asked for":                {Ways{}, Relay, Relay, []string{"asked for"}},
		"not by the relay although asked for":       {Ways{NotByRelay: noRelay}, Relay, "", []string{noRelay, "pair --relay"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.ways.Choose(c.asked)
			said := got.Why + " " + got.Otherwise
			if no := (*NoRouteError)(nil); errors.As(err, &no) {
				said = no.Message + " " + no.Hint
			}
			if got.Route != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%+v, error %v; want %q", got, err, c.want)
			}
			for _, w := range c.words {
				if !strings.Contains(said, w) {
					t.Errorf("it is not said that %q: %q", w, said)
				}
			}
		})
	}
}
