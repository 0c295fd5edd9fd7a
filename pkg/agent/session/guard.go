// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/authz"
	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// guard watches what an attempt stands on and breaks it when that gives way.
//
// The claim and the seat's pod are watched, and all pods of the namespace when
// the volume must not be shared. What nothing tells about in time (volume
// attachments, policies) is asked for again now and then. When the API server
// cannot be reached for long, nothing is proved any more.
type guard struct {
	session *Session
	facts   *authz.Authorization
	// broken ends the attempt; the first cause counts.
	broken context.CancelCauseFunc

	listed    sync.WaitGroup
	podsOnce  sync.Once
	claimOnce sync.Once
}

const (
	// recheck is how often everything is proved again.
	recheck = 15 * time.Second
	// blind is how long the API server may be out of reach.
	proofTimeout = time.Minute
	// firstList bounds the wait for the first lists.
	firstList = 10 * time.Second
)

// start begins to watch. The returned function ends it and waits.
func (g *guard) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	kube := g.session.env.Authorizer.Cluster.Kube.CoreV1()
	namespace := g.facts.Claim.Namespace
	podName := fields.Everything()
	if !g.session.job.mustBeExclusive() {
		podName = fields.OneTermEqualSelector(metav1.ObjectNameField, g.facts.Mount.PodName)
	}
	pods, claims := kube.Pods(namespace), kube.PersistentVolumeClaims(namespace)
	g.listed.Add(2)
	work.Go(func() {
		follow(ctx, g.session.env.Authorizer.Cluster.Kube, &corev1.Pod{}, podName,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list, err := pods.List(ctx, o)
				if err != nil {
					return nil, err
				}
				for i := range list.Items {
					list.Items[i] = *authz.TrimPod(&list.Items[i])
				}
				return list, nil
			},
			pods.Watch, &observer{changed: g.podChanged, gone: g.podGone, all: g.podsListed})
	})
	work.Go(func() {
		follow(ctx, g.session.env.Authorizer.Cluster.Kube, &corev1.PersistentVolumeClaim{}, fields.OneTermEqualSelector(metav1.ObjectNameField, g.facts.Claim.Name),
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return claims.List(ctx, o) },
			claims.Watch, &observer{changed: g.claimChanged, gone: g.claimGone, all: g.claimsListed})
	})
	work.Go(func() { g.recheck(ctx) })
	return func() { cancel(); work.Wait() }
}

// settled waits until everything is watched, so that nothing happens unseen
// between the proof and the opening.
func (g *guard) settled(ctx context.Context) error {
	done := make(chan struct{})
	go func() { g.listed.Wait(); close(done) }()
	select {
	case <-done:
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(firstList):
		return fault.New(v1alpha1.ReasonQueued, "the API server did not list the pods and the PVC to watch in time")
	}
}

func (g *guard) podsListed(pods []any) {
	seen := false
	for _, o := range pods {
		p, ok := o.(*corev1.Pod)
		seen = seen || ok && p.UID == g.facts.Mount.PodUID
		g.podChanged(o)
	}
	if !seen {
		g.podLost()
	}
	g.podsOnce.Do(g.listed.Done)
}

func (g *guard) podLost() {
	g.broken(fault.New(v1alpha1.ReasonWaitingForMountPod, "pod %s was deleted or is not running", g.facts.Mount.PodName))
}

func (g *guard) podGone(o any) {
	if p, ok := o.(*corev1.Pod); ok && p.UID == g.facts.Mount.PodUID {
		g.podLost()
	}
}

// podChanged decides at once and without asking: five seconds are not long.
func (g *guard) podChanged(o any) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	if p.UID == g.facts.Mount.PodUID {
		if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
			g.podLost()
		}
		return
	}
	if !g.session.job.mustBeExclusive() {
		return
	}
	alone := authz.CheckExclusive(g.facts.Shipment, g.facts.PV, g.session.env.Authorizer.Node, authz.VolumeUsers{Pods: []corev1.Pod{*p}})
	if alone != nil {
		g.broken(alone)
	}
}

func (g *guard) claimsListed(claims []any) {
	for _, o := range claims {
		g.claimChanged(o)
	}
	if len(claims) == 0 {
		g.claimGone(nil)
	}
	g.claimOnce.Do(g.listed.Done)
}

func (g *guard) claimGone(any) {
	g.broken(fault.New(v1alpha1.ReasonClaimMismatch, "PVC %s was deleted", g.facts.Claim.Name))
}

func (g *guard) claimChanged(o any) {
	if pvc, ok := o.(*corev1.PersistentVolumeClaim); ok {
		if err := authz.CheckClaim(g.facts.Shipment, pvc, g.facts.PV); err != nil {
			g.broken(err)
		}
	}
}

// recheck proves everything again from time to time.
func (g *guard) recheck(ctx context.Context) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	proved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ask, cancel := context.WithTimeout(ctx, recheck)
		facts, err := g.session.verify(ask)
		cancel()
		switch reason := fault.Reason(err); {
		case ctx.Err() != nil:
			return
		case err == nil:
			proved = time.Now()
			if err := sameMount(g.facts.Mount, facts.Mount); err != nil {
				g.broken(err)
			}
		case reason != v1alpha1.ReasonQueued && ask.Err() == nil:
			g.broken(err)
		case time.Since(proved) > proofTimeout:
			g.broken(fault.New(v1alpha1.ReasonConnectionLost, "the API server could not be read for %s: %w", proofTimeout, err))
		}
	}
}

// observer takes what a reflector sees; it stores nothing.
type observer struct {
	changed, gone func(any)
	all           func([]any)
}

var _ cache.TransformingStore = (*observer)(nil)

// The methods of cache.ReflectorStore.
func (o *observer) Add(obj any) error                  { o.changed(obj); return nil }
func (o *observer) Update(obj any) error               { o.changed(obj); return nil }
func (o *observer) Delete(obj any) error               { o.gone(obj); return nil }
func (o *observer) Replace(objs []any, _ string) error { o.all(objs); return nil }
func (o *observer) Resync() error                      { return nil }

// Transformer trims pods as they arrive, before a reflector collects them.
func (o *observer) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if p, ok := obj.(*corev1.Pod); ok {
			return authz.TrimPod(p), nil
		}
		return obj, nil
	}
}

type (
	listFunc  = func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watchFunc = func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// follow lists and watches until ctx ends. The lists are consistent ones: a
// watch from an old list would report old changes as new.
func follow(ctx context.Context, client any, kind runtime.Object, selector fields.Selector, list listFunc, watching watchFunc, o *observer) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.FieldSelector, opts.ResourceVersion, opts.ResourceVersionMatch = selector.String(), "", ""
			return list(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector = selector.String()
			return watching(ctx, opts)
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), kind, o, cache.ReflectorOptions{})
	r.WatchListPageSize = authz.PodPage
	r.RunWithContext(ctx)
}
