// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/transfer"
)

// record is the Migration on both clusters. Steps are read from the source's; the
// target's is a copy, with which the target can be activated when the source is gone.
type record struct {
	name           string
	source, target cluster.Namespace
	// kept is the latest that was read or written, on either side.
	kept *v1alpha1.Migration
}

// getMigration reads the Migration of a namespace.
func getMigration(ctx context.Context, p cluster.Namespace, name string) (*v1alpha1.Migration, error) {
	m, err := cluster.Get[v1alpha1.Migration](ctx, p.Cluster, v1alpha1.Migrations, p.Name, name)
	if err != nil {
		return nil, fmt.Errorf("migration %s in %s: %w", name, p, err)
	}
	return m, nil
}

// openRecord returns the Migration of an earlier run, or creates it on both sides.
func openRecord(ctx context.Context, name string, source, target cluster.Namespace, spec v1alpha1.MigrationSpec) (*record, error) {
	r := &record{name: name, source: source, target: target}
	for _, p := range []cluster.Namespace{target, source} {
		m, err := getMigration(ctx, p, name)
		switch {
		case apierrors.IsNotFound(err):
			m, err = r.create(ctx, p, spec)
		case err == nil:
			m, err = r.adopt(ctx, p, m, spec)
		}
		if err != nil {
			return nil, err
		}
		r.kept = m
	}
	return r, nil
}

func (r *record) create(ctx context.Context, p cluster.Namespace, spec v1alpha1.MigrationSpec) (*v1alpha1.Migration, error) {
	m, err := cluster.Create(ctx, p.Cluster, v1alpha1.Migrations, p.Name, &v1alpha1.Migration{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration"},
		ObjectMeta: metav1.ObjectMeta{
			Name: r.name, Namespace: p.Name,
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue},
		},
		Spec: spec,
	})
	if err != nil {
		return nil, fmt.Errorf("migration %s in %s: %w", r.name, p, err)
	}
	return m, nil
}

// adopt takes over an existing Migration with the same source and target.
func (r *record) adopt(ctx context.Context, p cluster.Namespace, m *v1alpha1.Migration, spec v1alpha1.MigrationSpec) (*v1alpha1.Migration, error) {
	if m.Spec.Source != spec.Source || m.Spec.Target != spec.Target {
		return nil, fmt.Errorf("migration %s in %s has another source or target (%s/%s to %s/%s): use another --name, or delete it",
			r.name, p, m.Spec.Source.ClusterID, m.Spec.Source.Namespace, m.Spec.Target.ClusterID, m.Spec.Target.Namespace)
	}
	if m.Spec == spec {
		return m, nil
	}
	m.Spec = spec
	m, err := cluster.Update(ctx, p.Cluster, v1alpha1.Migrations, p.Name, m)
	if err != nil {
		return nil, fmt.Errorf("migration %s in %s: %w", r.name, p, err)
	}
	return m, nil
}

// write changes the status on both clusters, target first: when the second write fails,
// the target's copy is newer than the source's and never older.
func (r *record) write(ctx context.Context, change func(*v1alpha1.MigrationStatus)) error {
	status := r.kept.Status.DeepCopy()
	change(status)
	for _, p := range []cluster.Namespace{r.target, r.source} {
		if p.Cluster == nil {
			continue // the source is gone
		}
		m, err := r.put(ctx, p, status)
		if err != nil {
			return err
		}
		r.kept = m
	}
	return nil
}

