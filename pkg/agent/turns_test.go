// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"slices"
	"testing"
)

func TestNamespacesAreLookedAtInTurn(t *testing.T) {
	q := newQueue()
	defer q.ShutDown()
	for i := range 1000 {
		q.Add(key{"blue", fmt.Sprint(i)})
	}
	q.Add(key{"red", "a"})
	q.Add(key{"red", "b"})
	q.Add(key{"green", "a"})
	q.Add(key{"blue", "3"}) // it waits already
	var got []string
	for range 8 {
		k, _ := q.Get()
		got = append(got, k.String())
		q.Done(k)
	}
	if want := []string{"blue/0", "red/a", "green/a", "blue/1", "red/b", "blue/2", "blue/3", "blue/4"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := q.Len(); n != 995 {
		t.Errorf("%d wait, want 995", n)
	}
	q.Add(key{"red", "a"}) // a namespace that had nothing waiting has its turn again
	k1, _ := q.Get()
	k2, _ := q.Get()
	if k1.String() != "blue/5" || k2.String() != "red/a" {
		t.Errorf("%v, %v", k1, k2)
	}
}
