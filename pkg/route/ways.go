// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import "fmt"

// Ways is what can be known beforehand about the ways between two namespaces. What
// the caller may not look at keeps nobody from anything.
type Ways struct {
	// At is where the target's agents can be dialled, for people; empty when unknown.
	At string
	// NotDirect is why the source's agents certainly cannot dial the target's.
	NotDirect string
	// NotByRelay is why the relay certainly cannot be used.
	NotByRelay string
}

// Choice is the way that the data of volumes takes.
type Choice struct {
	// Route is direct or relay.
	Route Mode `json:"route"`
	// Why this one.
	Why string `json:"why"`
	// Otherwise is what comes when it turns out to be impossible.
	Otherwise string `json:"otherwise,omitempty"`
}

// NoRouteError means that no way is open which was allowed to be taken.
type NoRouteError struct{ Message, Hint string }

func (e *NoRouteError) Error() string { return e.Message }

const (
	hintDirect = "an administrator of the target makes its agents reachable (kubectl motion agent install, with --load-balancer or --endpoint), and pairs again"
	hintRelay  = "an administrator of both clusters runs: kubectl motion pair --relay"
)

// Choose decides which way comes first.
func (w Ways) Choose(asked Mode) (Choice, error) {
	switch asked {
	case Relay:
		if w.NotByRelay != "" {
			return Choice{}, &NoRouteError{Message: "the relay was asked for: " + w.NotByRelay, Hint: hintRelay}
		}
		return Choice{Route: Relay, Why: "it was asked for"}, nil
	case Direct:
		if w.NotDirect != "" {
			return Choice{}, &NoRouteError{Message: "the direct route was asked for: " + w.NotDirect, Hint: hintDirect}
		}
		return Choice{Route: Direct, Why: "it was asked for" + w.at()}, nil
	}
	switch {
	case w.NotDirect == "" && w.NotByRelay == "":
		return Choice{Route: Direct, Why: "the source's agents dial the target's" + w.at(), Otherwise: "by the relay, when no address answers"}, nil
	case w.NotDirect == "":
		return Choice{Route: Direct, Why: "the source's agents dial the target's" + w.at(), Otherwise: "none: " + w.NotByRelay}, nil
	case w.NotByRelay == "":
		return Choice{Route: Relay, Why: w.NotDirect}, nil
	}
	return Choice{}, &NoRouteError{
		Message: fmt.Sprintf("no way for the volumes' data: not directly, as %s; not by the relay, as %s", w.NotDirect, w.NotByRelay),
		Hint:    hintDirect + "; or " + hintRelay,
	}
}

func (w Ways) at() string {
	if w.At == "" {
		return ""
	}
	return ", at " + w.At
}
