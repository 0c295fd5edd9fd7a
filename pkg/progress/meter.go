// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package progress

import "time"

// window is how far back a rate looks.
const window = 10 * time.Second

type sample struct {
	at    time.Time
	bytes int64
}

// meter measures a rate over a sliding window.
type meter struct{ samples []sample }

func (m *meter) add(at time.Time, bytes int64) {
	m.samples = append(m.samples, sample{at, bytes})
	for len(m.samples) > 2 && at.Sub(m.samples[0].at) > window {
		m.samples = m.samples[1:]
	}
}

// rate is in bytes per second; 0 while unknown.
func (m *meter) rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.bytes <= first.bytes {
		return 0
	}
	return float64(last.bytes-first.bytes) / seconds
}

// left is the time until total at the present rate.
func (m *meter) left(total int64) (time.Duration, bool) {
	r := m.rate()
	if r == 0 || total == 0 || len(m.samples) == 0 {
		return 0, false
	}
	rest := total - m.samples[len(m.samples)-1].bytes
	if rest < 0 {
		return 0, false
	}
	return time.Duration(float64(rest) / r * float64(time.Second)), true
}
