// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package migrate runs a plan: it copies a namespace's objects and volumes to the
// target and, when requested, starts them there.
//
// A run is a list of small steps. Each step reads from the two clusters what is done
// already, so every run of the same command continues where an earlier one ended,
// also after a kill. What a step must be able to undo is written to the Migration
// before the step acts.
//
// The state that matters between runs is in two conditions of the Migration:
//
//	SourceStopped   TargetActive
//	False           False          the source runs; nothing started on the target
//	True            False          a cutover is between stop and start: a failure now
//	                               restores the source; after a kill, the same
//	                               command continues, and rollback restores it
//	any             Unknown        past the point of no return: only forward
//	any             True           the target is active
//
// The point of no return is the write of TargetActive=Unknown, just before the
// first write that allows a pod to start on the target.
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

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/invocation"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/report"
	"github.com/kubectl-motion/kubectl-motion/pkg/transfer"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// Request is what the user asked for.
type Request struct {
	// Name of the Migration on both clusters.
	Name string
	// Pair is the ClusterPair's name; empty with --to-context.
	Pair string
	Mode v1alpha1.Mode
	// Plan is what is migrated and how it is transformed; Run sets its namespaces and
	// mode.
	Plan plan.Request
	// Recreate allows deleting and recreating immutable ConfigMaps, Secrets and Jobs on
	// standby that differ.
	Recreate bool
	// Limits are the user's limits for the shipments.
	Limits *v1alpha1.ShipmentLimits
	// Timeout bounds every single wait: for agents, for pods to end, for a
	// volume without progress, for readiness.
	Timeout time.Duration
	// Invocation is how the user named the two ends, for the commands in hints.
	Invocation invocation.Invocation
}

// Run carries out a Request.
type Run struct {
	Source, Target *cluster.Cluster
	Request        Request
	Sink           progress.Sink

	begun   time.Time
	plan    *plan.Plan
	record  *record
	volumes *transfer.Volumes
	// sets are the results of all writes of objects so far.
	sets []apply.ChangeSet
	// problems are why a run that finished is not complete.
	problems []string
}

// step is one step of a run: its name in the status, what is shown of it, and what
// it does.
type step struct {
	name, text string
	do         func(context.Context) error
}

// run shows s, records it in the Migration once there is one, and carries it out.
func (r *Run) run(ctx context.Context, s step) error {
	progress.Stepf(r.Sink, "%s", s.text)
	if r.record != nil && r.record.kept.Status.Step != s.name {
		if err := r.record.write(ctx, func(status *v1alpha1.MigrationStatus) { status.Step = s.name }); err != nil {
			return err
		}
	}
	return s.do(ctx)
}

// Do runs the request to its end. The Result is valid also when the error is not nil.
// Errors: BlockedError, PartialError, transfer.VerificationError, or the error of a
// cluster.
func (r *Run) Do(ctx context.Context) (Result, error) {
	r.begun = time.Now()
	if err := r.open(ctx); err != nil {
		return Result{}, err
	}
	err := r.steps(ctx)
	if r.record == nil {
		return Result{}, err
	}
	result := r.record.result(r.begun)
	result.Next = r.next(err)
	return result, err
}

func (r *Run) steps(ctx context.Context) error {
	if r.record != nil && r.record.begun() {
		return r.resumeForward(ctx)
	}
	objects := step{"ApplyingObjects", "applying the objects on standby", r.applyObjects}
	steps := []step{
		{"Planning", "planning", r.makePlan},
		{"Recording", "recording the migration", r.keep},
		{"RunningPostHooks", "checking for snapshot hooks of an earlier run", r.endHooks},
		{"PreparingVolumes", "preparing the volumes", r.prepareVolumes},
	}
	switch r.Request.Mode {
	case v1alpha1.ModeCutover:
		steps = append(steps, step{"CopyingVolumes", "copying the volumes while the application runs", r.copyLive},
			objects, step{"CuttingOver", "cutting over", r.cutover})
	case v1alpha1.ModeStart:
		steps = append(steps, step{"CopyingVolumes", "copying the volumes", r.copyOnce},
			objects, step{"StartingTarget", "starting the copy", r.startCopy})
	default:
		steps = append(steps, step{"CopyingVolumes", "copying the volumes", r.copyOnce}, objects)
	}
	for _, s := range steps {
		if err := r.run(ctx, s); err != nil {
			r.release(ctx)
			return err
		}
	}
	return r.finish(ctx)
}

