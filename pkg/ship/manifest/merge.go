// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"io"
)

// Overlay joins iterators into one. Where several have a path, the last of them wins;
// Gone records are passed on.
func Overlay(its ...Iterator) Iterator {
	o := &overlay{sources: make([]source, len(its))}
	for i, it := range its {
		o.sources[i].it = it
	}
	return o
}

type source struct {
	it   Iterator
	head Record
	full bool
	done bool
}

func (s *source) fill() error {
	if s.full || s.done {
		return nil
	}
	var err error
	s.head, err = s.it.Next()
	if errors.Is(err, io.EOF) {
		s.done = true
		return nil
	}
	s.full = err == nil
	return err
}

type overlay struct{ sources []source }

func (o *overlay) Next() (Record, error) {
	best := -1
	for i := range o.sources {
		s := &o.sources[i]
		if err := s.fill(); err != nil {
			return Record{}, err
		}
		if s.full && (best < 0 || s.head.Entry.Path <= o.sources[best].head.Entry.Path) {
			best = i
		}
	}
	if best < 0 {
		return Record{}, io.EOF
	}
	r := o.sources[best].head
	for i := range o.sources {
		if s := &o.sources[i]; s.full && s.head.Entry.Path == r.Entry.Path {
			s.full = false
		}
	}
	return r, nil
}

func (o *overlay) Close() error {
	var err error
	for i := range o.sources {
		if e := o.sources[i].it.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Present leaves out the records that are Gone.
func Present(it Iterator) Iterator { return present{it} }

type present struct{ Iterator }

func (p present) Next() (Record, error) {
	for {
		r, err := p.Iterator.Next()
		if err != nil || !r.Gone {
			return r, err
		}
	}
}

// Empty has no records.
func Empty() Iterator { return empty{} }

type empty struct{}

func (empty) Next() (Record, error) { return Record{}, io.EOF }
func (empty) Close() error          { return nil }

// Cursor looks up paths in ascending order in an iterator.
type Cursor struct {
	it   Iterator
	head Record
	full bool
	done bool
}

// NewCursor makes a cursor over it, which it closes.
func NewCursor(it Iterator) *Cursor { return &Cursor{it: it} }

// Peek gives the next record without passing it; ok is false at the end.
func (c *Cursor) Peek() (r *Record, ok bool, err error) {
	if !c.full && !c.done {
		c.head, err = c.it.Next()
		if errors.Is(err, io.EOF) {
			c.done, err = true, nil
		} else if err == nil {
			c.full = true
		}
	}
	return &c.head, c.full, err
}

// Skip passes the record that Peek gave.
func (c *Cursor) Skip() { c.full = false }

// Find passes every record before path and gives path's, if it has one.
func (c *Cursor) Find(path string) (Record, bool, error) {
	for {
		r, ok, err := c.Peek()
		if err != nil || !ok || r.Entry.Path > path {
			return Record{}, false, err
		}
		c.full = false
		if r.Entry.Path == path {
			return *r, true, nil
		}
	}
}

// Close closes the iterator.
func (c *Cursor) Close() error { return c.it.Close() }
