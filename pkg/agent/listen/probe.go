// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// ProbeUID stands in the preface of a probe. No object has this UID.
const ProbeUID = "probe"

const (
	probeGreeting = "kubectl-motion "
	maxAnswer     = 512
)

// answerProbe tells a probe who it is seen as: between two clusters addresses
// are translated, and policies are about what arrives. It says nothing that the
// dialler could not find out by other means.
func (s *Server) answerProbe(conn net.Conn) {
	answer := "unknown"
	if s.probe != nil {
		answer = s.probe(remoteAddr(conn))
	}
	_, _ = fmt.Fprintf(conn, "%s%s\n", probeGreeting, answer)
}

// Answer is what an agent says to a probe.
type Answer struct {
	// SeenAs is the address that the agent sees the dialler at.
	SeenAs netip.Addr
	// Accepted says whether any policy there accepts connections from it.
	Accepted bool
}

// Words of an answer: <address> accepted, <address> refused.
const (
	wordAccepted = "accepted"
	wordRefused  = "refused"
)

// FormatAnswer is what a probe function of New returns.
func FormatAnswer(a Answer) string {
	if a.Accepted {
		return a.SeenAs.String() + " " + wordAccepted
	}
	return a.SeenAs.String() + " " + wordRefused
}

// errNoAgent is returned by Probe when something else answers.
var errNoAgent = errors.New("no agent of kubectl-motion answers there")

// Probe asks the agent at address, a host:port pair, how it sees the caller.
func Probe(ctx context.Context, address string, timeout time.Duration) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	hello, err := link.AppendPreface(nil, link.Preface{Version: link.Version, TargetUID: ProbeUID})
	if err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write(hello); err != nil {
		return Answer{}, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil && len(text) == 0 {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return Answer{}, err
	}
	return parseAnswer(string(text))
}

func parseAnswer(text string) (Answer, error) {
	rest, ok := strings.CutPrefix(text, probeGreeting)
	fields := strings.Fields(rest)
	if !ok || !strings.HasSuffix(text, "\n") || len(fields) != 2 {
		return Answer{}, errNoAgent
	}
	ip, err := netip.ParseAddr(fields[0])
	if err != nil || (fields[1] != wordAccepted && fields[1] != wordRefused) {
		return Answer{}, errNoAgent
	}
	return Answer{SeenAs: ip, Accepted: fields[1] == wordAccepted}, nil
}
