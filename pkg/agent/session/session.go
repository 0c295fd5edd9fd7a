// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package session ships one generation of one shipment from this node, or to it.
//
// A session is a sequence of attempts. Each begins with nothing and goes through
// the whole chain: fresh objects are checked (package verify), a place is waited
// for, the objects are checked again, the volume is opened where it is proved to
// be mounted (package mount), a guard begins to watch everything the proof was
// made of, and only then is package ship given an open directory and
// connections. The chain's first part is repeated for every connection that is
// made later. When the attempt ends, for any reason, all descriptors are
// closed; nothing of a volume stays open between attempts. Connections that the
// relay offers wait for the next attempt, and one that comes ends the wait for it:
// an attempt that fails because no address answers would else have closed them.
//
// What the guard sees (the pod, claim or shipment goes, another writer comes, a
// policy is withdrawn) ends the attempt at once. The rule is that nothing is open
// five seconds later: an open descriptor keeps the kubelet from unmounting.
//
// A session ends with its generation: shipped, or failed for a reason that only a
// person can remove. It continues automatically after what passes.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/device"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/listen"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/metrics"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
)

// Env is what all sessions of an agent share.
type Env struct {
	Authorizer *authz.Authorizer
	Opener     *mount.Opener
	Devices    *device.Client
	State      *statedir.Dir
	Listener   *listen.Server
	Slots      *Slots
	// WithoutPreserve: the agent lacks capabilities that specialFiles: Preserve needs.
	WithoutPreserve bool
	// Metrics may be nil.
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// Ref names a shipment: this one, and not another one of its name.
type Ref struct {
	Namespace, Name string
	UID             types.UID
}

func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Job is what a session is to do.
type Job struct {
	Ref
	Role       v1alpha1.Role
	CopyMethod v1alpha1.CopyMethod
	Sync       int64
	// Clone and Detection are about the snapshot of copy method Snapshot.
	Clone           string
	ChangeDetection v1alpha1.ChangeDetection
	// Asked is when the snapshot was asked for, in nanoseconds since 1970.
	Asked int64
}

// JobOf is what the shipment asks for.
func JobOf(s *v1alpha1.VolumeShipment) Job {
	j := Job{
		Ref:  Ref{Namespace: s.Namespace, Name: s.Name, UID: s.UID},
		Role: s.Spec.Role, CopyMethod: s.Spec.CopyMethod, Sync: s.Spec.Sync,
	}
	if s.Spec.Snapshot != nil {
		j.Clone, j.ChangeDetection, j.Asked = s.Spec.Snapshot.ClaimUID, s.Spec.Snapshot.ChangeDetection, s.Spec.Snapshot.RequestedTime.UnixNano()
	}
	return j
}

// mustBeExclusive says whether no one else may be able to write the volume: a
// clone that another pod writes to is not a snapshot.
func (j Job) mustBeExclusive() bool {
	return j.Role == v1alpha1.RoleReceive || j.CopyMethod == v1alpha1.CopyMethodStopped || j.CopyMethod == v1alpha1.CopyMethodSnapshot
}

// Report is where a session stands.
type Report struct {
	Job Job
	// Reason of the closed set, and its message for people.
	Reason, Message string
	// Ended: nothing more comes. Err tells how, and is nil after a success.
	Ended bool
	Err   error
	// Result is set after a success.
	Result ship.Result
	// Statistics of the attempt in work, or the last one.
	Statistics ship.Statistics
	// Total bytes to look at, as far as it was measured; 0 while unknown.
	Total int64
	// PartiallyApplied: the target is between two syncs. Set by a receiver that has
	// opened the volume's state; nil before.
	PartiallyApplied *bool
	// Started is when the first connection stood, Completed when the session ended.
	Started, Completed time.Time
}

// Session is one generation's shipping, in work or ended.
type Session struct {
	env     *Env
	job     Job
	log     *slog.Logger
	changed func()
	cancel  context.CancelCauseFunc
	done    chan struct{}
	// attempt ships once; tests replace it.
	attempt func(context.Context) error

	mu     sync.Mutex
	report Report

	burst burst

	// offers are connections of the relay for all attempts; unroute, which is nil
	// before the first, ends their coming.
	offers  *offers
	unroute func()
}

// Start begins a session. changed is called, from any goroutine, when the
// report's reason, message or end changes; statistics change without it.
func Start(ctx context.Context, env *Env, job Job, changed func()) *Session {
	s := newSession(env, job, changed)
	switch job.Role {
	case v1alpha1.RoleSend:
		s.attempt = s.send
	default:
		s.attempt = s.receive
	}
	s.start(ctx)
	return s
}

func newSession(env *Env, job Job, changed func()) *Session {
	return &Session{
		env: env, job: job, changed: changed, done: make(chan struct{}),
		log:    env.Log.With("shipment", job.Ref.String(), "uid", job.UID, "role", job.Role, "sync", job.Sync),
		report: Report{Job: job, Reason: v1alpha1.ReasonQueued}, offers: newOffers(),
	}
}

func (s *Session) start(ctx context.Context) {
	ctx, s.cancel = context.WithCancelCause(ctx)
	go s.run(ctx)
}

// Job returns what the session does.
func (s *Session) Job() Job { return s.job }

// Stop ends the session; cause says why, in the end's report. It returns at
// once: Done tells when everything is closed.
func (s *Session) Stop(cause error) { s.cancel(cause) }

// Done is closed when the session has ended and holds nothing any more.
func (s *Session) Done() <-chan struct{} { return s.done }

// Report returns the state of the session.
func (s *Session) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Between attempts that failed for reasons that pass.
func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 6, Cap: 15 * time.Second}
}