// release removes the mount pods after a failure. The shipments stay: the next run
// continues with what arrived.
func (r *Run) release(ctx context.Context) {
	if r.volumes == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := r.volumes.Release(ctx); err != nil {
		progress.Warnf(r.Sink, "mount pods were not deleted; they end within 24h: %v", err)
	}
}

// open finds the Migration of an earlier run, if there is one.
func (r *Run) open(ctx context.Context) error {
	if err := r.checkIdentities(); err != nil {
		return err
	}
	m, err := getMigration(ctx, r.source(), r.Request.Name)
	if err != nil {
		return ignoreNotFound(err)
	}
	rec := &record{name: r.Request.Name, source: r.source(), target: r.target(), kept: m}
	if m.Spec.Target != r.spec().Target || m.Spec.Source != r.spec().Source {
		return nil // openRecord returns the error
	}
	if rec.is(v1alpha1.MigrationTargetActive) && (rec.finished() || r.Request.Mode == v1alpha1.ModeStandby) {
		return blocked("stop it first, then migrate again: "+r.command("deactivate"),
			"the copy on %s is active, and a running application is not written to", r.target())
	}
	if rec.begun() && r.Request.Mode == v1alpha1.ModeStandby {
		return blocked("to continue: "+r.command("activate")+"; to undo: "+r.command("rollback"),
			"an earlier run ended while it started the target")
	}
	if rec.is(v1alpha1.MigrationSourceStopped) && r.Request.Mode != v1alpha1.ModeCutover {
		return blocked("to continue: "+r.command("migrate", "--cutover")+"; to start the source again: "+r.command("rollback"),
			"a cutover of %s was interrupted after the source was stopped", r.source())
	}
	r.record = rec
	return nil
}

func (r *Run) checkIdentities() error {
	for _, c := range []*cluster.Cluster{r.Source, r.Target} {
		if c.ID == "" {
			return hint.New(fmt.Errorf("cannot read the cluster ID of %s", c), "ask an administrator to run: kubectl motion pair")
		}
	}
	if r.Source.ID == r.Target.ID {
		return fmt.Errorf("source and target are the same cluster (%s): check --context and --to-context", r.Source.ID)
	}
	return nil
}

func (r *Run) source() cluster.Namespace {
	return cluster.Namespace{Cluster: r.Source, Name: r.Source.Namespace}
}

func (r *Run) target() cluster.Namespace {
	return cluster.Namespace{Cluster: r.Target, Name: r.Target.Namespace}
}

func (r *Run) spec() v1alpha1.MigrationSpec {
	return v1alpha1.MigrationSpec{
		ClusterPair: r.Request.Pair, Mode: r.Request.Mode,
		Source: v1alpha1.MigrationEnd{ClusterID: r.Source.ID, Namespace: r.Source.Namespace},
		Target: v1alpha1.MigrationEnd{ClusterID: r.Target.ID, Namespace: r.Target.Namespace},
	}
}

// command returns the command line of a verb about this migration, for hints.
func (r *Run) command(verb string, flags ...string) string {
	i := r.Request.Invocation
	i.Namespace = r.Source.Namespace
	return i.Command(verb, flags...)
}

