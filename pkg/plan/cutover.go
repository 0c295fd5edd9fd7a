// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/capture"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// refuseCutover blocks a cutover whose stop would not hold, because something
// else sets the replicas, or would destroy data.
func (b *builder) refuseCutover(items []Item) error {
	for _, item := range items {
		o := b.inv.FindUID(item.Source.UID)
		if item.Verdict != capture.Move || o == nil {
			continue
		}
		b.gitOps(o)
		b.operator(o)
		b.autoscaled(o)
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
// the claims, and with them the data that is to move.
func (b *builder) whenScaled(o *capture.Object) error {
	u, err := o.Unstructured()
	if err != nil {
		return err
	}
	policy, _, _ := unstructured.NestedString(u.Object, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled")
	if policy != "Delete" {
		return nil
	}
	ref := o.Ref
	b.block(Finding{
		Code: CodeWhenScaled, Object: &ref,
		Message: "its persistentVolumeClaimRetentionPolicy.whenScaled is Delete: stopping it would delete its volumes",
		Hint: fmt.Sprintf(`set it to Retain first: kubectl -n %s patch %s --type merge -p '{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Retain"}}}'`,
			o.Ref.Namespace, o.Ref),
	})
	return nil
}

// autoscaled: an autoscaler is off while its workload has no replicas, but
// nothing keeps it from waking the workload when somebody else touches it; KEDA
// does so by itself unless it is paused.
func (b *builder) autoscaled(o *capture.Object) {
	if _, paused := o.Annotations["autoscaling.keda.sh/paused"]; paused {
		return
	}
	for _, n := range o.Needs {
		target := b.inv.Find(n.ID)
		if n.Path != capture.PathScaleTarget || target == nil || target.Verdict != capture.Move {
			continue
		}
		ref := target.Ref
		b.block(Finding{
			Code: CodeAutoscaled, Object: &ref,
			Message: fmt.Sprintf("%s sets its replicas and would start it again", o.Ref),
			Hint:    fmt.Sprintf("remove the autoscaler for the cutover: kubectl -n %s delete %s", o.Ref.Namespace, o.Ref),
		})
	}
}

// operator: a custom resource that runs pods has an operator that puts back
// whatever is stopped. So has a workload whose owner is not in the namespace.
func (b *builder) operator(o *capture.Object) {
	ref := o.Ref
	switch {
	case !capture.BuiltIn(o.Ref.Group) && b.inv.RunsPods(o):
		b.block(Finding{
			Code: CodeOperator, Object: &ref,
			Message: "its operator runs pods and would start them again",
			Hint:    "stop it the way its operator offers, then migrate without --cutover",
		})
	case workload.CanRest(o.Ref.GroupKind()) && len(o.Owners) > 0 && b.inv.FindUID(o.Owners[0].UID) == nil:
		owner := o.Owners[0]
		b.block(Finding{
			Code: CodeOperator, Object: &ref,
			Message: fmt.Sprintf("its owner %s %s is not in the namespace and would start it again", owner.Kind, owner.Name),
			Hint:    "stop it the way its owner offers, then migrate without --cutover",
		})
	}
}

// gitOps: a controller that compares the cluster with a repository undoes the
// stop within minutes.
func (b *builder) gitOps(o *capture.Object) {
	who := o.GitOps()
	if who == "" || !workload.CanRest(o.Ref.GroupKind()) {
		return
	}
	ref := o.Ref
	b.block(Finding{
		Code: CodeGitOps, Object: &ref,
		Message: fmt.Sprintf("%s manages it and would start it again", who),
		Hint:    "suspend its synchronisation on the source, and remove the mark, before the cutover",
	})
}

// usersThatStay: a claim that moves must not be used by what stays.
func (b *builder) usersThatStay(items []Item) {
	moves := map[capture.Ref]bool{}
	for _, i := range items {
		if i.Verdict == capture.Move {
			moves[i.Source] = true
		}
	}
	for _, v := range b.volumes {
		for _, w := range v.Workloads {
			if o := b.inv.Find(w.ID()); moves[w] || o != nil && o.Reason == capture.ReasonCompleted {
				continue
			}
			ref := w
			b.block(Finding{
				Code: CodeUserStays, Object: &ref,
				Message: fmt.Sprintf("it does not move but uses the claim %s, which does", v.Claim),
				Hint:    "let it move too, or stop it, or leave the claim out with --exclude pvc/" + v.Claim,
			})
		}
	}
}
