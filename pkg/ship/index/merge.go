// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"io"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

// Overlay joins iterators into one. Where several have a path, the last of them wins;
// Gone records are passed on. A record that is Gone or no directory hides what earlier
// iterators have below its path.
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

type overlay struct {
	sources []source
	// hidden are paths, each inside the one before, below which sources do not count.
	hidden []hiding
}

// hiding means that sources up to index rank have nothing below path.
type hiding struct {
	path string
	rank int
}

func (o *overlay) Next() (Record, error) {
	best := -1
	for i := range o.sources {
		s := &o.sources[i]
		if err := o.fill(i); err != nil {
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
	rank := -1
	for i := range o.sources {
		if s := &o.sources[i]; s.full && s.head.Entry.Path == r.Entry.Path {
			s.full = false
			if s.head.Gone || s.head.Entry.Kind != tree.Dir {
				rank = i
			}
		}
	}
	o.hide(r.Entry.Path, rank)
	r.Hides = rank >= 0
	return r, nil
}

// hide notes that sources up to rank have nothing below path.
func (o *overlay) hide(path string, rank int) {
	for n := len(o.hidden); n > 0 && !tree.Inside(path, o.hidden[n-1].path); n-- {
		o.hidden = o.hidden[:n-1]
	}
	if rank >= 0 {
		o.hidden = append(o.hidden, hiding{path, rank})
	}
}

// fill gets the next record of source i that is not hidden.
func (o *overlay) fill(i int) error {
	s := &o.sources[i]
	for {
		if err := s.fill(); err != nil || !s.full || !o.hides(i, s.head.Entry.Path) {
			return err
		}
		s.full = false
	}
}

func (o *overlay) hides(i int, path string) bool {
	for _, h := range o.hidden {
		if h.rank >= i && tree.Inside(path, h.path) {
			return true
		}
	}
	return false
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
