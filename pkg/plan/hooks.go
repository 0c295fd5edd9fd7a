// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// hooks returns the snapshot hooks of the application's running pods, with or
// without volumes. An invalid hook blocks: a snapshot without it would claim a
// consistency that it does not have.
func (b *builder) hooks() ([]hooks.Pod, error) {
	var pods []corev1.Pod
	for _, o := range b.inv.Objects {
		if o.Ref.GroupKind() != (schema.GroupKind{Kind: "Pod"}) || o.Reason == inventory.ReasonMotionInternal {
			continue
		}
		u, err := o.Unstructured()
		if err != nil {
			return nil, err
		}
		p := corev1.Pod{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Ref, err)
		}
		pods = append(pods, p)
	}
	found, wrong := hooks.Of(pods, b.request.Hooks)
	if err := hooks.Idle(pods, b.request.Hooks); err != nil {
		wrong = append(wrong, err)
	}
	snapshots := func(v Volume) bool { return v.CopyMethod.Offer != nil }
	if len(found) > 0 && !slices.ContainsFunc(b.volumes, snapshots) {
		b.warn(Finding{
			Code: CodeSnapshotHook, Message: "the application has snapshot hooks, but no snapshot of its volumes is taken: the hooks are not run",
		})
	}
	for _, err := range wrong {
		b.block(Finding{Code: CodeSnapshotHook, Message: err.Error(), Hint: "correct or remove the annotation or the flag"})
	}
	return found, nil
}
