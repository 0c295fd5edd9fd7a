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
	"github.com/kubectl-motion/kubectl-motion/pkg/policy"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// Switch turns a migrated application on and off after its migration. Source may
// be nil for Activate and Deactivate: when the source is gone, the mirror of the
// Migration on the target is enough.
type Switch struct {
	Source, Target *cluster.Cluster
	Name           string
	Timeout        time.Duration
	Sink           progress.Sink
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
		return nil, fmt.Errorf("%w\nhint: kubectl get migrations -n %s shows those there are; --name chooses one", err, from.Name)
	}
	if err != nil {
		return nil, err
	}
	if m.Spec.Target.ClusterID != s.Target.ID || m.Spec.Target.Namespace != s.Target.Namespace {
		return nil, fmt.Errorf("migration %s in %s went to another cluster.Namespace: cluster %s, namespace %s",
			s.Name, from, m.Spec.Target.ClusterID, m.Spec.Target.Namespace)
	}
	rec.kept = m
	return rec, nil
}

// Activate starts the copy on the target, at the values that the source has.
// It is refused while a volume is no state that the application was ever in.
func (s *Switch) Activate(ctx context.Context) error {
	rec, err := s.open(ctx)
	if err != nil {
		return err
	}
	for _, v := range rec.kept.Status.Volumes {
		if !startable(v) {
			return blocked("kubectl motion migrate --cutover stops the application for the last increment",
				"volume %s was copied while the application ran, or did not arrive whole: %s %s", v.Claim, v.Consistency, v.Reason)
		}
	}
	if err := s.refuseWaiting(ctx, rec); err != nil {
		return err
	}
	if !rec.is(v1alpha1.MigrationTargetActive) {
		if err := rec.set(ctx, v1alpha1.MigrationTargetActive, metav1.ConditionUnknown, "Activating", "the target is being started"); err != nil {
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

// Deactivate puts the copy on the target to rest. Its volumes keep what was
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
	if err := workload.SuspendAll(ctx, t.Cluster, t.Name, workload.Brought(found)); err != nil {
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

// Rollback stops the target and starts the source again as it was before the
// cutover. What was written on the target since stays there and is not carried
// back. What a run that was killed left of the transfer goes too, also when there
// is nothing else to roll back.
func (s *Switch) Rollback(ctx context.Context) error {
	if s.Source == nil {
		return errors.New("a rollback starts the source again, and the source cannot be reached")
	}
	rec, err := s.open(ctx)
	if err != nil {
		return err
	}
	if !rec.is(v1alpha1.MigrationSourceStopped) && !rec.begun() {
		return errors.Join(errors.New("there is nothing to roll back: the source was not stopped, and the target is not active"),
			rec.release(ctx))
	}
	if err := s.deactivate(ctx, rec); err != nil {
		return fmt.Errorf("the target must be on standby before the source starts: %w", err)
	}
	progress.Stepf(s.Sink, "starting the source")
	if err := restore(ctx, rec); err != nil {
		return err
	}
	return rec.release(ctx)
}

// policiesOf are the policies of a namespace that are about the other one.
func policiesOf(ctx context.Context, p, other cluster.Namespace) ([]v1alpha1.MotionPolicy, error) {
	found, err := policy.List(ctx, p, other.Cluster.ID)
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: ask an administrator to run: kubectl motion pair", err)
	}
	return found.Policies, nil
}
