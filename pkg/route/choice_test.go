// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import (
	"errors"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	const noAddress, noRelay = "no address is published", "no policy allows the relay"
	for name, c := range map[string]struct {
		options Options
		mode    Mode
		want    Mode // empty: an error
		words   []string
	}{
		"auto_is_direct_with_the_relay_as_fallback":   {Options{Addresses: "port 31747"}, Auto, Direct, []string{"at port 31747", "relay, when no address answers"}},
		"auto_is_direct_without_fallback":             {Options{RelayProblem: noRelay}, Auto, Direct, []string{"none: " + noRelay}},
		"auto_is_the_relay_where_there_is_no_address": {Options{DirectProblem: noAddress}, Auto, Relay, []string{noAddress}},
		"auto_fails_where_neither_is_open":            {Options{DirectProblem: noAddress, RelayProblem: noRelay}, Auto, "", []string{noAddress, noRelay, "--endpoint", "--relay"}},
		"direct_is_used_when_asked_for":               {Options{RelayProblem: noRelay}, Direct, Direct, []string{"--route direct"}},
		"direct_fails_without_an_address":             {Options{DirectProblem: noAddress}, Direct, "", []string{noAddress, "--load-balancer"}},
		"relay_is_used_when_asked_for":                {Options{}, Relay, Relay, []string{"--route relay"}},
		"relay_fails_without_a_relay":                 {Options{RelayProblem: noRelay}, Relay, "", []string{noRelay, "kubectl motion pair, with --relay"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.options.Choose(c.mode)
			text := got.Reason + " " + got.Fallback
			if no := (*NoRouteError)(nil); errors.As(err, &no) {
				text = no.Message + " " + no.Hint
			}
			if got.Route != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%+v, error %v; want %q", got, err, c.want)
			}
			for _, w := range c.words {
				if !strings.Contains(text, w) {
					t.Errorf("%q is missing in %q", w, text)
				}
			}
		})
	}
}
