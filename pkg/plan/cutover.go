// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// refuseCutover blocks a cutover whose stop would be undone, because something else
// sets the replicas, or would destroy data.
func (b *builder) refuseCutover(items []Item) error {
	for _, item := range items {
		o := b.inv.FindUID(item.Source.UID)
		if item.Verdict != inventory.Move || o == nil {
			continue
		}
		b.gitOps(o)
		b.operator(o)
		if err := b.autoscaled(o); err != nil {
			return err
		}
		if item.Source.GroupKind() == (schema.GroupKind{Group: "apps", Kind: "StatefulSet"}) {
			if err := b.whenScaled(o); err != nil {
				return err
			}
		}
	}
	b.usersThatStay(items)
	b.barePods(items)
	b.rollback(items)
	return nil
}

// whenScaled warns about StatefulSets whose controller deletes the PVCs when it is
// scaled to zero. Package workload sets the policy to Retain first.
func (b *builder) whenScaled(o *inventory.Object) error {
	u, err := o.Unstructured()
	if err != nil {
		return err
	}
	policy, _, _ := unstructured.NestedString(u.Object, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled")
	if policy != "Delete" {
		return nil
	}
	ref := o.Ref
	b.warn(Finding{
		Code: CodeWhenScaledDelete, Object: &ref,
		Message: "its persistentVolumeClaimRetentionPolicy.whenScaled is Delete, and stopping it would delete its PVCs: " +
			"the policy is set to Retain before the stop, and restored when it is started again",
	})
	return nil
}

// autoscaled blocks when KEDA, unless it is paused, or an autoscaler with a minimum
// of 0 would scale the stopped workload up. An autoscaler with a higher minimum is
// disabled while its workload has no replicas.
func (b *builder) autoscaled(o *inventory.Object) error {
	if paused, err := kedaPaused(o); paused || err != nil {
		return err
	}
	for _, n := range o.Needs {
		target := b.inv.Find(n.ID)
		if n.Path != inventory.PathScaleTarget || target == nil || target.Verdict != inventory.Move {
			continue
		}
		if off, err := offAtZero(o); off || err != nil {
			return err
		}
		ref := target.Ref
		b.block(Finding{
			Code: CodeAutoscaled, Object: &ref,
			Message: fmt.Sprintf("%s sets its replicas and would start it again after the stop", o.Ref),
			Hint:    fmt.Sprintf("delete the autoscaler for the cutover: kubectl -n %s delete %s", o.Ref.Namespace, o.Ref),
		})
	}
	return nil
}

// kedaPaused is true for a ScaledObject that keeps its workload stopped: paused with
// any value but false, or paused at 0 replicas once KEDA has confirmed it in the status.
// https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling
func kedaPaused(o *inventory.Object) (bool, error) {
	if o.Ref.Group != "keda.sh" {
		return false, nil
	}
	if at, set := o.Annotations["autoscaling.keda.sh/paused-replicas"]; set {
		u, err := o.Unstructured()
		if err != nil {
			return false, err
		}
		return at == "0" && field(u, -1, "status", "pausedReplicaCount") == 0, nil
	}
	value, set := o.Annotations["autoscaling.keda.sh/paused"]
	on, err := strconv.ParseBool(value)
	return set && (err != nil || on), nil
}

// offAtZero is true for a HorizontalPodAutoscaler whose minimum is above 0: it is
// disabled as long as its target has no replicas.
func offAtZero(o *inventory.Object) (bool, error) {
	if o.Ref.Group != "autoscaling" {
		return false, nil
	}
	u, err := o.Unstructured()
	if err != nil {
		return false, err
	}
	least, found, _ := unstructured.NestedInt64(u.Object, "spec", "minReplicas")
	return !found || least > 0, nil
}

// operator blocks for custom resources that run pods, because their operator undoes
// the stop, and for workloads whose owner is not in the namespace.
func (b *builder) operator(o *inventory.Object) {
	ref := o.Ref
	switch {
	case !inventory.BuiltIn(o.Ref.Group) && b.inv.RunsPods(o):
		b.block(Finding{
			Code: CodeOperatorOwned, Object: &ref,
			Message: "its operator runs pods and would start them again after the stop",
			Hint:    "stop it as its operator documents, then migrate without --cutover",
		})
	case workload.Suspendable(o.Ref.GroupKind()) && len(o.Owners) > 0 && b.inv.FindUID(o.Owners[0].UID) == nil:
		owner := o.Owners[0]
		b.block(Finding{
			Code: CodeOperatorOwned, Object: &ref,
			Message: fmt.Sprintf("its owner %s %s is not in the namespace and would start it again after the stop", owner.Kind, owner.Name),
			Hint:    "stop it through its owner, then migrate without --cutover",
		})
	}
}

// gitOps blocks for workloads that a GitOps controller manages: it reverts the stop.
func (b *builder) gitOps(o *inventory.Object) {
	who := o.GitOps()
	if who == "" || !workload.Suspendable(o.Ref.GroupKind()) {
		return
	}
	ref := o.Ref
	b.block(Finding{
		Code: CodeGitOpsManaged, Object: &ref,
		Message: fmt.Sprintf("%s manages it and would start it again after the stop", who),
		Hint:    "suspend synchronization on the source and remove its label or annotation from the workload before the cutover",
	})
}

// usersThatStay blocks when an object that is not migrated uses a migrated PVC.
func (b *builder) usersThatStay(items []Item) {
	moves := map[inventory.Ref]bool{}
	for _, i := range items {
		if i.Verdict == inventory.Move {
			moves[i.Source] = true
		}
	}
	for _, v := range b.volumes {
		for _, w := range v.Workloads {
			if o := b.inv.Find(w.ID()); moves[w] || o != nil && o.Reason == inventory.ReasonCompleted {
				continue
			}
			ref := w
			b.block(Finding{
				Code: CodeUserNotMoved, Object: &ref,
				Message: fmt.Sprintf("it is not migrated but uses the PVC %s, which is", v.Claim),
				Hint:    "include it, delete it, or use --exclude pvc/" + v.Claim,
			})
		}
	}
}
