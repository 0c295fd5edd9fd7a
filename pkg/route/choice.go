// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package route chooses which route the data of volumes takes: directly between the
// agents, or by the relay, which goes through both API servers (pkg/relay/client).
package route

import "fmt"

// Options is what is known beforehand about the routes between two namespaces. What
// the caller may not read rules out nothing.
type Options struct {
	// Addresses at which the target's agents can be dialled, for people; empty when
	// unknown.
	Addresses string
	// DirectProblem is why the source's agents certainly cannot dial the target's.
	DirectProblem string
	// RelayProblem is why the relay certainly cannot be used.
	RelayProblem string
}

// Choice is the route that the data of volumes takes.
type Choice struct {
	// Route is direct or relay.
	Route Mode `json:"route"`
	// Reason for this one.
	Reason string `json:"reason"`
	// Fallback is what is used when it turns out to be impossible.
	Fallback string `json:"fallback,omitempty"`
}

// NoRouteError means that no allowed route is open.
type NoRouteError struct{ Message, Hint string }

func (e *NoRouteError) Error() string { return e.Message }

const (
	hintDirect = "ask an administrator of the target to run: kubectl motion agent install, with --load-balancer or --endpoint; then pair again"
	hintRelay  = "ask an administrator of both clusters to run: kubectl motion pair, with --relay"
)

// Choose decides which route is used first.
func (o Options) Choose(mode Mode) (Choice, error) {
	switch mode {
	case Relay:
		if o.RelayProblem != "" {
			return Choice{}, &NoRouteError{Message: "--route relay: " + o.RelayProblem, Hint: hintRelay}
		}
		return Choice{Route: Relay, Reason: "--route relay"}, nil
	case Direct:
		if o.DirectProblem != "" {
			return Choice{}, &NoRouteError{Message: "--route direct: " + o.DirectProblem, Hint: hintDirect}
		}
		return Choice{Route: Direct, Reason: "--route direct" + o.at()}, nil
	}
	direct := "the source's agents dial the target's" + o.at()
	switch {
	case o.DirectProblem == "" && o.RelayProblem == "":
		return Choice{Route: Direct, Reason: direct, Fallback: "relay, when no address answers"}, nil
	case o.DirectProblem == "":
		return Choice{Route: Direct, Reason: direct, Fallback: "none: " + o.RelayProblem}, nil
	case o.RelayProblem == "":
		return Choice{Route: Relay, Reason: o.DirectProblem}, nil
	}
	return Choice{}, &NoRouteError{
		Message: fmt.Sprintf("no network route to the target's agents (%s), and no relay (%s)", o.DirectProblem, o.RelayProblem),
		Hint:    hintDirect + "; or " + hintRelay,
	}
}

func (o Options) at() string {
	if o.Addresses == "" {
		return ""
	}
	return " at " + o.Addresses
}
