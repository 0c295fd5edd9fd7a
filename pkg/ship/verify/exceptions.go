// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Exceptions carries what a survey found to be other than recorded to those who read the
// record meanwhile, in path order, and how far the survey has come.
type Exceptions struct {
	mu      sync.Mutex
	wake    sync.Cond
	queue   []index.Record
	through string
	began   bool
	last    bool
	err     error
}

// NewExceptions gives an empty queue. When ctx ends it ends with its cause.
func NewExceptions(ctx context.Context) *Exceptions {
	e := &Exceptions{}
	e.wake.L = &e.mu
	context.AfterFunc(ctx, func() { e.End(context.Cause(ctx)) })
	return e
}

// Push adds what is other than recorded.
func (e *Exceptions) Push(r index.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, r)
	e.wake.Broadcast()
}

// Progress reports that everything up to a path was compared.
func (e *Exceptions) Progress(through string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.through, e.began = through, true
	e.wake.Broadcast()
}

// End reports that nothing more comes; err is the failure, if any.
func (e *Exceptions) End(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.last {
		e.last, e.err = true, err
	}
	e.wake.Broadcast()
}

// head waits until it is known whether there is an exception up to limit (or, with all, at
// all), and gives it without taking it.
func (e *Exceptions) head(limit string, all bool) (r index.Record, ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.queue) == 0 && !e.last && (all || !e.began || e.through < limit) {
		e.wake.Wait()
	}
	if len(e.queue) == 0 {
		return r, false, e.err
	}
	r = e.queue[0]
	return r, all || r.Entry.Path <= limit, nil
}

func (e *Exceptions) take() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = e.queue[1:]
}

// Record gives a record of the target as it is being surveyed: what is recorded, and the
// exceptions on top.
type Record struct {
	kept   *index.Cursor
	found  *Exceptions
	hidden string
	hides  bool
}

// NewRecord joins what is recorded, which Close closes, with what is found.
func NewRecord(kept *index.Cursor, found *Exceptions) *Record {
	return &Record{kept: kept, found: found}
}

// Find gives what the target has at path; paths must come in ascending order.
func (s *Record) Find(path string) (index.Record, bool, error) {
	for {
		r, ok, err := s.found.head(path, false)
		if err != nil {
			return r, false, err
		}
		if !ok {
			break
		}
		s.found.take()
		if r.Gone || r.Entry.Kind != tree.Dir {
			s.hidden, s.hides = r.Entry.Path, true
		}
		if r.Entry.Path == path {
			return r, !r.Gone, nil
		}
	}
	if s.hides && tree.Inside(path, s.hidden) {
		return index.Record{}, false, nil
	}
	r, ok, err := s.kept.Find(path)
	return r, ok && !r.Gone, err
}

// Close closes the record.
func (s *Record) Close() error { return s.kept.Close() }
