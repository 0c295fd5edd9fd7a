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

// hooks finds what the application wants done around a snapshot: in any of its
// running pods, whether it has a volume or not. A mistake in a hook blocks: a
// snapshot without it would be taken for more than it is.
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
			Code: CodeSnapshotHook, Message: "the application has hooks for snapshots, and none is taken of its volumes: the hooks are not run",
		})
	}
	for _, err := range wrong {
		b.block(Finding{Code: CodeSnapshotHook, Message: err.Error(), Hint: "correct the annotation or the flag, or take it away"})
	}
	return found, nil
}
