// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// undoTimeout bounds the cleanup after the user, or a failure, ended a run.
const undoTimeout = 2 * time.Minute

// cutover stops the source, ships the last increment and starts the target. Every
// failure before the point of no return restores the source.
func (r *Run) cutover(ctx context.Context) error {
	if err := r.stopAndSync(ctx); err != nil {
		return r.undo(ctx, err)
	}
	return r.forward(ctx)
}

// stopAndSync is the part of a cutover before the point of no return.
func (r *Run) stopAndSync(ctx context.Context) error {
	for _, s := range []step{
		{"CheckingSource", "checking the source again before the stop", r.checkStop},
		{"StoppingSource", "stopping the source", r.stopSource},
		{"WaitingForPods", "waiting for pods to release the volumes", r.fence},
		{"ShippingLastIncrement", "shipping the last increment", r.lastIncrement},
	} {
		if err := r.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
	}
	return r.record.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionUnknown, "Activating",
		"the point of no return is passed: starting the target")
}

// checkStop fails when a stop would delete PVCs or other objects now: what the plan
// read may have changed since, and the volumes took their time.
func (r *Run) checkStop(ctx context.Context) error {
	blockers, err := plan.StopBlockers(ctx, r.Source, r.plan)
	if err != nil {
		return err
	}
	if len(blockers) == 0 {
		return nil
	}
	reasons := make([]string, 0, len(blockers))
	for _, b := range blockers {
		reasons = append(reasons, b.String())
	}
	return &BlockedError{Reasons: reasons}
}

// stopSource records the state of every workload, and only then stops it.
func (r *Run) stopSource(ctx context.Context) error {
	found, err := workload.List(ctx, r.Source, r.Source.Namespace)
	if err != nil {
		return err
	}
	stopped, err := workload.Remember(r.moving(found))
	if err != nil {
		return err
	}
	// An interrupted cutover has stopped some already: what it recorded counts.
	stopped = merge(r.record.kept.Status.Stopped, stopped)
	now := metav1.NowMicro()
	err = r.record.set(ctx, v1alpha1.MigrationSourceStopped, metav1.ConditionTrue, "Stopping",
		fmt.Sprintf("%d workloads are stopped by this migration", len(stopped)),
		func(s *v1alpha1.MigrationStatus) {
			s.Stopped = stopped
			if s.StoppedTime == nil {
				s.StoppedTime = &now
			}
			s.ActivatedTime, s.ReadyTime = nil, nil
		})
	if err != nil {
		return err
	}
	for _, s := range stopped {
		progress.Objectf(r.Sink, "%s/%s stopped on %s", s.Resource, s.Name, r.Source)
	}
	return workload.Stop(ctx, r.Source, r.Source.Namespace, r.Request.Name, stopped)
}

// moving are those of found that the plan moves, and the Jobs of their CronJobs.
func (r *Run) moving(found []workload.Found) []workload.Found {
	uids := map[types.UID]bool{}
	for _, i := range r.plan.Workloads() {
		uids[i.Source.UID] = true
	}
	return slices.DeleteFunc(slices.Clone(found), func(f workload.Found) bool {
		owner := metav1.GetControllerOf(f.Object)
		return !uids[f.Object.GetUID()] && (owner == nil || !uids[owner.UID])
	})
}

func merge(earlier, now []v1alpha1.StoppedWorkload) []v1alpha1.StoppedWorkload {
	known := map[string]bool{}
	out := make([]v1alpha1.StoppedWorkload, 0, len(earlier)+len(now))
	for _, s := range earlier {
		known[s.UID] = true
		out = append(out, s)
	}
	for _, s := range now {
		if !known[s.UID] {
			out = append(out, s)
		}
	}
	return out
}

func (r *Run) fence(ctx context.Context) error {
	return workload.Fence(ctx, r.Source, r.Source.Namespace, r.volumes.Claims(), r.Request.Timeout)
}

