// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// ensureClaim makes the target's claim, and finds the UIDs that the shipments
// are bound to.
func (f *Volumes) ensureClaim(ctx context.Context, v *Volume) error {
	source, err := f.Source.Cluster.Kube.CoreV1().PersistentVolumeClaims(f.Source.Name).Get(ctx, v.Claim, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.Claim, f.Source, err)
	}
	set, err := apply.Apply(ctx, f.Target.Cluster, []apply.Object{v.Manifest}, apply.Options{})
	if err == nil {
		err = set.Err()
	}
	if err != nil {
		return fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.TargetClaim, f.Target, err)
	}
	for _, row := range set.Rows {
		progress.Objectf(f.Sink, "%s %s", row.Ref, row.Outcome)
	}
	target, err := f.targetClaim(ctx, v)
	if err != nil {
		return err
	}
	v.grows = growing(target)
	v.link = &Link{
		Source:    end(f.Source, v.Claim, string(source.UID)),
		Target:    end(f.Target, v.TargetClaim, string(target.GetUID())),
		Migration: f.Name, Limits: f.Limits, Addressless: f.Route == route.Relay, Relayed: f.relayable(),
	}
	return nil
}

func (f *Volumes) targetClaim(ctx context.Context, v *Volume) (*corev1.PersistentVolumeClaim, error) {
	c, err := f.Target.Cluster.Kube.CoreV1().PersistentVolumeClaims(f.Target.Name).Get(ctx, v.TargetClaim, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.TargetClaim, f.Target, err)
	}
	return c, nil
}

// growing is the size that a bound claim asks for and does not have; nil when it
// has what it asks for.
func growing(c *corev1.PersistentVolumeClaim) *resource.Quantity {
	asked, has := c.Spec.Resources.Requests[corev1.ResourceStorage], c.Status.Capacity[corev1.ResourceStorage]
	if c.Status.Phase != corev1.ClaimBound || has.Cmp(asked) >= 0 {
		return nil
	}
	return &asked
}

// expanded returns the message about a target's PVC that has not been expanded yet, ""
// when it has. Many drivers grow a filesystem only while a pod has it: the mount pod.
func (f *Volumes) expanded(ctx context.Context, v *Volume) (string, error) {
	if v.grows == nil {
		return "", nil
	}
	c, err := f.targetClaim(ctx, v)
	if err != nil {
		return "", err
	}
	if v.grows = growing(c); v.grows == nil {
		return "", nil
	}
	has := c.Status.Capacity[corev1.ResourceStorage]
	why := fmt.Sprintf("its PVC on %s is being expanded from %s to %s", f.Target.Cluster.Name, has.String(), v.grows.String())
	for _, cond := range c.Status.Conditions {
		if cond.Status == corev1.ConditionTrue && cond.Message != "" {
			why += ": " + cond.Message
		}
	}
	return why, nil
}

// unprovisioned is what the target's storage said last about a claim that it makes no
// volume for; "" when there is none, or the user may not read it.
func (f *Volumes) unprovisioned(ctx context.Context, claim string) string {
	events, err := f.Target.Cluster.Kube.CoreV1().Events(f.Target.Name).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=PersistentVolumeClaim,involvedObject.name=" + claim + ",reason=ProvisioningFailed",
	})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	c, err := f.Target.Cluster.Kube.CoreV1().PersistentVolumeClaims(f.Target.Name).Get(ctx, claim, metav1.GetOptions{})
	if err != nil || c.Status.Phase == corev1.ClaimBound {
		return ""
	}
	return slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) }).Message
}
