// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// ProbeUID stands in the preface of a probe. No object has this UID.
const ProbeUID = "probe"

// RateUID stands in the preface of a probe that measures: bytes follow, the agent
// counts them. No object has this UID.
const RateUID = "probe-rate"

// Bounds of a measurement. A client that reaches the port can fill the node's link with
// bytes anyway; these keep the agent from taking part in it for long.
const (
	maxRateBytes = protocol.MaxRateBytes
	maxRateTime  = protocol.MaxRateTime
)

const (
	probeGreeting = "kubectl-motion "
	maxAnswer     = 512
)

// probes are what is answered here, by the UID that asks for it.
func (s *Server) probes() map[string]func(net.Conn) {
	return map[string]func(net.Conn){ProbeUID: s.answerProbe, RateUID: s.answerRate}
}

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

// answerRate counts what the dialler sends and says how long that took. One
// measurement goes on at a time, and only of diallers that a policy accepts.
func (s *Server) answerRate(conn net.Conn) {
	words := "unknown"
	if s.probe != nil {
		words = s.probe(OriginOf(conn).Addr)
	}
	if strings.HasSuffix(words, " "+statusAccepted) && s.measuring.TryLock() {
		defer s.measuring.Unlock()
		n, took := count(conn)
		_, _ = fmt.Fprintf(conn, "%s%s %d %d\n", probeGreeting, words, n, took.Microseconds())
		return
	}
	_, _ = fmt.Fprintf(conn, "%s%s 0 0\n", probeGreeting, words)
}

// count takes in what the dialler sends. One that stops early is answered with what
// came.
func count(conn net.Conn) (int64, time.Duration) {
	start := time.Now()
	_ = conn.SetReadDeadline(start.Add(2 * maxRateTime))
	n, _ := io.Copy(io.Discard, io.LimitReader(conn, maxRateBytes))
	return n, time.Since(start)
}

// answerRelayRate counts what comes through the API server to the relay. RBAC has
// said that the caller may connect to it. One measurement goes on at a time.
func (s *Server) answerRelayRate(conn net.Conn) {
	if !s.measuring.TryLock() {
		_, _ = conn.Write(protocol.AppendRateAnswer(nil, 0, 0))
		return
	}
	defer s.measuring.Unlock()
	n, took := count(conn)
	_, _ = conn.Write(protocol.AppendRateAnswer(nil, n, took))
}

// MeasureRate sends bytes to the agent at address, for at most two seconds and 32
// MiB, and returns how many arrived in a second. It is 0 when the agent does not
// measure: it is busy, does not accept the caller, or is too old to.
func MeasureRate(ctx context.Context, address string, timeout time.Duration) (bytesPerSecond int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	hello, err := link.AppendPreface(nil, link.Preface{Version: link.Version, TargetUID: RateUID})
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(hello); err != nil {
		return 0, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(maxRateTime))
	chunk := make([]byte, 256<<10)
	// What does not compress, in case something in between does that.
	if _, err := rand.Read(chunk); err != nil {
		return 0, err
	}
	for sent := 0; sent < maxRateBytes; sent += len(chunk) {
		if _, err := conn.Write(chunk); err != nil {
			break
		}
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil && len(text) == 0 {
		return 0, err
	}
	return parseRate(string(text))
}

func parseRate(text string) (int64, error) {
	rest, ok := strings.CutPrefix(text, probeGreeting)
	fields := strings.Fields(rest)
	if !ok || !strings.HasSuffix(text, "\n") || len(fields) < 2 {
		return 0, errNoAgent
	}
	n, err := strconv.ParseInt(fields[len(fields)-2], 10, 64)
	if err != nil {
		return 0, errNoAgent
	}
	micros, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	if err != nil || n < 0 || n > maxRateBytes || micros < 0 {
		return 0, errNoAgent
	}
	return n * 1_000_000 / max(micros, 1), nil
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
	statusAccepted = "accepted"
	wordRefused    = "refused"
)

// FormatAnswer is what a probe function of New returns.
func FormatAnswer(a Answer) string {
	if a.Accepted {
		return a.SeenAs.String() + " " + statusAccepted
	}
	return a.SeenAs.String() + " " + wordRefused
}

// errNoAgent is returned by Probe when something else answers.
var errNoAgent = errors.New("no kubectl-motion agent answers")

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
	if err != nil || (fields[1] != statusAccepted && fields[1] != wordRefused) {
		return Answer{}, errNoAgent
	}
	return Answer{SeenAs: ip, Accepted: fields[1] == statusAccepted}, nil
}