func (r *record) put(ctx context.Context, p cluster.Namespace, status *v1alpha1.MigrationStatus) (*v1alpha1.Migration, error) {
	var out *v1alpha1.Migration
	err := cluster.RetryOnConflict(func() error {
		m, err := cluster.Get[v1alpha1.Migration](ctx, p.Cluster, v1alpha1.Migrations, p.Name, r.name)
		if err != nil {
			return err
		}
		m.Status = *status.DeepCopy()
		m.Status.ObservedGeneration = m.Generation
		out, err = cluster.UpdateStatus(ctx, p.Cluster, v1alpha1.Migrations, p.Name, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("status of migration %s in %s: %w", r.name, p, err)
	}
	return out, nil
}

// set writes one condition, and more of the status in the same write.
func (r *record) set(ctx context.Context, condition string, status metav1.ConditionStatus, reason, message string,
	more ...func(*v1alpha1.MigrationStatus),
) error {
	return r.write(ctx, func(s *v1alpha1.MigrationStatus) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: condition, Status: status, Reason: reason, Message: clip(message), ObservedGeneration: r.kept.Generation,
		})
		for _, f := range more {
			f(s)
		}
	})
}

// maxMessage is the API's bound on a condition's message.
const maxMessage = 32768

func clip(s string) string { return s[:min(len(s), maxMessage)] }

// reasonMovedBack is the reason of SourceStopped and TargetActive of a migration
// whose application has moved back to its source.
const reasonMovedBack = "MovedBack"

// retireReverse updates the migrations of the other direction, from this target to this
// source: their source runs again and their target is stopped, so they block neither a
// rollback nor the next migration in that direction.
func (r *record) retireReverse(ctx context.Context) error {
	for _, p := range []cluster.Namespace{r.target, r.source} {
		list, err := cluster.List[v1alpha1.Migration](ctx, p.Cluster, v1alpha1.Migrations, p.Name, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("migrations in %s: %w", p, err)
		}
		for i := range list {
			m := &list[i]
			if m.Spec.Source != r.kept.Spec.Target || m.Spec.Target != r.kept.Spec.Source {
				continue
			}
			for _, condition := range []string{v1alpha1.MigrationSourceStopped, v1alpha1.MigrationTargetActive} {
				meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{
					Type: condition, Status: metav1.ConditionFalse, Reason: reasonMovedBack, ObservedGeneration: m.Generation,
					Message: "the application moved back with migration " + r.name,
				})
			}
			m.Status.Stopped = nil
			if _, err := cluster.UpdateStatus(ctx, p.Cluster, v1alpha1.Migrations, p.Name, m); err != nil {
				return fmt.Errorf("status of migration %s in %s: %w", m.Name, p, err)
			}
		}
	}
	return nil
}

// sourcePrefix is the annotation kubectl-motion.dev/source of every object of this
// migration, up to the UID.
func (r *record) sourcePrefix() string {
	return r.kept.Spec.Source.ClusterID + "/" + r.kept.Spec.Source.Namespace + "/"
}

func (r *record) is(condition string) bool {
	return meta.IsStatusConditionTrue(r.kept.Status.Conditions, condition)
}

// begun is true when the point of no return was reached: the condition TargetActive is
// True, or Unknown during the activation.
func (r *record) begun() bool {
	c := meta.FindStatusCondition(r.kept.Status.Conditions, v1alpha1.MigrationTargetActive)
	return c != nil && c.Status != metav1.ConditionFalse
}

// reasonRunning is the reason of Succeeded=Unknown until a run has finished.
const reasonRunning = "Running"

// finished is true when the last run finished. One that was killed after the target
// was started did not: the same command continues it.
func (r *record) finished() bool {
	c := meta.FindStatusCondition(r.kept.Status.Conditions, v1alpha1.MigrationSucceeded)
	return c == nil || c.Status != metav1.ConditionUnknown
}

// owner returns a reference to the Migration for its temporary objects: deleting it
// deletes the mount pods.
func (r *record) owner(ctx context.Context, p cluster.Namespace) (metav1.OwnerReference, error) {
	m, err := getMigration(ctx, p, r.name)
	if err != nil {
		return metav1.OwnerReference{}, err
	}
	return metav1.OwnerReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration", Name: m.Name, UID: m.UID,
	}, nil
}

// release deletes the mount pods of a run on both sides, and waits until they are gone.
func (r *record) release(ctx context.Context) error {
	f := &transfer.Volumes{Name: r.name, Source: transfer.Side{Namespace: r.source}, Target: transfer.Side{Namespace: r.target}}
	return f.Release(ctx)
}
