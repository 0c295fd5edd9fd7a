// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/agenttest"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// patience bounds waits for what must happen; nothing depends on its length.
const timeout = 20 * time.Second

// guarded is an attempt that is being watched.
type guarded struct {
	t        *testing.T
	verifier *authz.Authorizer
	ctx      context.Context
}

func guardOver(t *testing.T, w *agenttest.World) *guarded {
	t.Helper()
	v := agenttest.New(t, w)
	s := newSession(&Env{Authorizer: v, Log: slog.New(slog.DiscardHandler)}, JobOf(w.Shipment), func() {})
	facts, err := s.verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	g := &guard{session: s, facts: facts, broken: cancel}
	stop := g.start(ctx)
	t.Cleanup(func() { cancel(nil); stop() })
	if err := g.settled(ctx); err != nil {
		t.Fatal(err)
	}
	w.AwaitWatches(t, "pods", 1)
	w.AwaitWatches(t, "persistentvolumeclaims", 1)
	return &guarded{t: t, verifier: v, ctx: ctx}
}

func (g *guarded) wantBroken(reason string) {
	g.t.Helper()
	select {
	case <-g.ctx.Done():
	case <-time.After(timeout):
		g.t.Fatalf("nothing was noticed, want %s", reason)
	}
	if cause := context.Cause(g.ctx); fault.Reason(cause) != reason {
		g.t.Errorf("broken by %v, want %s", cause, reason)
	}
}

func TestWhatAnAttemptStandsOnIsWatched(t *testing.T) {
	cases := map[string]struct {
		role   v1alpha1.Role
		happen func(*testing.T, *authz.Authorizer) error
		reason string
	}{
		"the mount pod is deleted": {v1alpha1.RoleSend, func(t *testing.T, v *authz.Authorizer) error {
			return v.Cluster.Kube.CoreV1().Pods(agenttest.Namespace).Delete(t.Context(), agenttest.Pod, metav1.DeleteOptions{})
		}, v1alpha1.ReasonWaitingForMountPod},
		"the mount pod is about to go": {v1alpha1.RoleSend, func(t *testing.T, v *authz.Authorizer) error {
			p := agenttest.MountPod(agenttest.Pod, agenttest.PodUID)
			p.DeletionTimestamp = new(metav1.Now())
			_, err := v.Cluster.Kube.CoreV1().Pods(agenttest.Namespace).Update(t.Context(), p, metav1.UpdateOptions{})
			return err
		}, v1alpha1.ReasonWaitingForMountPod},
		"the mount pod ends": {v1alpha1.RoleSend, func(t *testing.T, v *authz.Authorizer) error {
			p := agenttest.MountPod(agenttest.Pod, agenttest.PodUID)
			p.Status.Phase = corev1.PodSucceeded
			_, err := v.Cluster.Kube.CoreV1().Pods(agenttest.Namespace).Update(t.Context(), p, metav1.UpdateOptions{})
			return err
		}, v1alpha1.ReasonWaitingForMountPod},
		"the claim is deleted": {v1alpha1.RoleSend, func(t *testing.T, v *authz.Authorizer) error {
			return v.Cluster.Kube.CoreV1().PersistentVolumeClaims(agenttest.Namespace).Delete(t.Context(), agenttest.Claim, metav1.DeleteOptions{})
		}, v1alpha1.ReasonClaimMismatch},
		"the claim is about to go": {v1alpha1.RoleSend, func(t *testing.T, v *authz.Authorizer) error {
			pvc := agenttest.Fine(v1alpha1.RoleSend).Claim
			pvc.DeletionTimestamp = new(metav1.Now())
			_, err := v.Cluster.Kube.CoreV1().PersistentVolumeClaims(agenttest.Namespace).Update(t.Context(), pvc, metav1.UpdateOptions{})
			return err
		}, v1alpha1.ReasonClaimMismatch},
		"an application starts on the target": {v1alpha1.RoleReceive, func(t *testing.T, v *authz.Authorizer) error {
			_, err := v.Cluster.Kube.CoreV1().Pods(agenttest.Namespace).Create(t.Context(), agenttest.Application("pg-0"), metav1.CreateOptions{})
			return err
		}, v1alpha1.ReasonNotExclusive},
		"an application starts on another node": {v1alpha1.RoleReceive, func(t *testing.T, v *authz.Authorizer) error {
			p := agenttest.Application("pg-0")
			p.Spec.NodeName = "node-2"
			_, err := v.Cluster.Kube.CoreV1().Pods(agenttest.Namespace).Create(t.Context(), p, metav1.CreateOptions{})
			return err
		}, v1alpha1.ReasonNotExclusive},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := guardOver(t, agenttest.Fine(c.role))
			if g.ctx.Err() != nil {
				t.Fatalf("broken before anything happened: %v", context.Cause(g.ctx))
			}
			if err := c.happen(t, g.verifier); err != nil {
				t.Fatal(err)
			}
			g.wantBroken(c.reason)
		})
	}
}

func TestAnApplicationBesideALiveViewBreaksNothing(t *testing.T) {
	w := agenttest.Fine(v1alpha1.RoleSend)
	g := guardOver(t, w)
	pods := g.verifier.Cluster.Kube.CoreV1().Pods(agenttest.Namespace)
	if _, err := pods.Create(t.Context(), agenttest.Application("pg-0"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// What comes after it in the same watch is noticed, so it was seen and left alone.
	if err := pods.Delete(t.Context(), agenttest.Pod, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.wantBroken(v1alpha1.ReasonWaitingForMountPod)
}
