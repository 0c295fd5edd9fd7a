// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/mount"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fsread"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/fswrite"
	"github.com/kubectl-motion/kubectl-motion/pkg/ship/link"
)

// send makes one attempt to ship the volume to the peer.
func (s *Session) send(ctx context.Context) error {
	at, facts, err := s.openVolume(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	special, err := s.specialFiles(facts)
	if err != nil {
		return err
	}
	method, err := at.method(viewOptions(s.job))
	if err != nil {
		return err
	}
	switch {
	case at.device != nil:
		s.setTotal(method.Info().Size)
	case facts.Shipment.Status.Statistics.TotalBytes == 0:
		s.measureBeside(at)
	}
	s.openToOffers()
	d := &dialler{session: s, key: at.key, mnt: *facts.Mount, offers: s.offers, broken: at.cancel}
	result, err := ship.Send(at.ctx, method, d.dial, at.state, ship.SendOptions{
		Bandwidth:    facts.Grant.WithLimits(facts.Shipment.Spec.Limits),
		SpecialFiles: special,
		Sync:         syncID(facts.Shipment),
		BeforeVerify: s.recheckExclusive,
		Progress:     s.progress,
		Logger:       s.log,
	})
	return s.conclude(at, result, err)
}

// receive makes one attempt to take the volume from the peer. It opens nothing
// and holds no slot until the peer has proved who it is.
func (s *Session) receive(ctx context.Context) error {
	if done, err := s.finish(ctx); done || err != nil {
		return err
	}
	a := newAcceptor(s)
	defer a.close()
	remove := s.env.Listener.Route(string(s.job.UID), func(conn net.Conn, p link.Preface, release func()) { a.take(ctx, conn, p, release) })
	defer remove()
	s.setReason(v1alpha1.ReasonWaitingForPeer, nil)
	if err := a.await(ctx); err != nil {
		return err
	}
	at, facts, err := s.openVolume(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	special, err := s.specialFiles(facts)
	if err != nil {
		return err
	}
	target, err := at.target()
	if err != nil {
		return err
	}
	a.begin(facts.Mount, at.cancel)
	result, err := ship.Receive(at.ctx, target, a.accept, at.state, ship.ReceiveOptions{
		SpecialFiles: special,
		MaxBytes:     capacity(facts.PV),
		Sync:         syncID(facts.Shipment),
		BeforeVerify: s.recheckExclusive,
		Progress:     func(f ship.Statistics) { s.progress(f); s.setPartiallyApplied(at.state.PartiallyApplied()) },
		Logger:       s.log,
	})
	s.setPartiallyApplied(at.state.PartiallyApplied())
	return s.conclude(at, result, err)
}

// place is an open volume, watched. Its context ends when anything that was
// proved of it ceases to be so.
type openedVolume struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	key    *link.Key
	state  *ship.State
	// One of the two is open: the root of a filesystem, or a raw block device.
	root   *os.File
	device *mount.Device

	closers []func()
	once    sync.Once
}

func (p *openedVolume) onClose(f func()) { p.closers = append(p.closers, f) }

// leave closes everything, last opened first.
func (p *openedVolume) close() {
	p.once.Do(func() {
		for _, closer := range slices.Backward(p.closers) {
			closer()
		}
	})
}

// enter goes through the chain of checks to an open volume.
func (s *Session) openVolume(ctx context.Context) (_ *openedVolume, _ *authz.Authorization, err error) {
	facts, err := s.verify(ctx)
	if err != nil {
		return nil, nil, err
	}
	p := &openedVolume{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.key, err = s.env.State.Key(s.job.UID); err != nil {
		return nil, nil, fault.New(v1alpha1.ReasonInternal, "%w", err)
	}
	waited, err := s.waitForSlot(ctx, p, facts)
	if err != nil {
		return nil, nil, err
	}
	if waited {
		if facts, err = s.verify(ctx); err != nil {
			return nil, nil, err
		}
	}
	if err := s.watch(ctx, p, facts); err != nil {
		return nil, nil, err
	}
	return p, facts, s.open(p, facts)
}

// waitForSlot says whether it took so long that the facts may be old.
func (s *Session) waitForSlot(ctx context.Context, p *openedVolume, facts *authz.Authorization) (bool, error) {
	began := time.Now()
	queued := time.AfterFunc(time.Second, func() { s.setReason(v1alpha1.ReasonQueued, nil) })
	defer queued.Stop()
	release, err := s.env.Slots.Acquire(ctx, s.job.Namespace, facts.Grant.MaxConcurrent, facts.Claim.UID)
	if err != nil {
		return false, err
	}
	p.onClose(release)
	return time.Since(began) > burstWindow, nil
}

// watch begins to guard what was proved, before anything is opened: what changes
// from now on ends the attempt.
func (s *Session) watch(ctx context.Context, p *openedVolume, facts *authz.Authorization) error {
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.onClose(func() { p.cancel(nil) })
	g := &guard{session: s, facts: facts, broken: p.cancel}
	p.onClose(g.start(p.ctx))
	return g.settled(p.ctx)
}

func (s *Session) open(p *openedVolume, facts *authz.Authorization) error {
	if facts.Mount.Block {
		if err := s.openDevice(p, facts); err != nil {
			return err
		}
		return s.openState(p, facts)
	}
	root, err := s.env.Opener.OpenTree(facts.Mount, facts.PV)
	if err != nil {
		return err
	}
	p.root = root
	p.onClose(func() { _ = root.Close() })
	return s.openState(p, facts)
}

func (s *Session) openDevice(p *openedVolume, facts *authz.Authorization) error {
	if err := s.env.Opener.CheckDevice(facts.Mount, facts.PV.Name); err != nil {
		return err
	}
	d, err := s.env.Devices.Open(p.ctx, facts.PV.Name, string(facts.Mount.PodUID), s.job.Role == v1alpha1.RoleReceive)
	if err != nil {
		return err
	}
	p.device = d
	p.onClose(func() { _ = d.Close() })
	return nil
}

// view is the open volume for package ship to read.
func (p *openedVolume) method(o fsread.Options) (ship.Source, error) {
	if p.device != nil {
		o.Direct = p.device.Direct
		method, err := fsread.OpenDevice(p.device.File, o)
		if err != nil {
			return nil, shipFault(err)
		}
		p.onClose(func() { _ = method.Close() })
		return method, nil
	}
	method, err := fsread.OpenTree(p.root, o)
	if err != nil {
		return nil, shipFault(err)
	}
	p.onClose(func() { _ = method.Close() })
	return method, nil
}

// target is the open volume for package ship to write.
func (p *openedVolume) target() (ship.Target, error) {
	if p.device != nil {
		target, err := fswrite.OpenDevice(p.device.File, fswrite.Options{Direct: p.device.Direct})
		if err != nil {
			return nil, shipFault(err)
		}
		p.onClose(func() { _ = target.Close() })
		return target, nil
	}
	target, err := fswrite.OpenTree(p.root, fswrite.Options{})
	if err != nil {
		return nil, shipFault(err)
	}
	p.onClose(func() { _ = target.Close() })
	return target, nil
}

// conclude judges how package ship ended. A pass that ended well is never
// removed, also after changes.
func (s *Session) conclude(at *openedVolume, result ship.Result, err error) error {
	if err == nil {
		s.succeed(result)
		return nil
	}
	if cause := context.Cause(at.ctx); cause != nil {
		return broken(cause, err)
	}
	return shipFault(err)
}

// recheckExclusive authorizes once more, after the last byte and before anything is
// verified. It retries until the API server answers.
func (s *Session) recheckExclusive(ctx context.Context) error {
	backoff := newBackoff()
	for {
		_, err := s.verify(ctx)
		switch reason := fault.Reason(err); {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case reason == v1alpha1.ReasonNotExclusive, reason == v1alpha1.ReasonPolicyDenied, reason == v1alpha1.ReasonClaimMismatch:
			return err
		case reason != v1alpha1.ReasonQueued:
			return nil // the guard ends the attempt if it has to
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

// broken is the error of an attempt that was ended by cause.
func broken(cause, err error) error {
	if errors.As(cause, new(*fault.Error)) {
		return cause
	}
	return fault.New(v1alpha1.ReasonSuperseded, "%w (%w)", cause, err)
}

// verify proves everything again that the API server can tell.
func (s *Session) verify(ctx context.Context) (*authz.Authorization, error) {
	facts, err := s.env.Authorizer.Authorize(ctx, s.job.Namespace, s.job.Name, s.job.UID)
	switch {
	case err != nil && errors.As(err, new(*fault.Error)):
		return nil, err
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fault.New(v1alpha1.ReasonQueued, "cannot read from the API server: %w", err)
	case facts.Shipment.Spec.Sync != s.job.Sync:
		return nil, fault.New(v1alpha1.ReasonSuperseded, "superseded by sync %d", facts.Shipment.Spec.Sync)
	case s.job.mustBeExclusive() && facts.Shared != nil:
		return nil, facts.Shared
	}
	return facts, nil
}

// burstWindow is how long a proof serves: the connections of one session are made
// within moments of each other.
const burstWindow = time.Second

// burst shares one proof among connections that are made at the same time.
type burst struct {
	mu    sync.Mutex
	at    time.Time
	facts *authz.Authorization
}

// verifyConnection proves everything for one more connection.
func (s *Session) verifyConnection(ctx context.Context) (*authz.Authorization, error) {
	s.burst.mu.Lock()
	defer s.burst.mu.Unlock()
	if s.burst.facts != nil && time.Since(s.burst.at) < burstWindow {
		return s.burst.facts, nil
	}
	facts, err := s.verify(ctx)
	if err != nil {
		s.burst.facts = nil
		return nil, err
	}
	s.burst.facts, s.burst.at = facts, time.Now()
	return facts, nil
}

// sameMount refuses to go on with a volume that is open through another pod.
func sameMount(open *authz.Mount, now *authz.Mount) error {
	if open != nil && *open != *now {
		return fault.New(v1alpha1.ReasonConnectionLost, "the volume is now mounted by pod %s", now.PodName)
	}
	return nil
}

func viewOptions(j Job) fsread.Options {
	switch j.CopyMethod {
	case v1alpha1.CopyMethodStopped:
		return fsread.Options{ChangeDetection: fsread.ByTimestamps}
	case v1alpha1.CopyMethodSnapshot:
		if j.ChangeDetection == v1alpha1.ChangeDetectionTimestamps {
			return fsread.Options{ChangeDetection: fsread.ByTimestamps, CutUnixNano: j.Asked}
		}
		return fsread.Options{ChangeDetection: fsread.ByContent, CutUnixNano: j.Asked}
	default:
		return fsread.Options{ChangeDetection: fsread.ByTimestamps, Live: true}
	}
}

// specialFiles is what the policies say about special files. Preserve needs capabilities
// that the agents only have where an administrator asked for them: without SYS_ADMIN,
// trusted.* attributes are invisible and would be lost unnoticed.
func (s *Session) specialFiles(f *authz.Authorization) (ship.SpecialFiles, error) {
	switch {
	case !f.Grant.PreserveSpecial:
		return ship.Refuse, nil
	case s.env.WithoutPreserve:
		return ship.Refuse, fault.New(v1alpha1.ReasonPolicyDenied,
			"the MotionPolicies (%s) set specialFiles: Preserve, but the agents were installed without its capabilities: "+
				"ask an administrator to run: kubectl motion pair --special-files preserve", strings.Join(f.Grant.Policies, ", "))
	}
	return ship.Preserve, nil
}

// capacity bounds what a target may occupy: local volumes have no bound of their own.
func capacity(pv *corev1.PersistentVolume) int64 {
	q, ok := pv.Spec.Capacity[corev1.ResourceStorage]
	if !ok {
		return 0
	}
	return q.Value()
}

// shipFault gives an error of package ship its reason of the closed set.
func shipFault(err error) error {
	if errors.As(err, new(*fault.Error)) {
		return err
	}
	var e *ship.Error
	if !errors.As(err, &e) {
		return fault.New(v1alpha1.ReasonInternal, "%w", err)
	}
	return fault.New(reasonOf(e), "%w", err)
}

func reasonOf(e *ship.Error) string {
	switch name := string(e.Reason); name {
	case v1alpha1.ReasonTargetFull, v1alpha1.ReasonTargetUnsupported, v1alpha1.ReasonTargetTooSmall, v1alpha1.ReasonUnreadable,
		v1alpha1.ReasonSpecialFileRefused, v1alpha1.ReasonSourceChanged, v1alpha1.ReasonDigestMismatch, v1alpha1.ReasonPeerVersionMismatch,
		v1alpha1.ReasonPeerRejected, v1alpha1.ReasonStateCorrupt, v1alpha1.ReasonConnectionLost:
		return name
	case "TargetUnwritable":
		return v1alpha1.ReasonTargetUnsupported
	case "PartiallyApplied":
		return v1alpha1.ReasonStateCorrupt
	case "Refused":
		return v1alpha1.ReasonNotExclusive // the other end's recheckExclusive
	case "StateBusy":
		return v1alpha1.ReasonQueued
	case "Cancelled":
		// Ours would have been seen before; so it is the other end that stopped.
		return v1alpha1.ReasonConnectionLost
	}
	return v1alpha1.ReasonInternal
}
