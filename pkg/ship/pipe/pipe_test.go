// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pipe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func count(n int) func(context.Context, func(int) error) error {
	return func(_ context.Context, emit func(int) error) error {
		for i := range n {
			if err := emit(i); err != nil {
				return err
			}
		}
		return nil
	}
}

// Of each window's worth, what is asked for first is done last.
func TestOutcomesComeInTheOrderOfTheInput(t *testing.T) {
	const n, window = 42, 7
	done := make([]chan struct{}, n)
	for i := range done {
		done[i] = make(chan struct{})
	}
	var mu sync.Mutex
	var begun, over, most int
	var got []int
	err := Ordered(t.Context(), window, window, count(n),
		func(_ context.Context, i int) (int, error) {
			mu.Lock()
			begun++
			most = max(most, begun-over)
			mu.Unlock()
			if i%window != window-1 {
				<-done[i+1]
			}
			close(done[i])
			return i, nil
		},
		func(i int) error {
			mu.Lock()
			over++
			mu.Unlock()
			got = append(got, i)
			return nil
		})
	if err != nil || len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%v %v", got, err)
	}
	if most != window {
		t.Errorf("%d were under way at a time instead of %d", most, window)
	}
}

func TestAnErrorEndsEverythingAndNothingBehindItIsConsumed(t *testing.T) {
	wrong := errors.New("wrong")
	for _, where := range []string{"produce", "work", "consume"} {
		t.Run(where, func(t *testing.T) {
			fail := func(here string, i int) error {
				if here == where && i == 20 {
					return wrong
				}
				return nil
			}
			last := -1
			err := Ordered(t.Context(), 3, 5,
				func(ctx context.Context, emit func(int) error) error {
					return count(1000)(ctx, func(i int) error { return errors.Join(fail("produce", i), emit(i)) })
				},
				func(_ context.Context, i int) (int, error) { return i, fail("work", i) },
				func(i int) error { last = i; return fail("consume", i) })
			if !errors.Is(err, wrong) || last > 20 {
				t.Errorf("%v after %d", err, last)
			}
		})
	}
}

func TestABudgetIsSharedInOrderAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		var order []int
		ask := func(ctx context.Context, n int64) {
			go func() {
				if b.Acquire(ctx, n) == nil {
					order = append(order, int(n))
				}
			}()
			synctest.Wait()
		}
		given, cancel := context.WithCancel(t.Context())
		defer cancel()
		ask(t.Context(), 6)
		ask(given, 5)       // does not fit
		ask(t.Context(), 4) // would, but does not overtake
		ask(t.Context(), 30)
		if !slices.Equal(order, []int{6}) || b.Out() != 6 {
			t.Errorf("%v, %d taken", order, b.Out())
		}
		cancel() // who gives up keeps nobody waiting
		synctest.Wait()
		if !slices.Equal(order, []int{6, 4}) || b.Out() != 10 {
			t.Errorf("%v, %d taken", order, b.Out())
		}
		b.Release(6)
		synctest.Wait()
		if len(order) != 2 {
			t.Errorf("more than there is was given: %v", order)
		}
		b.Release(4) // alone, even what is more than the budget goes
		synctest.Wait()
		if !slices.Equal(order, []int{6, 4, 30}) || b.Out() != 30 {
			t.Errorf("%v, %d taken", order, b.Out())
		}
	})
}

func TestBuffersAreUsedAgainUpToWhatIsKept(t *testing.T) {
	made := 0
	b := NewBuffers(1, func() []byte { made++; return make([]byte, made) })
	one, two := b.Get(), b.Get()
	b.Put(two)
	b.Put(one) // one too many
	if got := b.Get(); len(got) != 2 || made != 2 {
		t.Errorf("%d, %d made", len(got), made)
	}
	if b.Get(); made != 3 {
		t.Errorf("%d made", made)
	}
}

func TestARateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := NewRate(1 << 20)
		for range 100 {
			if err := r.Wait(t.Context(), 100<<10); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("10,000 KiB at 1,024 KiB/s took %s", took)
		}
		begin = time.Now()
		if err := NewRate(0).Wait(t.Context(), 1<<40); err != nil || time.Since(begin) > 0 {
			t.Errorf("no limit is one: %v", err)
		}
	})
}