func (r *Run) makePlan(ctx context.Context) error {
	req := r.Request.Plan
	req.SourceNamespace, req.TargetNamespace, req.Mode = r.Source.Namespace, r.Target.Namespace, r.Request.Mode
	req.Invocation = r.Request.Invocation
	req.Invocation.Namespace = r.Source.Namespace
	if r.record != nil {
		req.Originals = originals(r.record.kept.Status.Stopped)
	}
	p, err := plan.Make(ctx, r.Source, r.Target, req)
	if err != nil {
		return err
	}
	r.plan = p
	for _, w := range p.Warnings {
		progress.Warnf(r.Sink, "%s", w)
	}
	for _, n := range p.NotExamined {
		r.problems = append(r.problems, fmt.Sprintf("%s were not examined: %s", n.Resource, n.Message))
	}
	for _, i := range p.NeedsAdmin() {
		r.problems = append(r.problems, fmt.Sprintf("%s needs an administrator of %s: %s", i.Source, r.Target, i.Reason.Explanation()))
	}
	if p.Blocked() {
		var reasons []string
		for _, b := range p.Blockers {
			reasons = append(reasons, b.String())
		}
		return &BlockedError{Reasons: reasons}
	}
	return nil
}

// originals are the original states of the source's stopped workloads: the target gets
// those values, not the zeros of now.
func originals(stopped []v1alpha1.StoppedWorkload) map[types.UID][]byte {
	out := map[types.UID][]byte{}
	for _, s := range stopped {
		if s.Kind != "Pod" {
			out[types.UID(s.UID)] = []byte(s.OriginalState)
		}
	}
	return out
}

func (r *Run) keep(ctx context.Context) error {
	rec, err := openRecord(ctx, r.Request.Name, r.source(), r.target(), r.spec())
	if err != nil {
		return err
	}
	r.record = rec
	if err := rec.set(ctx, v1alpha1.MigrationSucceeded, metav1.ConditionUnknown, reasonRunning, "a run has started and not finished"); err != nil {
		return err
	}
	return rec.set(ctx, v1alpha1.MigrationPlanned, metav1.ConditionTrue, "Planned", "nothing blocks the migration")
}

// applyObjects writes the plan's objects, on standby, and deletes what the plan
// prunes.
func (r *Run) applyObjects(ctx context.Context) error {
	set, err := apply.Apply(ctx, r.Target, r.plan.Objects(plan.StageStandby), r.applyOptions())
	if err != nil {
		return err
	}
	r.addResults(set)
	r.relink(ctx)
	if err := r.supersede(ctx); err != nil {
		return err
	}
	if set.Err() == nil && len(r.plan.Prune) > 0 {
		pruned, err := apply.Prune(ctx, r.Target, r.plan.Prune)
		if err != nil {
			return err
		}
		r.addResults(pruned)
	}
	failed := errors.Join(errsOf(r.sets)...)
	status, reason, message := metav1.ConditionTrue, "Applied", "all objects are on the target, on standby"
	if failed != nil {
		status, reason, message = metav1.ConditionFalse, "SomeFailed", failed.Error()
	}
	if err := r.record.set(ctx, v1alpha1.MigrationObjectsApplied, status, reason, message); err != nil {
		return err
	}
	if failed != nil && r.Request.Mode != v1alpha1.ModeStandby {
		return fmt.Errorf("some objects were not applied, so nothing is started: %w", failed)
	}
	return nil
}

// supersede takes over workloads that an earlier migration stopped here, when the
// application moved the other way.
func (r *Run) supersede(ctx context.Context) error {
	found, err := workload.List(ctx, r.Target, r.Target.Namespace)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(workload.Migrated(found), func(f workload.Found) bool {
		return !strings.HasPrefix(f.Object.GetAnnotations()[v1alpha1.AnnotationSource], r.record.sourcePrefix())
	})
	return workload.Supersede(ctx, r.Target, r.Target.Namespace, found)
}

func (r *Run) applyOptions() apply.Options {
	return apply.Options{ForceConflicts: r.Request.Plan.ForceConflicts, Recreate: r.Request.Recreate}
}

