// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// stopFindings returns one finding for every object that Kubernetes deletes, or
// that stays in deletion, because the pods of migrated workloads are stopped. It is
// pure, and the same for the plan and for StopBlockers.
func stopFindings(inv *inventory.Inventory) []Finding {
	var out []Finding
	for _, o := range inv.Objects {
		switch {
		case o.Reason == inventory.ReasonMotionInternal, o.Reason == inventory.ReasonEphemeral:
		case o.Ref.GroupKind() == kindClaim && o.Terminating:
			if users := stoppedUsers(inv, o.Ref.Name); len(users) > 0 {
				out = append(out, terminatingClaim(o, users))
			}
		case goesWithPods(inv, o):
			out = append(out, ownedByPod(o))
		}
	}
	return out
}

// stops is true for workloads and bare pods that a cutover stops.
func stops(o *inventory.Object) bool {
	gk := o.Ref.GroupKind()
	return o.Verdict == inventory.Move && (workload.Suspendable(gk) || gk == kindPod)
}

// stoppedUsers returns the workloads of a PVC that a cutover stops.
func stoppedUsers(inv *inventory.Inventory, claim string) []string {
	_, workloads := inv.Users(claim)
	var out []string
	for _, w := range workloads {
		if o := inv.Find(w.ID()); o != nil && stops(o) {
			out = append(out, w.String())
		}
	}
	return out
}

// terminatingClaim reports a PVC that is being deleted and exists only until its
// pods are stopped.
func terminatingClaim(o *inventory.Object, users []string) Finding {
	ref := o.Ref
	volume := "VOLUME"
	if o.VolumeName() != "" {
		volume = o.VolumeName()
	}
	return Finding{
		Code: CodeStopDeletes, Object: &ref,
		Message: fmt.Sprintf("it is being deleted and exists only as long as the pods of %s: stopping them deletes it, "+
			"and with the reclaim policy Delete its data, which is not migrated", strings.Join(users, ", ")),
		Hint: fmt.Sprintf("copy the data to another PVC, or ask an administrator to keep the volume: "+
			`kubectl patch persistentvolume %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}', then stop the application and create the PVC again with volumeName %s`,
			volume, volume),
	}
}

// goesWithPods is true when the garbage collector deletes o with the pods that a
// cutover stops: every owner of o that exists is such a pod. Objects that a
// controller creates again with the pod are not meant.
func goesWithPods(inv *inventory.Inventory, o *inventory.Object) bool {
	if o.Verdict != inventory.Move && o.Ref.GroupKind() != kindClaim {
		return false
	}
	found := false
	for _, ref := range o.Owners {
		owner := inv.FindUID(ref.UID)
		if owner == nil {
			continue // the garbage collector ignores owners that do not exist
		}
		if owner.Ref.GroupKind() != kindPod || !stops(inv.Root(owner)) {
			return false
		}
		found = true
	}
	return found
}

func ownedByPod(o *inventory.Object) Finding {
	ref := o.Ref
	i := slices.IndexFunc(o.Owners, func(r metav1.OwnerReference) bool { return r.Kind == kindPod.Kind })
	f := Finding{
		Code: CodeStopDeletes, Object: &ref,
		Message: fmt.Sprintf("it is owned by pod/%s: stopping the pod deletes it", o.Owners[max(i, 0)].Name),
		Hint: fmt.Sprintf(`remove its owner references: kubectl -n %s patch %s --type=merge -p '{"metadata":{"ownerReferences":null}}'`,
			ref.Namespace, named(ref)),
	}
	if ref.GroupKind() == kindClaim {
		f.Message += ", and with the reclaim policy Delete its data"
	}
	return f
}

// stopping blocks a cutover whose stop deletes objects. Without a cutover, a PVC in
// deletion is a warning: the copy lacks its data.
func (b *builder) stopping(cutover bool) {
	for _, f := range stopFindings(b.inv) {
		switch o := b.inv.FindUID(f.Object.UID); {
		case cutover:
			b.block(f)
		case o != nil && o.Terminating:
			_, workloads := b.inv.Users(o.Ref.Name)
			f.Message = fmt.Sprintf("it is being deleted and is not migrated: on the target %s starts without its data", refs(workloads))
			b.warn(f)
		}
	}
	if cutover {
		b.podFinalizers()
	}
}

func refs(list []inventory.Ref) string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

// podFinalizers warns about pods that stay in deletion until a controller removes
// its finalizer: the cutover waits for it.
func (b *builder) podFinalizers() {
	for _, o := range b.inv.Objects {
		if o.Ref.GroupKind() != kindPod || o.Reason == inventory.ReasonMotionInternal || !stops(b.inv.Root(o)) {
			continue
		}
		foreign := slices.DeleteFunc(slices.Clone(o.Finalizers), func(f string) bool { return f == "batch.kubernetes.io/job-tracking" })
		if len(foreign) == 0 {
			continue
		}
		ref := o.Ref
		b.warn(Finding{
			Code: CodePodFinalizer, Object: &ref,
			Message: fmt.Sprintf("it has the finalizer %s: the cutover waits until its controller removes it", strings.Join(foreign, ", ")),
			Hint:    "check that the controller of the finalizer runs",
		})
	}
}

// barePods blocks a cutover for pods without a controller that use PVCs. A cutover
// stops a pod by deleting it, and a run that is killed then cannot create it on the
// target.
func (b *builder) barePods(items []Item) {
	for _, i := range items {
		if i.Verdict != inventory.Move || i.Stage != StageActivation || i.Source.GroupKind() != kindPod {
			continue
		}
		ref := i.Source
		b.block(Finding{
			Code: CodeBarePod, Object: &ref,
			Message: "it has no controller and uses volumes: a cutover would have to delete it before it is created on the target",
			Hint: fmt.Sprintf("create it with a controller, as a Deployment or a Job, or save and delete it: kubectl -n %s get %s -o yaml, kubectl -n %s delete %s",
				ref.Namespace, named(ref), ref.Namespace, named(ref)),
		})
	}
}

// rollback blocks a cutover when the source rejects a pod that a rollback has to
// create there.
func (b *builder) rollback(items []Item) {
	for _, i := range items {
		p := b.rollbacks[i.Source.UID]
		if p == nil {
			continue
		}
		ref := i.Source
		f := Finding{
			Code: CodeNoRollback, Object: &ref, Problem: p,
			Message: "a rollback could not start its pods on the source again: " + p.Error(),
			Hint:    "correct it on the source before the cutover, or use --exclude " + named(ref),
		}
		b.block(f)
	}
}

var kindStatefulSet = schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
