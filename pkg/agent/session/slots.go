// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Slots bounds what an agent does at a time: one session for each volume, and
// for each namespace as many as its policy says. Who waits is served in the order
// of arrival, each namespace separately: a namespace with a thousand shipments
// delays no other.
//
// A receiver asks for its slot only when its sender, which has one, is connected.
// So two clusters cannot wait for each other with all slots taken.
type Slots struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	taken   int
	waiting []*waiter
}

type waiter struct {
	limit int
	ready chan struct{}
}

// NewSlots makes slots of which none is taken.
func NewSlots() *Slots { return &Slots{queues: map[string]*queue{}} }

// Acquire waits for the volume to be free and for one of limit slots of the
// namespace, until ctx ends.
func (s *Slots) Acquire(ctx context.Context, namespace string, limit int, volume types.UID) (release func(), err error) {
	freeVolume, err := s.take(ctx, "volume/"+string(volume), 1)
	if err != nil {
		return nil, err
	}
	freeSlot, err := s.take(ctx, "namespace/"+namespace, max(limit, 1))
	if err != nil {
		freeVolume()
		return nil, err
	}
	return func() { freeSlot(); freeVolume() }, nil
}

func (s *Slots) take(ctx context.Context, key string, limit int) (release func(), err error) {
	w := &waiter{limit: limit, ready: make(chan struct{})}
	s.mu.Lock()
	q := s.queues[key]
	if q == nil {
		q = &queue{}
		s.queues[key] = q
	}
	q.waiting = append(q.waiting, w)
	s.admit(key, q)
	s.mu.Unlock()
	select {
	case <-w.ready:
		return sync.OnceFunc(func() { s.release(key) }), nil
	case <-ctx.Done():
		s.close(key, w)
		return nil, context.Cause(ctx)
	}
}

// admit lets in who is first in the queue while there is room.
func (s *Slots) admit(key string, q *queue) {
	for len(q.waiting) > 0 && q.taken < q.waiting[0].limit {
		q.taken++
		close(q.waiting[0].ready)
		q.waiting = q.waiting[1:]
	}
	if q.taken == 0 && len(q.waiting) == 0 {
		delete(s.queues, key)
	}
}

func (s *Slots) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[key]
	q.taken--
	s.admit(key, q)
}

// leave gives up waiting; it may have been let in meanwhile.
func (s *Slots) close(key string, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[key]
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	} else {
		q.taken--
	}
	s.admit(key, q)
}
