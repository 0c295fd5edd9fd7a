// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/invocation"
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// Switch turns a migrated application on and off after its migration. Source may
// be nil for Activate and Deactivate: when the source is gone, the copy of the
// Migration on the target is enough.
type Switch struct {
	Source, Target *cluster.Cluster
	Name           string
	Timeout        time.Duration
	Sink           progress.Sink
	// Invocation is how the user named the two ends, for the commands in hints.
	Invocation invocation.Invocation
}

func (s *Switch) open(ctx context.Context) (*record, error) {
	rec := &record{name: s.Name, target: cluster.Namespace{Cluster: s.Target, Name: s.Target.Namespace}}
	from := rec.target
	if s.Source != nil {
		rec.source = cluster.Namespace{Cluster: s.Source, Name: s.Source.Namespace}
		from = rec.source
	}
	m, err := getMigration(ctx, from, s.Name)
	if apierrors.IsNotFound(err) {
		return nil, hint.New(err, "to list migrations, run: kubectl get migrations -n %s; select one with --name", from.Name)
	}
	if err != nil {
		return nil, err
	}
	if m.Spec.Target.ClusterID != s.Target.ID || m.Spec.Target.Namespace != s.Target.Namespace {
		return nil, fmt.Errorf("migration %s in %s has another target: cluster %s, namespace %s",
			s.Name, from, m.Spec.Target.ClusterID, m.Spec.Target.Namespace)
	}
	rec.kept = m
	return rec, nil
}

// Activate starts the copy on the target, with the replicas, schedules and node
// selectors of the source. It is rejected while a volume is a live copy.
func (s *Switch) Activate(ctx context.Context) error {
	rec, err := s.open(ctx)
	if err != nil {
		return err
	}
	for _, v := range rec.kept.Status.Volumes {
		if !startable(v) {
			return blocked("stop the application for the last increment: "+s.Invocation.Command("migrate", "--cutover"),
				"volume %s is a live copy, or its last sync was not verified: %s %s", v.Claim, v.Consistency, v.Reason)
		}
	}
	if err := s.rejectWaiting(ctx, rec); err != nil {
		return err
	}
	if !rec.is(v1alpha1.MigrationTargetActive) {
		if err := rec.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionUnknown, "Activating", "starting the target"); err != nil {
			return err
		}
	}
	expected, err := expectedWorkloads(ctx, rec)
	if err != nil {
		return err
	}
	progress.Stepf(s.Sink, "starting the target")
	return start(ctx, rec, expected, s.Timeout, s.Sink)
}

// Deactivate puts the copy on the target on standby. Its volumes keep what was
// written since the activation, until the next migration replaces it.
func (s *Switch) Deactivate(ctx context.Context) error {
	rec, err := s.open(ctx)
	if err != nil {
		return err
	}
	return s.deactivate(ctx, rec)
}

func (s *Switch) deactivate(ctx context.Context, rec *record) error {
	t := rec.target
	progress.Stepf(s.Sink, "stopping the target")
	found, err := workload.List(ctx, t.Cluster, t.Name)
	if err != nil {
		return err
	}
	if err := workload.SuspendAll(ctx, t.Cluster, t.Name, workload.Migrated(found)); err != nil {
		return err
	}
	claims := make([]string, 0, len(rec.kept.Status.Volumes))
	for _, v := range rec.kept.Status.Volumes {
		claims = append(claims, v.TargetClaim)
	}
	if err := workload.Fence(ctx, t.Cluster, t.Name, claims, s.Timeout); err != nil {
		return err
	}
	return rec.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionFalse, "Deactivated", "the target is on standby")
}

// Rollback stops the target and starts the source as it was before the cutover. What
// was written on the target since stays there and is not copied back. It also deletes
// the mount pods of a run that was killed.
func (s *Switch) Rollback(ctx context.Context) error {
	if s.Source == nil {
		return errors.New("cannot roll back: the source, which a rollback starts, cannot be reached")
	}
	rec, err := s.open(ctx)
	if err != nil {
		return err
	}
	if !rec.is(v1alpha1.MigrationSourceStopped) && !rec.begun() {
		return errors.Join(errors.New("nothing to roll back: the source was not stopped, and the target is not active"),
			rec.release(ctx))
	}
	if err := s.deactivate(ctx, rec); err != nil {
		return fmt.Errorf("the source was not started, because the target could not be stopped: %w", err)
	}
	progress.Stepf(s.Sink, "starting the source")
	if err := restore(ctx, rec); err != nil {
		return err
	}
	return rec.release(ctx)
}

// policiesOf returns the policies of a namespace that apply to the other one.
func policiesOf(ctx context.Context, p, other cluster.Namespace) ([]v1alpha1.MotionPolicy, error) {
	found, err := policy.List(ctx, p, other.Cluster.ID)
	if err != nil {
		return nil, hint.New(err, "ask an administrator to run: kubectl motion pair")
	}
	return found.Policies, nil
}