// addResults shows the results of writes and keeps them for the report.
func (r *Run) addResults(set apply.ChangeSet) {
	r.sets = append(r.sets, set)
	for _, row := range set.Rows {
		progress.Objectf(r.Sink, "%s %s", row.Ref, row.Outcome)
		if row.Problem != nil {
			r.problems = append(r.problems, fmt.Sprintf("%s: %v", row.Ref, row.Problem))
		}
	}
}

func errsOf(sets []apply.ChangeSet) []error {
	out := make([]error, 0, len(sets))
	for _, s := range sets {
		out = append(out, s.Err())
	}
	return out
}

// saveReport writes the result of every object: the counts into the Migration, and
// the rows other than "moved" into the report beside it, on both clusters. A run that
// continues after the point of no return has no plan of its own and leaves the report
// of the run before it.
func (r *Run) saveReport(ctx context.Context) error {
	if r.plan == nil || r.volumes == nil {
		return nil
	}
	verified := map[string]bool{}
	for _, v := range r.volumes.Volumes {
		verified[v.Claim] = v.Outcome.Verified
	}
	rep := report.New(r.plan, verified, r.sets...)
	if err := r.record.write(ctx, func(s *v1alpha1.MigrationStatus) { s.Counts = rep.Counts }); err != nil {
		return err
	}
	for _, p := range []cluster.Namespace{r.target(), r.source()} {
		m, err := getMigration(ctx, p, r.Request.Name)
		if err != nil {
			return err
		}
		if err := report.Save(ctx, p.Cluster, m, rep.Summary()); err != nil {
			return fmt.Errorf("saving the report to %s: %w", p, err)
		}
	}
	return nil
}

// finish removes what exists for the transfer only and records the result.
func (r *Run) finish(ctx context.Context) error {
	if r.volumes != nil {
		if err := r.volumes.Release(ctx); err != nil {
			return err
		}
		r.showStatistics()
		if err := r.saveReport(ctx); err != nil {
			return err
		}
		r.problems = append(r.problems, r.volumes.Failures()...)
	}
	ended := func(s *v1alpha1.MigrationStatus) { s.Step = "Finished" }
	if len(r.problems) == 0 {
		return r.record.set(ctx, v1alpha1.MigrationSucceeded, metav1.ConditionTrue, "Done", "all objects and volumes are on the target", ended)
	}
	err := r.record.set(ctx, v1alpha1.MigrationSucceeded, metav1.ConditionFalse, "SomeFailed", strings.Join(r.problems, "\n"), ended)
	return errors.Join(err, &PartialError{Items: r.problems})
}

// next is the next step as a command, with a comment.
func (r *Run) next(err error) string {
	var partial *PartialError
	switch {
	case r.record.is(v1alpha1.MigrationTargetActive):
		return r.command("rollback") + "   # stops the target and starts the source again"
	case err != nil && !errors.As(err, &partial):
		return ""
	case r.Request.Mode == v1alpha1.ModeStandby && stillWaiting(r.plan) && !r.live():
		return r.command("migrate", "--start") + "   # applies the objects that cannot be on standby, and starts the copy"
	case r.Request.Mode == v1alpha1.ModeStandby && r.live():
		return r.command("migrate", "--cutover") + "   # a live copy cannot be started"
	default:
		return r.command("activate") + "   # starts the copy; to move the application instead: " + r.command("migrate", "--cutover")
	}
}

// live is true when a volume on the target is a live copy, or is not verified.
func (r *Run) live() bool {
	for _, v := range r.record.kept.Status.Volumes {
		if !startable(v) {
			return true
		}
	}
	return false
}

// startable is true when an application may start on a volume: its last sync was
// verified, and the copy method was not Live.
func startable(v v1alpha1.MigrationVolume) bool {
	return v.VerifiedSync > 0 && v.VerifiedSync >= v.ShippedSync && v.Consistency != string(v1alpha1.CopyMethodLive)
}

// users returns the number of pods that use the volumes on the source.
func (r *Run) users(ctx context.Context) (int, error) {
	pods, err := workload.Users(ctx, r.Source, r.Source.Namespace, r.volumes.Claims())
	return len(pods), err
}
