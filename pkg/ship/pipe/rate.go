// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pipe

import (
	"context"

	"golang.org/x/time/rate"
)

// Rate limits a flow of bytes. A nil Rate does not limit.
type Rate struct{ limiter *rate.Limiter }

// NewRate allows bytesPerSecond, in bursts of at most a tenth of a second but at least
// 64 KiB; 0 returns nil, which does not limit.
func NewRate(bytesPerSecond int64) *Rate {
	if bytesPerSecond <= 0 {
		return nil
	}
	burst := max(bytesPerSecond/10, 64<<10)
	return &Rate{rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))}
}

// Wait returns when n more bytes may flow.
func (r *Rate) Wait(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	for n > 0 {
		part := min(n, r.limiter.Burst())
		if err := r.limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
