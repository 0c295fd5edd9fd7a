// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/transfer"
)

// prepareVolumes creates what the plan's volumes need to be shipped.
func (r *Run) prepareVolumes(ctx context.Context) error {
	source, err := r.side(ctx, r.source(), r.target())
	if err != nil {
		return err
	}
	target, err := r.side(ctx, r.target(), r.source())
	if err != nil {
		return err
	}
	f := &transfer.Volumes{
		Name: r.Request.Name, Source: source, Target: target, Sink: r.Sink,
		Limits: r.Request.Limits, Route: r.Request.Plan.Route, NotByRelay: r.plan.Routes.RelayProblem, Timeout: r.Request.Timeout, CopyMethods: r.Request.Plan.CopyMethods,
		Around: r.aroundSnapshots, Stops: r.Request.Mode == v1alpha1.ModeCutover,
	}
	for _, v := range r.plan.Volumes {
		f.Volumes = append(f.Volumes, &transfer.Volume{
			Claim: v.Claim, TargetClaim: v.TargetClaim, Manifest: v.Apply(),
			Copied: v.Copied(r.Source.Namespace), Choice: v.CopyMethod, Occupied: v.Occupied(),
		})
	}
	for _, g := range r.plan.Groups {
		f.Groups = append(f.Groups, groupOf(g, r.plan.Volumes))
	}
	r.volumes = f
	return f.Prepare(ctx)
}

func groupOf(g plan.Group, volumes []plan.Volume) mountpod.Group {
	out := mountpod.Group{Name: g.Name, Claims: g.Claims}
	if g.Template != nil {
		out.Placement = mountpod.PlacementOf(g.Template)
	}
	out.Placement.NodeName = g.Node
	for _, v := range volumes {
		if v.VolumeMode != corev1.PersistentVolumeBlock {
			continue
		}
		for _, c := range g.Claims {
			if c == v.Claim {
				out.Block = append(out.Block, c)
			}
		}
	}
	return out
}

// side is a namespace with the owner and the template of its mount pods.
func (r *Run) side(ctx context.Context, p, other cluster.Namespace) (transfer.Side, error) {
	s := transfer.Side{Namespace: p}
	policies, err := policiesOf(ctx, p, other)
	if err != nil {
		return s, err
	}
	s.Template = policy.MountPodTemplate(policies)
	s.Owner, err = r.record.owner(ctx, p)
	return s, err
}

// copyOnce makes one sync: Stopped if no pod uses the volumes, else Live. A live sync
// during which entries changed is repeated a few times.
func (r *Run) copyOnce(ctx context.Context) error {
	const attempts = 3
	for range attempts {
		method, err := r.method(ctx)
		if err != nil {
			return err
		}
		if err := r.sync(ctx, method); err != nil {
			return err
		}
		if !r.volumes.Changed() {
			return nil
		}
	}
	return nil
}

// Bounds of the increments before a cutover: the last sync should be short, because
// the application is down during it, but increments that no longer get shorter do not
// help.
const (
	maxIncrements   = 6
	shortIncrement  = 2 * time.Second
	shorteningRatio = 0.7
)

// copyLive ships increments while the application runs, until one was short.
func (r *Run) copyLive(ctx context.Context) error {
	method, err := r.method(ctx)
	if err != nil || method == v1alpha1.CopyMethodStopped || len(r.volumes.Volumes) == 0 {
		return err // nothing writes: the last sync is enough
	}
	last := time.Duration(0)
	for range maxIncrements {
		begun := time.Now()
		if err := r.sync(ctx, v1alpha1.CopyMethodLive); err != nil {
			return err
		}
		took := time.Since(begun)
		if took < shortIncrement || (last > 0 && float64(took) > shorteningRatio*float64(last)) {
			return nil
		}
		last = took
	}
	return nil
}

// method is Stopped when only mount pods use the volumes, and Live otherwise.
func (r *Run) method(ctx context.Context) (v1alpha1.CopyMethod, error) {
	n, err := r.users(ctx)
	if err != nil || n > 0 {
		return v1alpha1.CopyMethodLive, err
	}
	return v1alpha1.CopyMethodStopped, nil
}

// sync ships every volume once and records the status of each. A volume that failed
// ends the run.
func (r *Run) sync(ctx context.Context, method v1alpha1.CopyMethod) error {
	if len(r.volumes.Volumes) == 0 {
		return nil
	}
	if err := r.volumes.Sync(ctx, method); err != nil {
		return err
	}
	before := r.record.kept.Status.Volumes
	status, why, message := metav1.ConditionTrue, "Shipped", fmt.Sprintf("%d volumes: %s", len(r.volumes.Volumes), r.volumes.MethodCounts())
	failed := r.volumes.Broken()
	if failed != nil {
		status, why, message = metav1.ConditionFalse, "SomeFailed", failed.Error()
	}
	err := r.record.set(ctx, v1alpha1.MigrationVolumesShipped, status, why, message,
		func(s *v1alpha1.MigrationStatus) { s.Volumes = r.volumes.Lines(before) })
	if failed != nil {
		return failed
	}
	return err
}

// ignoreNotFound returns nil for an object that does not exist.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// showStatistics shows the statistics of the volumes over all syncs of this run.
func (r *Run) showStatistics() {
	for _, v := range r.volumes.Volumes {
		progress.Notef(r.Sink, "volume %s: %s sent, %s on the wire, %d syncs in %s, %s/s", v.Claim, progress.Bytes(v.Sent),
			progress.Bytes(v.Wire), v.Syncs, v.Spent.Round(10*time.Millisecond), progress.Bytes(int64(float64(v.Sent)/max(v.Spent.Seconds(), 0.001))))
	}
}
