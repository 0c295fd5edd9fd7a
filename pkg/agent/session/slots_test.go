// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/types"
)

// ask waits for a slot in the background; the channel gets its release.
func ask(ctx context.Context, s *Slots, namespace string, limit int, volume types.UID) chan func() {
	got := make(chan func(), 1)
	go func() {
		release, err := s.Acquire(ctx, namespace, limit, volume)
		if err == nil {
			got <- release
		}
	}()
	return got
}

func granted(got chan func()) bool {
	synctest.Wait()
	return len(got) == 1
}

func TestANamespaceHasAsManySlotsAsItsPolicySaysAndDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots()
		first := ask(t.Context(), s, "blue", 2, "a")
		granted(first)
		second := ask(t.Context(), s, "blue", 2, "b")
		granted(second)
		third := ask(t.Context(), s, "blue", 2, "c")
		if !granted(first) || !granted(second) || granted(third) {
			t.Fatal("two of three must be let in")
		}
		red := ask(t.Context(), s, "red", 2, "d")
		if !granted(red) {
			t.Error("red waits for blue")
		}
		(<-first)()
		if !granted(third) {
			t.Error("a free slot was not given on")
		}
		(<-second)()
		(<-third)()
		(<-red)()
		if len(s.queues) != 0 {
			t.Errorf("%d queues are left over", len(s.queues))
		}
	})
}

func TestAVolumeIsWorkedOnByOneSessionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots()
		first := ask(t.Context(), s, "blue", 10, "a")
		granted(first)
		second := ask(t.Context(), s, "blue", 10, "a")
		if granted(second) {
			t.Fatal("two sessions have one volume")
		}
		release := <-first
		release()
		release() // counts once
		if !granted(second) {
			t.Fatal("the volume was not given on")
		}
		third := ask(t.Context(), s, "blue", 10, "a")
		if granted(third) {
			t.Error("releasing twice let two in")
		}
		(<-second)()
		granted(third)
		(<-third)()
	})
}

func TestWhoWaitsIsServedInTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots()
		mountPod := ask(t.Context(), s, "blue", 1, "v")
		granted(mountPod)
		var order []chan func()
		for i := range 5 {
			order = append(order, ask(t.Context(), s, "blue", 1, types.UID(strconv.Itoa(i))))
			synctest.Wait()
		}
		(<-mountPod)()
		for i, next := range order {
			if !granted(next) {
				t.Fatalf("number %d is not next", i)
			}
			(<-next)()
		}
	})
}

func TestWhoStopsWaitingIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots()
		mountPod := ask(t.Context(), s, "blue", 1, "v")
		granted(mountPod)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("superseded")
		done := make(chan error, 1)
		go func() {
			_, err := s.Acquire(ctx, "blue", 1, "w")
			done <- err
		}()
		synctest.Wait()
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("%v, want the cause", err)
		}
		(<-mountPod)()
		synctest.Wait()
		if len(s.queues) != 0 {
			t.Errorf("%d queues are left over", len(s.queues))
		}
	})
}
