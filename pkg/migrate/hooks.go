// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

func (r *Run) hookRunner() *hooks.Runner {
	return &hooks.Runner{
		Exec: hooks.On(r.Source, r.Source.Namespace),
		Record: func(ctx context.Context, begun []v1alpha1.BegunHook) error {
			return r.record.write(ctx, func(s *v1alpha1.MigrationStatus) { s.Hooks = begun })
		},
		Report: func(p hooks.Pod, phase hooks.Phase, err error) {
			if err != nil {
				progress.Warnf(r.Sink, "%s hook of pod %s: %v", phase, p.Name, err)
				return
			}
			progress.Notef(r.Sink, "%s hook of pod %s finished", phase, p.Name)
		},
	}
}

// aroundSnapshots takes snapshots between the application's hooks. A post hook that
// failed makes the run incomplete, and does not affect the snapshots.
func (r *Run) aroundSnapshots(ctx context.Context, take func(context.Context) error) (bool, error) {
	o, err := r.hookRunner().Around(ctx, r.plan.Hooks, take)
	if o.After != nil {
		r.problems = append(r.problems, o.After.Error())
	}
	return o.Consistent, err
}

// endHooks runs the post hooks of an earlier run that was killed after its pre hooks.
func (r *Run) endHooks(ctx context.Context) error {
	recorded := r.record.kept.Status.Hooks
	if len(recorded) == 0 {
		return nil
	}
	pods, err := r.Source.Kube.CoreV1().Pods(r.Source.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("pods in %s: %w", r.source(), err)
	}
	alive := map[string]bool{}
	for i := range pods.Items {
		alive[string(pods.Items[i].UID)] = true
	}
	progress.Stepf(r.Sink, "running the post-snapshot hooks of an earlier run")
	if err := r.hookRunner().Recover(ctx, recorded, r.plan.Hooks, func(uid string) bool { return alive[uid] }); err != nil {
		progress.Warnf(r.Sink, "%v", err)
		r.problems = append(r.problems, err.Error())
	}
	return nil
}
