// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"io"
)

// Each calls f for every record of it, in order. f may keep nothing of the record. It does
// not close it.
func Each(it Iterator, f func(*Record) error) error {
	for {
		r, err := it.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(&r); err != nil {
			return err
		}
	}
}

// Joined is one path of a Join.
type Joined[L any] struct {
	Path string
	// Left is the zero value when only the right side has the path (OnLeft is false).
	Left   L
	OnLeft bool
	// Right is nil when only the left side has the path. It is valid until the next call.
	Right *Record
}

// Join merges two sequences that ascend in path order: all that next returns, until io.EOF, and
// the records of a cursor, which stays the caller's to close.
type Join[L any] struct {
	next  func() (L, string, error)
	right *Cursor

	left  L
	path  string
	full  bool
	ended bool
	rec   Record
}

// NewJoin joins next with right.
func NewJoin[L any](next func() (left L, path string, err error), right *Cursor) *Join[L] {
	return &Join[L]{next: next, right: right}
}

// JoinRecords joins two sequences of records.
func JoinRecords(left Iterator, right *Cursor) *Join[Record] {
	return NewJoin(func() (Record, string, error) {
		r, err := left.Next()
		return r, r.Entry.Path, err
	}, right)
}

// Next returns the next path of either side, and io.EOF after the last.
func (j *Join[L]) Next() (Joined[L], error) {
	if err := j.fill(); err != nil {
		return Joined[L]{}, err
	}
	r, has, err := j.right.Peek()
	if err != nil {
		return Joined[L]{}, err
	}
	if !j.full && !has {
		return Joined[L]{}, io.EOF
	}
	var out Joined[L]
	if j.full && (!has || j.path <= r.Entry.Path) {
		out.Path, out.Left, out.OnLeft = j.path, j.left, true
		j.full = false
	}
	if has && (!out.OnLeft || r.Entry.Path == out.Path) {
		j.rec = *r
		out.Path, out.Right = j.rec.Entry.Path, &j.rec
		j.right.Skip()
	}
	return out, nil
}

func (j *Join[L]) fill() error {
	if j.full || j.ended {
		return nil
	}
	left, path, err := j.next()
	if errors.Is(err, io.EOF) {
		j.ended = true
		return nil
	}
	if err != nil {
		return err
	}
	j.left, j.path, j.full = left, path, true
	return nil
}

// Until passes the records before path, or all of them, and calls f for each. It serves
// joins whose other side is pushed and not pulled.
func (c *Cursor) Until(path string, all bool, f func(*Record) error) error {
	for {
		r, ok, err := c.Peek()
		if err != nil || !ok || !all && r.Entry.Path >= path {
			return err
		}
		rec := *r
		c.Skip()
		if err := f(&rec); err != nil {
			return err
		}
	}
}