// lastIncrement must end with every volume verified: the target does not start on
// volumes that are not.
func (r *Run) lastIncrement(ctx context.Context) error {
	if err := r.sync(ctx, v1alpha1.CopyMethodStopped); err != nil {
		return err
	}
	for _, v := range r.volumes.Volumes {
		if !v.Outcome.Verified || v.Outcome.Consistency != string(v1alpha1.CopyMethodStopped) {
			return fmt.Errorf("volume %s was not verified: %s %s", v.Claim, v.Outcome.Reason, v.Outcome.Message)
		}
	}
	return nil
}

// undo restores the source, also when ctx has ended.
func (r *Run) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	progress.Warnf(r.Sink, "%v", cause)
	progress.Stepf(r.Sink, "restoring the source")
	if err := restore(ctx, r.record); err != nil {
		return errors.Join(cause, hint.New(fmt.Errorf("the source was not restored: %w", err), "to try again: %s", r.command("rollback")))
	}
	if err := r.record.set(ctx, v1alpha1.MigrationSucceeded, metav1.ConditionFalse, "Undone", cause.Error()); err != nil {
		progress.Warnf(r.Sink, "%v", err)
	}
	progress.Notef(r.Sink, "the source is running as before")
	return fmt.Errorf("the cutover was undone: %w", cause)
}

// restore starts the workloads that a migration stopped on the source, and removes
// their record.
func restore(ctx context.Context, rec *record) error {
	if err := workload.Start(ctx, rec.source.Cluster, rec.source.Name, rec.kept.Status.Stopped); err != nil {
		return err
	}
	return rec.set(ctx, v1alpha1.MigrationSourceStopped, metav1.ConditionFalse, "Restored", "the source is as it was",
		func(s *v1alpha1.MigrationStatus) { s.Stopped, s.StoppedTime = nil, nil })
}

// resumeForward continues a run that ended after the point of no return. Blockers of
// the plan do not count for a target that is being started.
func (r *Run) resumeForward(ctx context.Context) error {
	progress.Notef(r.Sink, "continuing an earlier run after its point of no return")
	var blocked *BlockedError
	if err := r.makePlan(ctx); err != nil && !errors.As(err, &blocked) {
		return err
	}
	if err := r.forward(ctx); err != nil {
		return err
	}
	return r.finish(ctx)
}

// forward is the part of a cutover after the point of no return. It may be repeated.
func (r *Run) forward(ctx context.Context) error {
	if err := r.run(ctx, step{"StartingTarget", "starting the target", r.startStage}); err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return hint.New(err, "run the same command to try again, or start the source instead: %s", r.command("rollback"))
	}
	if err := r.record.retireReverse(ctx); err != nil {
		return err
	}
	if r.volumes == nil {
		return r.record.release(ctx)
	}
	return nil
}

// startStage writes the objects that cannot be on the target on standby.
func (r *Run) startStage(ctx context.Context) error {
	if r.plan == nil {
		return nil
	}
	objects := r.plan.Objects(plan.StageActivation)
	if len(objects) == 0 {
		return nil
	}
	set, err := apply.Apply(ctx, r.Target, objects, r.applyOptions())
	if err != nil {
		return err
	}
	r.addResults(set)
	r.relink(ctx)
	return set.Err()
}

// startCopy starts the target beside the source.
func (r *Run) startCopy(ctx context.Context) error {
	if r.live() {
		return blocked("stop the application for the last increment: "+r.command("migrate", "--cutover"),
			"the volumes on %s are live copies: the application never was in that state", r.target())
	}
	err := r.record.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionUnknown, "Activating", "starting the target")
	if err != nil {
		return err
	}
	if err := r.startStage(ctx); err != nil {
		return err
	}
	return r.start(ctx)
}

func (r *Run) start(ctx context.Context) error {
	expected, err := expectedWorkloads(ctx, r.record)
	if err != nil {
		return err
	}
	return start(ctx, r.record, expected, r.Request.Timeout, r.Sink)
}

