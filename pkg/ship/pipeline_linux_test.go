// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"fmt"
	"os"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/wire"
)

// What was applied and waits for a sync counts as memory until the journal has it: otherwise
// a slow disk would let a million records gather.
func TestFramesThatWaitForTheJournalCountAsMemory(t *testing.T) {
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(t.TempDir())
	fail(err)
	defer root.Close()
	target, err := fswrite.OpenTree(root, fswrite.Options{})
	fail(err)
	defer target.Close()
	fail(target.Probe(0, 0))
	fail(target.Examine())
	store, err := index.Open(t.TempDir(), "volume")
	fail(err)
	defer store.Close()

	end := &receiveEnd{target: target, store: store, count: count.New()}
	x := newReceiveSession(t.Context(), end, &greeted{}, true)
	fail(x.journal.open())
	x.survey.found.End(nil)
	x.pipeline.applier = receiver.New(x.ctx, target, receiver.Options{
		InPlace: true, Base: verify.NewRecord(index.NewCursor(index.Empty()), x.survey.found), Count: x.count, Fail: x.failed,
	})
	defer x.journal.close()
	defer x.pipeline.close()
	x.group.Go(func() { x.pipeline.applier.Work(x.ctx) })
	window := x.transport.window
	x.group.Go(func() { x.journal.write(x.ctx, x.events, window.release) })
	defer x.group.Wait()
	defer x.cancel(errLost)

	const links = 200
	f := &arrivedFrame{seq: 1, cost: 40_000}
	for i := range links {
		f.ops = append(f.ops, wire.Op{Kind: wire.OpPut, Entry: tree.Entry{Path: fmt.Sprintf("%04d", i), Kind: tree.Symlink, Link: "x", UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), MTime: tree.Time{}.Add(1)}})
	}
	if !window.admit(f.seq, f.cost) {
		t.Fatal("not admitted")
	}
	frame := &receiver.Frame{Seq: f.seq, Done: x.pipeline.done(x.ctx, f)}
	fail(x.pipeline.applier.Dispatch(frame, f.ops))
	if in := <-x.events; in != (session.Applied{Seq: 1}) {
		t.Fatalf("%+v", in)
	}
	if used := window.used; used != frame.Size() || used < links*100 {
		t.Errorf("%d bytes count for %d records that take %d", used, links, frame.Size())
	}
	x.journal.add(frame)
	x.journal.persist(1)
	if in := <-x.events; in != (session.Persisted{Through: 1}) {
		t.Fatalf("%+v", in)
	}
	if window.used != 0 || x.journal.applied.Records() != links {
		t.Errorf("%d bytes still count, %d records are in the journal", window.used, x.journal.applied.Records())
	}
}
