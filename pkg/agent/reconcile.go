// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/session"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/endpoint"
)

// errShutdown stops sessions when the agent ends; the next agent goes on.
var errShutdown = fault.New(v1alpha1.ReasonConnectionLost, "the agent is shutting down")

func (a *Agent) safely(ctx context.Context, k key) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("panic while reconciling a shipment", "shipment", k.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a.retire(k, fault.New(v1alpha1.ReasonInternal, "internal error: %v", p))
			again, err = idlePeriod, nil
		}
	}()
	return a.reconcile(ctx, k)
}

// reconcile looks at one shipment as it is now and brings its session and its
// status in line. It returns when to look again; 0 means when something happens.
func (a *Agent) reconcile(ctx context.Context, k key) (time.Duration, error) {
	running := a.sessionOf(k)
	if running == nil && !a.watch.concerns(k) {
		return 0, nil
	}
	s, err := cluster.Get[v1alpha1.VolumeShipment](ctx, a.config.Cluster, v1alpha1.VolumeShipments, k.namespace, k.name)
	switch {
	case apierrors.IsNotFound(err):
		a.forgetWrite(k)
		a.retire(k, fault.New(v1alpha1.ReasonSuperseded, "the shipment was deleted"))
		return 0, nil
	case err != nil:
		return 0, err
	case s.DeletionTimestamp != nil:
		a.retire(k, fault.New(v1alpha1.ReasonSuperseded, "the shipment is being deleted"))
		return 0, nil
	case s.Status.NodeName != "" && s.Status.NodeName != a.config.Node:
		a.retire(k, fault.New(v1alpha1.ReasonSuperseded, "the shipment is assigned to node %s", s.Status.NodeName))
		return 0, nil
	}
	seen, err := a.observe(ctx, s)
	if err != nil {
		return 0, err
	}
	if seen.released() && s.Status.NodeName == "" {
		a.retire(k, seen.refused)
		return 0, nil // no pod here: not our business
	}
	if seen.released() && !a.retired(k, seen.refused) {
		return 0, nil // looked at again when the session has closed everything
	}
	if !seen.released() {
		a.syncSession(ctx, k, s, seen)
	}
	return a.writeStatus(ctx, k, s, seen)
}

// observe finds out how the shipment's volume can be reached.
func (a *Agent) observe(ctx context.Context, s *v1alpha1.VolumeShipment) (*observation, error) {
	o := &observation{node: a.config.Node}
	volume, err := a.env.Authorizer.Volume(ctx, s)
	if err != nil {
		if !errors.As(err, new(*fault.Error)) {
			return nil, err
		}
		o.refused = err
		return o, nil
	}
	o.mnt, o.shared = volume.Mount, volume.Shared
	if o.mnt.Block {
		if o.refused = a.env.Devices.Available(); o.refused != nil {
			return o, nil //nolint:nilerr // refused is part of what was observed
		}
	}
	key, err := a.env.State.Key(s.UID)
	if err != nil {
		return nil, err
	}
	o.keySHA256 = key.SHA256()
	if s.Spec.Role == v1alpha1.RoleReceive {
		if o.addresses, err = a.addresses(ctx); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// addresses at which other clusters dial the agents, the likeliest first: what an
// administrator set, a load balancer, this node's NodePort. The first two lead to
// any node; its agent passes the connection on.
func (a *Agent) addresses(ctx context.Context) ([]string, error) {
	svc, err := a.config.Cluster.Kube.CoreV1().Services(a.config.Namespace).Get(ctx, a.config.Service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("service %s/%s: %w", a.config.Namespace, a.config.Service, err)
	}
	return addressesOf(svc, a.config.NodeIP), nil
}

// What a shipment's status can hold: addresses, and characters of one.
const maxAddresses, maxAddressLength = 8, 261

func addressesOf(svc *corev1.Service, nodeIP string) []string {
	out := slices.DeleteFunc(endpoint.Of(svc).Addresses(nodeIP), func(a string) bool { return len(a) > maxAddressLength })
	return out[:min(len(out), maxAddresses)]
}

// arrange makes the session be the one that the shipment asks for.
func (a *Agent) syncSession(ctx context.Context, k key, s *v1alpha1.VolumeShipment, seen *observation) {
	job := session.JobOf(s)
	if running := a.sessionOf(k); running != nil {
		r := running.Report()
		if running.Job() == job && !wasStopped(r) {
			seen.report = &r
			return
		}
		if !a.retired(k, fault.New(v1alpha1.ReasonSuperseded, "superseded by sync %d", job.Sync)) {
			return
		}
	}
	// The status says who serves a shipment before a session does: sessions check it.
	// Nor is there anything to do before the ends are introduced, which brings the
	// shipment back at once; a session would rest after its first attempt.
	if ended(s) || s.Status.NodeName != a.config.Node || !hasPeer(s) {
		return
	}
	started := a.startSession(ctx, k, job)
	r := started.Report()
	seen.report = &r
}

// introduced says whether the shipment's user has told who the peer is.
func hasPeer(s *v1alpha1.VolumeShipment) bool {
	return s.Spec.Peer.ShipmentUID != "" && s.Spec.Peer.KeySHA256 != ""
}

// wasStopped says whether a session ended before its generation did.
func wasStopped(r session.Report) bool {
	return r.Ended && r.Err != nil && fault.Retryable(r.Reason)
}

func (a *Agent) sessionOf(k key) *session.Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[k]
}

func (a *Agent) startSession(ctx context.Context, k key, job session.Job) *session.Session {
	// The session outlives this look at the shipment; stopAll ends it.
	s := session.Start(context.WithoutCancel(ctx), a.env, job, func() { a.queue.Add(k) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[k] = s
	return s
}

// retire stops the session of k, if any, and forgets it once it has ended.
func (a *Agent) retire(k key, cause error) { a.retired(k, cause) }

// retired says whether k has no session any more. The session's end brings k back.
func (a *Agent) retired(k key, cause error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[k]
	if s == nil {
		return true
	}
	s.Stop(cause)
	select {
	case <-s.Done():
		delete(a.sessions, k)
		return true
	default:
		return false
	}
}

// writeStatus writes changes at once, and statistics every statusPeriod.
func (a *Agent) writeStatus(ctx context.Context, k key, s *v1alpha1.VolumeShipment, seen *observation) (time.Duration, error) {
	now := time.Now()
	next := nextStatus(s, seen, now)
	again := idlePeriod
	if r := seen.report; r != nil && !r.Ended && r.Reason == v1alpha1.ReasonShipping {
		again = statusPeriod // its statistics grow; all other changes cause a reconciliation
	}
	switch compare(&s.Status, &next) {
	case same:
		return again, nil
	case statisticsOnly:
		if wait := statusPeriod - now.Sub(a.lastWrite(k)); wait > 0 {
			return wait, nil
		}
	}
	claims := s.Status.NodeName == "" && next.NodeName != ""
	s.Status = next
	if _, err := cluster.UpdateStatus(ctx, a.config.Cluster, v1alpha1.VolumeShipments, s.Namespace, s); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			a.queue.Add(k)
			return 0, nil
		}
		return 0, fmt.Errorf("status of shipment %s: %w", k, err)
	}
	a.noteWrite(k, now)
	if claims {
		a.log.Info("shipment assigned", "shipment", k.String(), "uid", s.UID, "role", s.Spec.Role)
		a.queue.Add(k)
	}
	return again, nil
}

func (a *Agent) lastWrite(k key) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wrote[k]
}

func (a *Agent) forgetWrite(k key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.wrote, k)
}

func (a *Agent) noteWrite(k key, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrote[k] = now
}
