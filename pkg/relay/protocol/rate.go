// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"fmt"
	"time"
)

// magicRate begins a measurement of the way to a relay: bytes follow, the relay
// counts them and says how long they took. It concerns no shipment.
const magicRate = "KMRATE\x00\x00"

// Bounds of a measurement. A user who may forward a port to the relay can fill the way
// with bytes anyway; these keep the relay from taking part in it for long.
const (
	MaxRateBytes = 32 << 20
	MaxRateTime  = 2 * time.Second
)

// IsRate says whether magic, MagicSize bytes, begins a measurement.
func IsRate(magic []byte) bool { return string(magic) == magicRate }

// AppendRate encodes the beginning of a measurement.
func AppendRate(b []byte) []byte { return append(b, magicRate...) }

// rateForm is the answer: bytes, and microseconds.
const rateForm = "kubectl-motion relay %d %d\n"

// AppendRateAnswer encodes what a relay answers.
func AppendRateAnswer(b []byte, bytes int64, took time.Duration) []byte {
	return fmt.Appendf(b, rateForm, bytes, took.Microseconds())
}

// ParseRateAnswer returns the bytes per second of an answer; ErrMalformed when it is
// none, as of a relay that does not measure.
func ParseRateAnswer(b []byte) (bytesPerSecond int64, err error) {
	var n, micros int64
	if _, err := fmt.Sscanf(string(b), rateForm, &n, &micros); err != nil || n < 0 || n > MaxRateBytes || micros < 0 {
		return 0, ErrMalformed
	}
	return n * 1_000_000 / max(micros, 1), nil
}
