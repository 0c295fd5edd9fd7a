// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestsAreBoundedByTheirNumberAndByWhatTheyCarry: many small objects, few
// large ones, and one that is larger than all room still goes.
func TestRequestsAreBoundedByTheirNumberAndByWhatTheyCarry(t *testing.T) {
	for name, c := range map[string]struct{ weight, want int }{
		"small":         {1 << 10, writers},
		"of a mebibyte": {1 << 20, 16},
		"beyond all":    {writersBytes + 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			lanes, _ := NewLanes(t.Context())
			var now, most, ran atomic.Int64
			for range 3 * writers {
				lanes.Go(c.weight, func() error {
					for n := now.Add(1); ; {
						old := most.Load()
						if n <= old || most.CompareAndSwap(old, n) {
							break
						}
					}
					//nolint:forbidigo // of the bubble's clock: all that may run do
					time.Sleep(time.Second)
					now.Add(-1)
					ran.Add(1)
					return nil
				})
			}
			if err := lanes.Wait(); err != nil {
				t.Error(err)
			}
			if int(most.Load()) != c.want || ran.Load() != 3*writers {
				t.Errorf("%s: %d at once, want %d; %d ran", name, most.Load(), c.want, ran.Load())
			}
		})
	}
}

// TestNothingIsRunAfterAnErrorAndTheErrorIsTold, and an end of the context is one.
func TestNothingIsRunAfterAnErrorAndTheErrorIsTold(t *testing.T) {
	wrong := errors.New("wrong")
	lanes, ctx := NewLanes(t.Context())
	lanes.Go(1, func() error { return wrong })
	<-ctx.Done()
	lanes.Go(1, func() error { t.Error("it ran"); return nil })
	if err := lanes.Wait(); !errors.Is(err, wrong) {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(wrong)
	lanes, _ = NewLanes(ended)
	lanes.Go(1, func() error { t.Error("it ran"); return nil })
	if err := lanes.Wait(); !errors.Is(err, wrong) {
		t.Errorf("error %v, want the cause of the context's end", err)
	}
}
