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
	"github.com/kubectl-motion/kubectl-motion/pkg/holder"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// prepareVolumes turns the plan's volumes into a fleet that is ready to ship.
func (r *Run) prepareVolumes(ctx context.Context) error {
	templates, err := r.holderTemplates(ctx)
	if err != nil {
		return err
	}
	f := &fleet{
		name: r.Request.Name, source: r.source(), target: r.target(), sink: r.Sink,
		limits: r.Request.Limits, route: r.Request.Route, patience: r.Request.Patience,
	}
	for _, v := range r.plan.Volumes {
		f.volumes = append(f.volumes, &volume{claim: v.Claim, targetClaim: v.TargetClaim, manifest: v.Apply()})
	}
	for _, g := range r.plan.Groups {
		f.groups = append(f.groups, groupOf(g, r.plan.Volumes))
	}
	r.fleet = f
	return f.prepare(ctx, r.record, templates)
}

func groupOf(g plan.Group, volumes []plan.Volume) holder.Group {
	out := holder.Group{Name: g.Name, Claims: g.Claims}
	if g.Template != nil {
		out.Placement = holder.PlacementOf(g.Template)
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

// holderTemplates reads what administrators say about holders. A user who may
// not read policies, because nothing was ever paired, learns that from the agent.
func (r *Run) holderTemplates(ctx context.Context) (holderTemplates, error) {
	var out holderTemplates
	for _, side := range []struct {
		place
		into **v1alpha1.HolderTemplate
	}{{r.source(), &out.source}, {r.target(), &out.target}} {
		policies, err := policiesOf(ctx, side.place)
		if err != nil {
			return out, err
		}
		for i := range policies {
			if t := policies[i].Spec.HolderTemplate; t != nil && *side.into == nil {
				*side.into = t
			}
		}
	}
	return out, nil
}

// copyOnce makes one pass: from the stopped application if nobody has the
// volumes, else live. A live pass in which entries moved is followed by a few
// more, because a quiet moment may be enough.
func (r *Run) copyOnce(ctx context.Context) error {
	const attempts = 3
	for range attempts {
		view, err := r.view(ctx)
		if err != nil {
			return err
		}
		if err := r.pass(ctx, view); err != nil {
			return err
		}
		if !r.fleet.moved() {
			return nil
		}
	}
	return nil
}

// Bounds of the increments before a cutover: the last pass should be short,
// because the application is down for it, but increments that no longer get
// shorter are not worth their time.
const (
	maxIncrements   = 6
	shortIncrement  = 2 * time.Second
	worthwhileRatio = 0.7
)

// copyLive makes increments while the application runs, until one was short.
func (r *Run) copyLive(ctx context.Context) error {
	view, err := r.view(ctx)
	if err != nil || view == v1alpha1.ViewStopped || len(r.fleet.volumes) == 0 {
		return err // nobody writes: the last pass alone does it
	}
	last := time.Duration(0)
	for range maxIncrements {
		begun := time.Now()
		if err := r.pass(ctx, v1alpha1.ViewLive); err != nil {
			return err
		}
		took := time.Since(begun)
		if took < shortIncrement || (last > 0 && float64(took) > worthwhileRatio*float64(last)) {
			return nil
		}
		last = took
	}
	return nil
}

// view is Stopped when only holders have the volumes, and Live otherwise.
func (r *Run) view(ctx context.Context) (v1alpha1.View, error) {
	n, err := r.users(ctx)
	if err != nil || n > 0 {
		return v1alpha1.ViewLive, err
	}
	return v1alpha1.ViewStopped, nil
}

// pass ships every volume once and records where each stands. Volumes that
// failed for a reason that another pass would not mend end the run.
func (r *Run) pass(ctx context.Context, view v1alpha1.View) error {
	if len(r.fleet.volumes) == 0 {
		return nil
	}
	if err := r.fleet.pass(ctx, view); err != nil {
		return err
	}
	before := r.record.kept.Status.Volumes
	status, why, message := metav1.ConditionTrue, "Shipped", fmt.Sprintf("%d volumes, view %s", len(r.fleet.volumes), view)
	failed := r.fleet.broken()
	if failed != nil {
		status, why, message = metav1.ConditionFalse, "SomeFailed", failed.Error()
	}
	err := r.record.set(ctx, v1alpha1.MigrationVolumesShipped, status, why, message,
		func(s *v1alpha1.MigrationStatus) { s.Volumes = r.fleet.lines(before) })
	if failed != nil {
		return failed
	}
	return err
}

// moved says whether a volume arrived but moved under the read.
func (f *fleet) moved() bool {
	for _, v := range f.volumes {
		if v.outcome.Shipped && !v.outcome.Promoted {
			return true
		}
	}
	return false
}

// broken is the first volume that did not arrive.
func (f *fleet) broken() error {
	for _, v := range f.volumes {
		switch {
		case v.outcome.Reason == v1alpha1.ReasonDigestMismatch:
			return &VerificationError{Claim: v.claim, Message: v.outcome.Message}
		case !v.outcome.Shipped:
			return fmt.Errorf("volume %s: %s: %s%s", v.claim, v.outcome.Reason, v.outcome.Message, remedy(v.outcome.Reason))
		}
	}
	return nil
}

// remedy is what a user can do about a reason.
func remedy(reason string) string {
	switch reason {
	case v1alpha1.ReasonTargetFull:
		return "\nhint: make room on the target volume or let it be larger, then run the same command: what has arrived is not sent again"
	case v1alpha1.ReasonPolicyDenied, v1alpha1.ReasonAddressNotAllowed:
		return "\nhint: an administrator has to allow it: kubectl get motionpolicies, and kubectl motion pair"
	case v1alpha1.ReasonSpecialFileRefused:
		return "\nhint: remove the file, or an administrator sets specialFiles: Preserve in the MotionPolicies of both clusters"
	case v1alpha1.ReasonNotExclusive:
		return "\nhint: another pod has the volume: see kubectl describe pvc"
	case v1alpha1.ReasonPeerUnreachable:
		return "\nhint: if only the API servers of the clusters can be reached, an administrator runs kubectl motion agent install --relay on both, and kubectl motion pair --relay"
	case v1alpha1.ReasonPeerVersion:
		return "\nhint: the agents of the two clusters differ: an administrator runs kubectl motion pair again"
	}
	return ""
}

// ignoreNotFound takes an absent object for nothing found.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// emitTotals tells what the volumes cost over all passes of this run.
func (r *Run) emitTotals() {
	for _, v := range r.fleet.volumes {
		progress.Notef(r.Sink, "volume %s: %s sent and %s on the wire in %d passes and %s (%s/s)", v.claim, progress.Bytes(v.sent),
			progress.Bytes(v.wire), v.passes, v.spent.Round(10*time.Millisecond), progress.Bytes(int64(float64(v.sent)/max(v.spent.Seconds(), 0.001))))
	}
}
