// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/receiver"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/tree"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/verify"
)

// journal records what a session does to the target: a run of what the survey found to differ
// from the record, a run of what was applied, and a run of the whole tree after verification.
type journal struct {
	store *index.Store
	queue chan journalItem

	mu      sync.Mutex    // guards the runs
	drift   *index.Writer // what the survey found
	applied *index.Writer // what was applied
	tree    *index.Writer // the whole tree after verification
	cut     tree.Time     // of the last sync
}

// journalItem is a frame that was applied or, with persist, the request to make everything up
// to that frame durable.
type journalItem struct {
	frame   *receiver.Frame
	persist uint64
}

func newJournal(store *index.Store) *journal {
	return &journal{store: store, queue: make(chan journalItem, 4*framesAhead)}
}

// open begins the runs of drift and of what is applied.
func (j *journal) open() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.drift, err = j.store.NewRun(); err != nil {
		return err
	}
	j.applied, err = j.store.NewRun()
	return err
}

// close removes the runs that no head names.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range []*index.Writer{j.drift, j.applied, j.tree} {
		if w != nil {
			_ = w.Close()
			j.store.Discard(w.Number())
		}
	}
}

// begin makes the session's runs part of the head, durably, before the first write. The
// result is the name of the stage that must be made, or "".
func (j *journal) begin(mask tree.Mask, image, inPlace bool) (stage string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := j.store.Head()
	next.Journal = append(append([]uint64(nil), next.Journal...), j.drift.Number(), j.applied.Number())
	next.Mask, next.Image = uint32(mask), image
	if inPlace {
		next.Phase = index.Torn
	} else {
		// A number is used once: this session may use all of them up to the next one's.
		next.Staged += 1 << 32
		if next.Stage == "" {
			var random [8]byte
			if _, err := rand.Read(random[:]); err != nil {
				return "", err
			}
			next.Stage = fsread.StageName(binary.LittleEndian.Uint64(random[:]))
			stage = next.Stage
		}
	}
	for _, w := range []*index.Writer{j.drift, j.applied} {
		if err := j.store.Seal(w, 0, tree.Time{}); err != nil {
			return "", err
		}
	}
	return stage, j.store.Commit(next)
}

// add queues a frame that was applied.
func (j *journal) add(f *receiver.Frame) { j.queue <- journalItem{frame: f} }

// persist queues the request to make everything up to a frame durable.
func (j *journal) persist(through uint64) { j.queue <- journalItem{persist: through} }

func (j *journal) setCut(cut tree.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cut = cut
}

// write writes what is queued until ctx ends. Each frame that was written is released.
func (j *journal) write(ctx context.Context, out events, release func(int64)) {
	w := receiver.NewJournal(j.store, j.applied)
	for {
		var item journalItem
		select {
		case item = <-j.queue:
		case <-ctx.Done():
			return
		}
		var err error
		if item.frame != nil {
			if err = w.Add(item.frame); err == nil {
				release(item.frame.Held)
				continue
			}
		} else if err = w.Partial(); err == nil {
			err = j.seal(item.persist)
		}
		if err != nil {
			out.put(ctx, session.Failed{Err: err})
			return
		}
		out.put(ctx, session.Persisted{Through: item.persist})
	}
}

// seal makes both runs durable up to a frame.
func (j *journal) seal(through uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.store.Seal(j.drift, 0, j.cut); err != nil {
		return err
	}
	return j.store.Seal(j.applied, through, j.cut)
}

// addDrift records what the survey found.
func (j *journal) addDrift(r *index.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.drift.Add(r)
}

// sealDrift makes the drift durable and readable.
func (j *journal) sealDrift() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.store.Seal(j.drift, 0, tree.Time{})
}

// newTree begins the run of the whole tree.
func (j *journal) newTree() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	w, err := j.store.NewRun()
	if err == nil {
		j.tree = w
	}
	return err
}

// addTree adds an entry of the tree, with its leaf digests.
func (j *journal) addTree(f *verify.Found) error {
	if err := verify.KeepRows(j.store, j.tree, f); err != nil {
		return err
	}
	return j.tree.Add(&f.R)
}

// mergeDrift makes the tree of the record and the drift: only timestamps differ.
func (j *journal) mergeDrift(base uint64) error {
	if err := j.sealDrift(); err != nil {
		return err
	}
	if err := j.newTree(); err != nil {
		return err
	}
	return copyRuns(j.store, j.tree, []uint64{base, j.drift.Number()}, true)
}

// mergeRuns writes runs into a new one, the last of them winning, and returns its number.
// With present, paths that are gone are left out.
func mergeRuns(store *index.Store, runs []uint64, present bool) (uint64, error) {
	w, err := store.NewRun()
	if err != nil {
		return 0, err
	}
	err = copyRuns(store, w, runs, present)
	if err == nil {
		err = store.Seal(w, 0, tree.Time{})
	}
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		store.Discard(w.Number())
	}
	return w.Number(), err
}

// copyRuns writes runs to w, the last of them winning.
func copyRuns(store *index.Store, w *index.Writer, runs []uint64, present bool) error {
	it, err := store.ReadAll(runs...)
	if err != nil {
		return err
	}
	defer it.Close()
	if present {
		it = index.Present(it)
	}
	return index.Each(it, func(r *index.Record) error {
		f := verify.Found{R: *r}
		f.R.Found = false
		if err := verify.KeepRows(store, w, &f); err != nil {
			return err
		}
		return w.Add(&f.R)
	})
}

// timeNow returns the time as inodes hold it.
func timeNow() tree.Time { return tree.Time{}.Add(time.Now().UnixNano()) }
