// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// refuseCutover blocks a cutover whose stop would not hold, because something
// else sets the replicas, or would destroy data.
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
	return nil
}

// whenScaled: scaling such a StatefulSet to zero makes its controller delete
// the claims, and with them the data that is to move. Package workload retains
// them first.
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
		Message: "its persistentVolumeClaimRetentionPolicy.whenScaled is Delete, and stopping it would delete its volumes: " +
			"it is set to Retain before it is stopped, and put back when it is started again",
	})
	return nil
}

// autoscaled: KEDA wakes a workload that has no replicas unless it is paused, and
// so does an autoscaler that may scale to zero itself. One that may not is off
// while its workload has none, and is on again once it has some.
func (b *builder) autoscaled(o *inventory.Object) error {
	if _, paused := o.Annotations["autoscaling.keda.sh/paused"]; paused {
		return nil
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
			Message: fmt.Sprintf("%s sets its replicas and would start it again", o.Ref),
			Hint:    fmt.Sprintf("remove the autoscaler for the cutover: kubectl -n %s delete %s", o.Ref.Namespace, o.Ref),
		})
	}
	return nil
}

// offAtZero says whether the autoscaler is Kubernetes' own, and disabled as long
// as its target has no replicas: that is so unless its own minimum is 0.
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

// operator: a custom resource that runs pods has an operator that puts back
// whatever is stopped. So has a workload whose owner is not in the namespace.
func (b *builder) operator(o *inventory.Object) {
	ref := o.Ref
	switch {
	case !inventory.BuiltIn(o.Ref.Group) && b.inv.RunsPods(o):
		b.block(Finding{
			Code: CodeOperatorOwned, Object: &ref,
			Message: "its operator runs pods and would start them again",
			Hint:    "stop it the way its operator offers, then migrate without --cutover",
		})
	case workload.Suspendable(o.Ref.GroupKind()) && len(o.Owners) > 0 && b.inv.FindUID(o.Owners[0].UID) == nil:
		owner := o.Owners[0]
		b.block(Finding{
			Code: CodeOperatorOwned, Object: &ref,
			Message: fmt.Sprintf("its owner %s %s is not in the namespace and would start it again", owner.Kind, owner.Name),
			Hint:    "stop it the way its owner offers, then migrate without --cutover",
		})
	}
}

// gitOps: a controller that compares the cluster with a repository undoes the
// stop within minutes.
func (b *builder) gitOps(o *inventory.Object) {
	who := o.GitOps()
	if who == "" || !workload.Suspendable(o.Ref.GroupKind()) {
		return
	}
	ref := o.Ref
	b.block(Finding{
		Code: CodeGitOpsManaged, Object: &ref,
		Message: fmt.Sprintf("%s manages it and would start it again", who),
		Hint:    "suspend its synchronisation on the source, and remove the mark, before the cutover",
	})
}

// usersThatStay: a claim that moves must not be used by what stays.
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
				Message: fmt.Sprintf("it does not move but uses the claim %s, which does", v.Claim),
				Hint:    "let it move too, or stop it, or leave the claim out with --exclude pvc/" + v.Claim,
			})
		}
	}
}