// settle is how long a peer that does not know us may go on not knowing us: its
// user pins keys on both ends one after the other.
const settle = 15 * time.Second

func (s *Session) run(ctx context.Context) {
	defer s.changed()
	defer close(s.done)
	defer s.cancel(nil)
	defer s.closeToOffers()
	s.log.Info("session started", "copyMethod", s.job.CopyMethod)
	s.env.Metrics.Begun(string(s.job.Role))
	backoff := newBackoff()
	var unknownPeerSince time.Time
	for {
		began := time.Now()
		err := s.try(ctx)
		if err != nil && ctx.Err() != nil {
			err = stopped(ctx)
		}
		reason := fault.Reason(err)
		switch {
		case err == nil, ctx.Err() != nil:
			s.end(err)
			return
		case reason == v1alpha1.ReasonPeerKeyMismatch || reason == v1alpha1.ReasonPeerRejected:
			if unknownPeerSince.IsZero() {
				unknownPeerSince = time.Now()
			}
			if time.Since(unknownPeerSince) > settle {
				s.end(err)
				return
			}
		case !fault.Retryable(reason):
			s.end(err)
			return
		default:
			unknownPeerSince = time.Time{}
		}
		if time.Since(began) > backoff.Cap {
			backoff = newBackoff() // it worked for a while
		}
		s.setReason(waitReason(reason), err)
		s.waitBetween(ctx, reason, backoff.Step())
	}
}

// minPause is how long a session rests although a connection is offered.
const minPause = time.Second

// rest waits between two attempts, the first of which failed for a reason. When
// that was that no one was reached, an offer of the relay ends the wait.
func (s *Session) waitBetween(ctx context.Context, reason string, pause time.Duration) {
	first := min(pause, minPause)
	select {
	case <-ctx.Done():
		return
	case <-time.After(first):
	}
	ctx, cancel := context.WithTimeout(ctx, pause-first)
	defer cancel()
	switch reason {
	case v1alpha1.ReasonPeerUnreachable, v1alpha1.ReasonConnectionLost, v1alpha1.ReasonWaitingForPeer:
		s.offers.await(ctx)
	default:
		<-ctx.Done()
	}
}

// waitReason is what is shown between attempts: a reason that ends a generation
// must not be shown before it does.
func waitReason(reason string) string {
	if fault.Retryable(reason) {
		return reason
	}
	return v1alpha1.ReasonWaitingForPeer
}

// stopped is the error of a session whose context ended.
func stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.As(cause, new(*fault.Error)) {
		return cause
	}
	return fault.New(v1alpha1.ReasonSuperseded, "stopped: %w", cause)
}

// try makes one attempt. A panic in it is the end of this session and of no other.
func (s *Session) try(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a session", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fault.New(v1alpha1.ReasonInternal, "internal error: %v", p)
		}
	}()
	return s.attempt(ctx)
}

func (s *Session) end(err error) {
	s.mu.Lock()
	s.report.Ended, s.report.Err, s.report.Completed = true, err, time.Now()
	if err != nil {
		s.report.Reason, s.report.Message = fault.Reason(err), fault.Message(err)
	}
	r := s.report
	s.mu.Unlock()
	s.env.Metrics.Ended(counted(r))
	if err != nil {
		s.log.Warn("session ended", "reason", r.Reason, "error", err)
		return
	}
	s.log.Info("session ended", "verified", r.Result.Verified, "digest", r.Result.Digest,
		"entries", r.Result.Entries, "sentBytes", r.Result.SentBytes, "wireBytes", r.Result.WireBytes, "changedDuringRead", r.Result.ChangedDuringRead)
}

// counted is what an ended session is in numbers.
func counted(r Report) metrics.Sync {
	g := metrics.Sync{
		Role: string(r.Job.Role), Reason: r.Reason, Shipped: r.Err == nil, Took: r.Completed.Sub(r.Started),
		Sent: r.Statistics.SentBytes, Wire: r.Statistics.WireBytes,
	}
	if g.Shipped {
		g.Reason = v1alpha1.ReasonShipped
	}
	if r.Started.IsZero() {
		g.Took = 0 // it was committed by an agent before this one
	}
	return g
}

// tell shows a reason, with err as its message.
func (s *Session) setReason(reason string, err error) {
	message := ""
	if err != nil {
		message = fault.Message(err)
	}
	s.mu.Lock()
	news, said := s.report.Reason != reason, s.report.Message != message
	s.report.Reason, s.report.Message = reason, message
	s.mu.Unlock()
	if news {
		s.log.Info("session state", "reason", reason, "message", message)
	}
	if news || said {
		s.changed()
	}
}

// connected notes that a connection stands.
func (s *Session) connected() {
	s.mu.Lock()
	if s.report.Started.IsZero() {
		s.report.Started = time.Now()
	}
	s.mu.Unlock()
	s.setReason(v1alpha1.ReasonShipping, nil)
}

func (s *Session) progress(f ship.Statistics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Statistics = f
}

func (s *Session) setPartiallyApplied(now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.PartiallyApplied = &now
}

func (s *Session) succeed(r ship.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Result, s.report.Statistics = r, r.Statistics
}
