// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"sync"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/manifest"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// exceptions carries what a survey found to be other than recorded to those who read the
// record meanwhile, in path order, and how far the survey has come.
type exceptions struct {
	mu      sync.Mutex
	wake    sync.Cond
	queue   []manifest.Record
	through string
	began   bool
	last    bool
	err     error
}

func newExceptions(ctx context.Context) *exceptions {
	e := &exceptions{}
	e.wake.L = &e.mu
	context.AfterFunc(ctx, func() { e.end(context.Cause(ctx)) })
	return e
}

func (e *exceptions) push(r manifest.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, r)
	e.wake.Broadcast()
}

func (e *exceptions) progress(through string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.through, e.began = through, true
	e.wake.Broadcast()
}

// end says that nothing more comes; with err, because something went wrong.
func (e *exceptions) end(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.last {
		e.last, e.err = true, err
	}
	e.wake.Broadcast()
}

// head waits until it is known whether there is an exception up to limit (or, with all, at
// all), and gives it without taking it.
func (e *exceptions) head(limit string, all bool) (r manifest.Record, ok bool, err error) {
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

func (e *exceptions) take() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = e.queue[1:]
}

// surveyed gives a record of the target as it is being surveyed: what is recorded, and the
// exceptions on top.
type surveyed struct {
	kept   *manifest.Cursor
	found  *exceptions
	hidden string
	hides  bool
}

// find gives what the target has at path; paths must come in ascending order.
func (s *surveyed) find(path string) (manifest.Record, bool, error) {
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
		return manifest.Record{}, false, nil
	}
	r, ok, err := s.kept.Find(path)
	return r, ok && !r.Gone, err
}

// Close closes the record.
func (s *surveyed) Close() error { return s.kept.Close() }
