// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

func newStore(t *testing.T) *index.Store {
	store, err := index.Open(t.TempDir(), "volume")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// newRun writes a run with these paths.
func newRun(t *testing.T, store *index.Store, records ...index.Record) uint64 {
	w, err := store.NewRun()
	for i := range records {
		if err == nil {
			err = w.Add(&records[i])
		}
	}
	if err == nil {
		err = store.Seal(w, 0, tree.Time{})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.Number()
}

func symlink(path string) index.Record {
	return index.Record{Entry: tree.Entry{Path: path, Kind: tree.Symlink, Link: "x"}}
}

// file is a record of a file of zeros.
func file(path string, size int64) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.File, Size: size, Content: tree.Content(size, make([]byte, tree.LeafCount(size)*tree.LeafDigestSize))}
}

// TestTheBaseOfAHostileTarget: what a target claims to have is bounded at the source.
func TestTheBaseOfAHostileTarget(t *testing.T) {
	start := func(t *testing.T, room int64, messages ...wire.Message) (*baseStream, *index.Writer) {
		w, err := newStore(t).NewRun()
		if err != nil {
			t.Fatal(err)
		}
		b := newBaseStream(t.Context(), w, room)
		for _, m := range messages {
			if err := b.admit(); err != nil {
				t.Fatal(err)
			}
			b.feed(m)
		}
		return b, w
	}
	t.Run("claims a content of 2^62 bytes", func(t *testing.T) {
		e := file("file", 1<<20)
		e.Size = 1 << 62
		b, _ := start(t, 1<<40, wire.Base{Through: "file", Records: []wire.BaseRecord{{Entry: e}}})
		if ok, err := b.head("file", false); !ok || err != nil {
			t.Fatal(err)
		}
		if _, err := b.take(); fault.Of(err) != fault.PeerRejected {
			t.Errorf("got %v", err)
		}
	})
	t.Run("sends more leaf digests than are kept", func(t *testing.T) {
		const size = 1 << 20
		rows := make([]byte, tree.LeafCount(size)*tree.LeafDigestSize)
		var messages []wire.Message
		for _, path := range []string{"a", "b"} {
			messages = append(messages, wire.Base{Through: path, Records: []wire.BaseRecord{{Entry: file(path, size)}}}, wire.BaseRows{Rows: rows})
		}
		b, w := start(t, int64(len(rows)), messages...)
		for i, path := range []string{"a", "b"} {
			if ok, err := b.head(path, false); !ok || err != nil {
				t.Fatal(err)
			}
			r, err := b.take()
			if err != nil {
				t.Fatal(err)
			}
			if kept := r.Leaves() > 0; kept != (i == 0) {
				t.Errorf("%s: digests kept: %v", path, kept)
			}
		}
		if used := w.Rows().Offset; used != int64(len(rows)) {
			t.Errorf("%d bytes are kept", used)
		}
	})
}

// TestBrokenSessionsLeaveBoundedState: a peer that breaks off every session, over and over, adds a
// run each time.
func TestBrokenSessionsLeaveBoundedState(t *testing.T) {
	t.Run("journal of a target written in place", func(t *testing.T) {
		store := newStore(t)
		var head index.Head
		head.Phase, head.Base = index.Torn, newRun(t, store, symlink("a"), symlink("b"))
		for range maxJournal - 1 {
			head.Journal = append(head.Journal, newRun(t, store, symlink("c")))
		}
		head.Journal = append(head.Journal, newRun(t, store, index.Record{Entry: tree.Entry{Path: "b"}, Gone: true}))
		if err := store.Commit(head); err != nil {
			t.Fatal(err)
		}
		x := &receiveSession{receiveEnd: &receiveEnd{store: store, log: slog.New(slog.DiscardHandler)}, inPlace: true}
		head, err := x.limitJournal(store.Head())
		if err != nil || len(head.Journal) != 0 || head.Phase != index.Torn {
			t.Fatalf("%+v, %v", head, err)
		}
		var paths []string
		it, err := store.Read(head.Base)
		if err == nil {
			err = index.Each(it, func(r *index.Record) error { paths = append(paths, r.Entry.Path); return nil })
		}
		if err != nil || !slices.Equal(paths, []string{"a", "c"}) {
			t.Errorf("%q, %v", paths, err)
		}
	})
	t.Run("journal of a staged increment", func(t *testing.T) {
		store := newStore(t)
		var head index.Head
		head.Phase, head.Stage, head.Base = index.Whole, "stage", newRun(t, store, symlink("a"))
		for range maxJournal {
			head.Journal = append(head.Journal, newRun(t, store, symlink("c")))
		}
		if err := store.Commit(head); err != nil {
			t.Fatal(err)
		}
		x := &receiveSession{receiveEnd: &receiveEnd{store: store, log: slog.New(slog.DiscardHandler)}}
		head, err := x.limitJournal(store.Head())
		if err != nil || len(head.Journal) != 0 || head.Stage != "" || head.Base == 0 || head.Phase != index.Whole {
			t.Fatalf("%+v, %v", head, err)
		}
	})
}