// expectedWorkloads returns what must run on the target after a start: the workloads
// that the cutover stopped, else those that run on the source now. It is empty when the
// source is gone.
func expectedWorkloads(ctx context.Context, rec *record) ([]v1alpha1.StoppedWorkload, error) {
	if stopped := rec.kept.Status.Stopped; len(stopped) > 0 || rec.source.Cluster == nil {
		return stopped, nil
	}
	found, err := workload.List(ctx, rec.source.Cluster, rec.source.Name)
	if err != nil {
		return nil, err
	}
	return workload.Running(found), nil // the source may have been scaled since the copy was made
}

// migratedOf returns those of expected that are on the target: the rest was not
// selected. sourceOf is the annotation kubectl-motion.dev/source up to the UID.
func migratedOf(expected []v1alpha1.StoppedWorkload, found []workload.Found, sourceOf string) []v1alpha1.StoppedWorkload {
	uids := map[string]bool{}
	for _, f := range found {
		if uid, ok := strings.CutPrefix(f.Object.GetAnnotations()[v1alpha1.AnnotationSource], sourceOf); ok {
			uids[uid] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(expected), func(s v1alpha1.StoppedWorkload) bool { return !uids[s.UID] })
}

// awaitAll waits until the target runs at least what the source ran: a start succeeded
// when the target has the ready pods, not when there was no error.
func awaitAll(ctx context.Context, rec *record, expected []v1alpha1.StoppedWorkload) error {
	const interval = 500 * time.Millisecond
	t := rec.target
	var short []string
	err := wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		found, err := workload.List(ctx, t.Cluster, t.Name)
		if err != nil {
			return false, err
		}
		want := expected
		if len(rec.kept.Status.Stopped) == 0 {
			want = migratedOf(expected, found, rec.sourcePrefix())
		}
		short = workload.Shortfall(want, found)
		return len(short) == 0, nil
	})
	if err != nil && len(short) > 0 {
		return fmt.Errorf("%s runs less than the source did: %s", t, strings.Join(short, "; "))
	}
	return err
}

// start resumes the workloads on the target, waits until they run what the source
// ran, and hands their fields over to the managers that own them from now on.
func start(ctx context.Context, rec *record, expected []v1alpha1.StoppedWorkload, timeout time.Duration, sink progress.Sink) error {
	t := rec.target
	if _, err := mountpod.DeleteFinished(ctx, t.Cluster, t.Name, rec.name); err != nil {
		return err
	}
	found, err := workload.List(ctx, t.Cluster, t.Name)
	if err != nil {
		return err
	}
	now := metav1.NowMicro()
	if err := workload.ResumeAll(ctx, t.Cluster, t.Name, workload.OnStandby(found)); err != nil {
		return err
	}
	err = rec.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionTrue, "Started", "the application may run on the target",
		func(s *v1alpha1.MigrationStatus) { s.ActivatedTime = &now })
	if err != nil {
		return err
	}
	progress.Stepf(sink, "waiting for the application to be ready")
	refs := refsOf(workload.Migrated(found))
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = apply.WaitReady(waiting, t.Cluster, refs, nil)
	if err == nil {
		err = awaitAll(waiting, rec, expected)
	}
	ready := metav1.NowMicro()
	// A team that repairs what is not ready must not get conflicts with our field manager.
	handOver(ctx, rec, sink)
	if err != nil {
		return fmt.Errorf("the target was started but is not ready: %w", err)
	}
	return rec.write(ctx, func(s *v1alpha1.MigrationStatus) { s.ReadyTime = &ready })
}

func refsOf(found []workload.Found) []inventory.Ref {
	out := make([]inventory.Ref, 0, len(found))
	for _, f := range found {
		out = append(out, inventory.RefOf(f.Object, f.Resource.Resource))
	}
	return out
}
