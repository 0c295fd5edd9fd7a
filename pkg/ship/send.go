// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/ship/count"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/index"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/pipe"
)

const (
	// connBuffer is how many bytes are gathered before they are written to a connection.
	connBuffer = 256 << 10
	// defaultCheckpoint is how often a checkpoint is requested at least.
	defaultCheckpoint = 30 * time.Second
	// peerErrorTimeout is how long to wait, on a broken connection, for the other end's reason,
	// and for it to take ours.
	peerErrorTimeout = 3 * time.Second
	// defaultReconnects is how often in a row a session may fail.
	defaultReconnects = 6
)

func send(ctx context.Context, v Source, dial Conn, st *State, o SendOptions) (Result, error) {
	s := &sendEnd{source: v, dial: dial, store: st.store, o: o, count: count.New(), log: logger(o.Logger)}
	if s.o.Connections == 0 {
		s.o.Connections = 4
	}
	s.o.Connections = min(max(s.o.Connections, 2), 8)
	if s.o.Checkpoint <= 0 {
		s.o.Checkpoint = defaultCheckpoint
	}
	if s.o.Reconnects == 0 {
		s.o.Reconnects = defaultReconnects
	}
	s.o.Idle = idleOr(s.o.Idle)
	if st.PartiallyApplied() {
		return Result{}, fault.New(fault.PartiallyApplied, "the source is itself partially applied; complete or repeat the sync to it first")
	}
	if notice := s.store.Notice(); notice != "" {
		s.log.Warn("the state at the source was damaged and has been set aside; the source is read again", "cause", notice)
	}
	same, err := s.store.Bind(v.Info().Identity)
	if err != nil {
		return Result{}, err
	}
	if !same {
		s.log.Warn("the state at the source is that of another volume; the source is read again")
	}
	if err := s.forgetOtherMasks(); err != nil {
		return Result{}, err
	}
	v.LeaveOut(maskOf(o))
	stop := s.count.Report(o.Progress, s.log)
	defer stop()
	err = fault.Guard(func() error { return s.run(ctx) })
	if markErr := markMismatch(s.store, err); markErr != nil {
		s.log.Warn("cannot record the mismatch", "error", markErr)
	}
	s.result.Statistics = s.count.Statistics()
	return s.result, err
}

// forgetOtherMasks drops the records of entries that were described under another mask: an
// unchanged timestamp proves nothing about what was left out then.
func (s *sendEnd) forgetOtherMasks() error {
	head, mask := s.store.Head(), uint32(maskOf(s.o))
	if head.Mask == mask {
		return nil
	}
	if head.Base != 0 || len(head.Memory) > 0 {
		s.log.Info("the source was recorded under other options; reading it again")
	}
	head.Base, head.Memory, head.Entries, head.Mask = 0, nil, 0, mask
	return s.store.Commit(head)
}

// markMismatch records that a digest was not the expected one: timestamps prove nothing in the next
// sync, at either end.
func markMismatch(store *index.Store, err error) error {
	if fault.Of(err) != fault.DigestMismatch {
		return nil
	}
	head := store.Head()
	head.Mismatch = true
	return store.Commit(head)
}

// sendEnd is one call of Send.
type sendEnd struct {
	source Source
	dial   Conn
	store  *index.Store
	o      SendOptions
	count  *count.Counters
	log    *slog.Logger
	rate   *pipe.Rate

	result Result
}

// run connects again until the sync is over, or too many sessions in a row transfer nothing.
func (s *sendEnd) run(ctx context.Context) error {
	s.rate = pipe.NewRate(s.o.Bandwidth)
	failures := 0
	for {
		before := s.count.Wire.Load()
		err := s.session(ctx)
		s.result.Sessions++
		if err == nil {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return fault.Wrap(fault.Cancelled, cause, "the shipment was cancelled")
		}
		var noDial *dialError
		if fault.Of(err) != fault.ConnectionLost || errors.As(err, &noDial) {
			return err
		}
		if failures++; s.count.Wire.Load() > before+1<<20 {
			failures = 0
		}
		if s.o.Reconnects < 0 || failures >= s.o.Reconnects {
			return err
		}
		s.log.Warn("a connection broke; connecting again", "error", err)
		if err := pause(ctx, time.Duration(failures*failures)*100*time.Millisecond); err != nil {
			return fault.Wrap(fault.Cancelled, err, "the shipment was cancelled")
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
