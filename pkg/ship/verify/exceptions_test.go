// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
)

func record(path string, kind tree.Kind) index.Record {
	return index.Record{Entry: tree.Entry{Path: path, Kind: kind}}
}

func newRecord(ctx context.Context) (*Record, *Exceptions) {
	found := NewExceptions(ctx)
	kept := &records{record("a", tree.Dir), record("a\x00x", tree.File), record("a\x00y", tree.File), record("b", tree.File), record("c", tree.File)}
	return NewRecord(index.NewCursor(kept), found), found
}

// records are an iterator.
type records []index.Record

func (r *records) Next() (index.Record, error) {
	if len(*r) == 0 {
		return index.Record{}, io.EOF
	}
	first := (*r)[0]
	*r = (*r)[1:]
	return first, nil
}

func (r *records) Close() error { return nil }

// A record is asked while the survey is under way: an answer waits until the survey has passed it.
func TestAnAnswerWaitsForTheSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, found := newRecord(t.Context())
		defer r.Close()
		var got []string
		go func() {
			for _, path := range []string{"a\x00x", "b", "c", "d"} {
				if e, ok, err := r.Find(path); err != nil {
					got = append(got, err.Error())
				} else if ok {
					got = append(got, path+" "+e.Entry.Link)
				} else {
					got = append(got, "no "+path)
				}
			}
		}()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(got, want) {
				t.Errorf("%q instead of %q", got, want)
			}
		}
		expect()
		found.Progress("a\x00w")
		expect()
		found.Progress("a\x00x")
		expect("a\x00x ")
		other := record("b", tree.Symlink)
		other.Entry.Link = "elsewhere"
		found.Push(other)
		expect("a\x00x ", "b elsewhere")
		gone := record("c", tree.File)
		gone.Gone = true
		found.Push(gone)
		expect("a\x00x ", "b elsewhere", "no c")
		found.End(nil)
		expect("a\x00x ", "b elsewhere", "no c", "no d")
	})
}

// What is recorded below a directory that is one no more is not there either.
func TestNothingIsBelowADirectoryThatIsNoneAnyMore(t *testing.T) {
	for _, kind := range []tree.Kind{tree.File, tree.Dir} {
		r, found := newRecord(t.Context())
		found.Push(record("a", kind))
		found.End(nil)
		if _, ok, err := r.Find("a\x00y"); err != nil || ok != (kind == tree.Dir) {
			t.Errorf("a is of kind %d: a/y is there: %t (%v)", kind, ok, err)
		}
		if _, ok, err := r.Find("b"); err != nil || !ok {
			t.Errorf("b is not there (%v)", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestASurveyThatFailsOrIsBrokenOffGivesNoAnswers(t *testing.T) {
	wrong := errors.New("wrong")
	for _, end := range []func(*Exceptions, context.CancelCauseFunc){
		func(e *Exceptions, _ context.CancelCauseFunc) { e.End(wrong) },
		func(_ *Exceptions, cancel context.CancelCauseFunc) { cancel(wrong) },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, found := newRecord(ctx)
		end(found, cancel)
		if _, _, err := r.Find("b"); !errors.Is(err, wrong) {
			t.Error(err)
		}
		cancel(nil)
		_ = r.Close()
	}
}
