// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/relay/protocol"
)

// rateChunk is written at a time.
const rateChunk = 256 << 10

// MeasureRate sends bytes to a relay through its API server, for at most two seconds
// and 32 MiB, and returns how many arrived in a second. It is 0 when the relay does
// not measure: it is busy with another measurement, or of a version that cannot.
func MeasureRate(ctx context.Context, e Endpoint) (bytesPerSecond int64, err error) {
	t, err := e.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = t.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = t.Close() })
	defer stop()
	if _, err := t.Write(protocol.AppendRate(nil)); err != nil {
		return 0, t.cause(err)
	}
	chunk := make([]byte, rateChunk)
	// What does not compress, in case something in between does that.
	if _, err := rand.Read(chunk); err != nil {
		return 0, err
	}
	end := time.Now().Add(protocol.MaxRateTime)
	for sent := 0; sent < protocol.MaxRateBytes && time.Now().Before(end); sent += len(chunk) {
		if _, err := t.Write(chunk); err != nil {
			break // the answer has how much arrived
		}
	}
	_ = t.CloseWrite()
	answer, err := io.ReadAll(io.LimitReader(t, maxAnswer))
	if len(answer) == 0 {
		return 0, t.cause(err)
	}
	if bytesPerSecond, err = protocol.ParseRateAnswer(answer); err != nil {
		return 0, fmt.Errorf("the relay of %s: %w", e.Cluster, err)
	}
	return bytesPerSecond, nil
}
