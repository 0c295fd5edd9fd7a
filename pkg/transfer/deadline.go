// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// Copies of a sync are removed by the run that made them, or by the next run. When
// neither comes, something else has to end them that needs no rights of its own:
// a Job without pods (completions: 0) is finished at once, the cluster deletes it
// when its ttlSecondsAfterFinished is over, and its garbage collector what the Job
// owns. So snapshots, clones and their mount pod belong to such a Job, and the Job to
// the Migration.

// bound makes the Job that the copies of a pass end with. Without the right to one
// they end with the Migration, and a note is shown.
func (f *Volumes) bound(ctx context.Context) error {
	made, err := f.Source.Cluster.Kube.BatchV1().Jobs(f.Source.Name).Create(ctx, f.timer(), metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	switch {
	case apierrors.IsForbidden(err):
		f.copiesOwner = nil
		progress.Notef(f.Sink, "cannot create the cleanup Job in %s: if this run is killed, its snapshots stay until the next run or until the Migration is deleted", f.Source)
		return nil
	case err != nil:
		return fmt.Errorf("creating the cleanup Job for snapshots in %s: %w", f.Source, err)
	}
	f.copiesOwner = &metav1.OwnerReference{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: made.Name, UID: made.UID}
	return nil
}

func (f *Volumes) timer() *batchv1.Job {
	template := mountpod.Pod(mountpod.Group{Name: "timer"}, mountpod.Options{Migration: f.Name, Template: f.Source.Template}).Spec
	template.RestartPolicy = corev1.RestartPolicyNever
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "motion-copies-", Namespace: f.Source.Name,
			Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue, v1alpha1.LabelMigration: f.Name, labelCopies: "true",
			},
			OwnerReferences: []metav1.OwnerReference{f.Source.Owner},
		},
		Spec: batchv1.JobSpec{
			Completions: new(int32(0)), Parallelism: new(int32(0)), TTLSecondsAfterFinished: new(int32(mountpod.Deadline)),
			Template: corev1.PodTemplateSpec{Spec: template},
		},
	}
}

// ownerOfCopies is what the copies of a pass end with.
func (f *Volumes) ownerOfCopies() metav1.OwnerReference {
	if f.copiesOwner != nil {
		return *f.copiesOwner
	}
	return f.Source.Owner
}

// unbound removes the Jobs of all passes.
func (f *Volumes) unbound(ctx context.Context) error {
	jobs := f.Source.Cluster.Kube.BatchV1().Jobs(f.Source.Name)
	list, err := jobs.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelMigration + "=" + f.Name + "," + labelCopies + "=true"})
	if apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cleanup Jobs for snapshots in %s: %w", f.Source, err)
	}
	var errs []error
	for i := range list.Items {
		err := jobs.Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("job %s in %s: %w", list.Items[i].Name, f.Source, err))
		}
	}
	return errors.Join(errs...)
}
