// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Judge sets the verdict of every object of the inventory. It is pure and idempotent.
//
// The first rule with a reason wins. Annotations come before kinds, and kinds before
// ownership.
func Judge(inv *Inventory, sel Selection) {
	chosen := sel.choose(inv)
	for _, o := range inv.Objects {
		o.Verdict, o.Reason, o.Detail = Move, "", ""
		for _, rule := range rules() {
			if reason, detail := rule(inv, o); reason != "" {
				o.Verdict, o.Reason, o.Detail = Skip, reason, detail
				break
			}
		}
		if o.Verdict == Move {
			chosen.apply(o)
		}
		if o.Verdict == Move && !o.OnTarget {
			o.Verdict, o.Reason = NeedsAdmin, ReasonKindMissing
		}
	}
}

// rule returns the reason for skipping o, or an empty one.
type rule func(inv *Inventory, o *Object) (Reason, string)

func rules() []rule {
	return []rule{ours, annotated, byKind, terminating, owned}
}

func ours(_ *Inventory, o *Object) (Reason, string) {
	if o.Ref.Group == v1alpha1.GroupName || o.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByValue || o.Labels[v1alpha1.LabelMountPod] != "" {
		return ReasonMotionInternal, ""
	}
	return "", ""
}

// annotated skips objects with kubectl-motion.dev/skip; the values false and no turn
// it off.
func annotated(_ *Inventory, o *Object) (Reason, string) {
	v, found := o.Annotations[v1alpha1.AnnotationSkip]
	if !found || strings.EqualFold(v, "false") || strings.EqualFold(v, "no") {
		return "", ""
	}
	return ReasonUserSkip, ""
}

func terminating(_ *Inventory, o *Object) (Reason, string) {
	if o.Terminating {
		return ReasonTerminating, ""
	}
	return "", ""
}

func byKind(inv *Inventory, o *Object) (Reason, string) {
	switch o.Ref.GroupKind() {
	case kindAccount:
		return ReasonServiceAccount, ""
	case kindSecret:
		return secretReason(o)
	case kindConfigMap:
		return configMapReason(o)
	case kindService:
		if o.Ref.Name == "kubernetes" && o.Ref.Namespace == "default" {
			return ReasonGenerated, "the Service of the API server"
		}
	case kindEndpoints, kindSlice:
		return endpointsReason(inv, o)
	case kindRoleBinding:
		if o.facts.usersOnly {
			return ReasonUserAccess, ""
		}
	case kindRevision:
		return ReasonRevisionHistory, ""
	case kindQuota:
		if o.Ref.Name == "gke-resource-quotas" {
			return ReasonPlatform, "created by GKE"
		}
	case kindSnapshot, kindGroupSnapshot, kindOldSnapshot:
		return ReasonSnapshot, ""
	case kindOrder, kindChallenge, kindCertRequest:
		return ReasonOneTimeRequest, "cert-manager creates a new one"
	case kindJob:
		return finishedReason(o)
	case kindPod:
		return podReason(o)
	case kindClaim:
		return claimReason(inv, o)
	}
	if o.IsRun() && o.Final() {
		return ReasonCompleted, "as its status has it"
	}
	return "", ""
}

func secretReason(o *Object) (Reason, string) {
	switch o.facts.secretType {
	case "kubernetes.io/service-account-token":
		return ReasonClusterCredential, "token of a ServiceAccount"
	case "bootstrap.kubernetes.io/token":
		return ReasonClusterCredential, "token for joining nodes"
	}
	// OpenShift writes the credential of its internal registry under these
	// names, with a type that users use for their own credentials too.
	for _, account := range []string{"builder", "default", "deployer"} {
		if strings.HasPrefix(o.Ref.Name, account+"-dockercfg-") {
			return ReasonClusterCredential, "credential for the source cluster's internal registry"
		}
	}
	return "", ""
}

// Annotation of the Endpoints, and prefix of the ConfigMap, of leader election
// as it was done before Leases.
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"

func configMapReason(o *Object) (Reason, string) {
	switch o.Ref.Name {
	case "kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert":
		return ReasonGenerated, "the certificate authority of the cluster"
	}
	if _, found := o.Annotations[leaderAnnotation]; found {
		return ReasonLeaderLock, ""
	}
	return "", ""
}

// endpointsReason skips Endpoints and EndpointSlices of controllers. Those that were
// written for a Service without a selector are migrated, with or without their Service.
func endpointsReason(inv *Inventory, o *Object) (Reason, string) {
	if _, found := o.Annotations[leaderAnnotation]; found {
		return ReasonLeaderLock, ""
	}
	switch o.Labels["endpointslice.kubernetes.io/managed-by"] {
	case "endpointslice-controller.k8s.io":
		return ReasonGenerated, "of a Service with a selector"
	case "endpointslicemirroring-controller.k8s.io":
		return ReasonGenerated, "mirrored from an Endpoints object"
	}
	if o.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
		return ReasonGenerated, "of a Service with a selector"
	}
	if o.Ref.Namespace == "default" && o.Ref.Name == "kubernetes" {
		return ReasonGenerated, "the Service of the API server"
	}
	for _, n := range o.Needs {
		if svc := inv.Find(n.ID); svc != nil && svc.facts.hasSelector {
			return ReasonGenerated, fmt.Sprintf("of %s, which has a selector", svc.Ref)
		}
	}
	if o.facts.targetRefs {
		return ReasonGenerated, "its addresses are pods of the source"
	}
	return "", ""
}

func finishedReason(o *Object) (Reason, string) {
	if o.facts.finished {
		return ReasonCompleted, ""
	}
	return "", ""
}

func podReason(o *Object) (Reason, string) {
	if _, found := o.Annotations["kubernetes.io/config.mirror"]; found {
		return ReasonMirrorPod, ""
	}
	if len(o.Owners) == 0 {
		return finishedReason(o)
	}
	return "", ""
}

func claimReason(inv *Inventory, o *Object) (Reason, string) {
	for _, owner := range o.Owners {
		pod := inv.FindUID(owner.UID)
		if owner.Kind != kindPod.Kind || pod == nil || pod.facts.pod == nil {
			continue
		}
		if v, found := strings.CutPrefix(o.Ref.Name, owner.Name+"-"); found && slices.Contains(pod.facts.pod.ephemeral, v) {
			return ReasonEphemeral, "of " + pod.Ref.String()
		}
	}
	return "", ""
}

// owned skips objects that the controller of their owner recreates. It never skips a
// PVC, which holds data, and never a Secret of a custom resource: an operator on the
// target would generate another password than the one in the data. An object that
// users gave a built-in owner for garbage collection, as a ConfigMap of a Deployment,
// is not recreated by a controller and is migrated.
func owned(inv *Inventory, o *Object) (Reason, string) {
	if o.Ref.GroupKind() == kindClaim {
		return "", ""
	}
	for _, ref := range o.Owners {
		owner := inv.FindUID(ref.UID)
		if owner == nil || !recreatedByController(owner, o, ref.Controller != nil && *ref.Controller) {
			continue
		}
		return ReasonOwned, "by " + inv.Root(owner).Ref.String()
	}
	return "", ""
}

// recreatedByController is true when a controller recreates the child of an owner.
// Children of custom resources count as recreated by their operator, as do custom
// resources with a built-in owner as their controller.
func recreatedByController(owner, child *Object, controller bool) bool {
	kind := child.Ref.GroupKind()
	switch {
	case !BuiltIn(owner.Ref.Group):
		return kind != kindSecret
	case !BuiltIn(child.Ref.Group):
		return controller || owner.Ref.GroupKind() == kindPod
	}
	switch owner.Ref.GroupKind() {
	case kindDeployment:
		return kind == kindReplicaSet
	case kindStatefulSet, kindDaemonSet:
		return kind == kindPod || kind == kindRevision
	case kindReplicaSet, kindReplication, kindJob:
		return kind == kindPod
	case kindCronJob:
		return kind == kindJob
	case kindService:
		return kind == kindEndpoints || kind == kindSlice
	case kindPod:
		return len(owner.Owners) > 0 || child.Ref.Group == "resource.k8s.io"
	}
	return false
}

// Root follows the owners of o within the inventory to the one without an owner.
func (inv *Inventory) Root(o *Object) *Object {
	seen := map[*Object]bool{}
	for !seen[o] {
		seen[o] = true
		next := inv.owner(o)
		if next == nil {
			return o
		}
		o = next
	}
	return o
}

// owner returns the controlling owner of o, or another owner in the inventory.
func (inv *Inventory) owner(o *Object) *Object {
	var some *Object
	for _, ref := range o.Owners {
		owner := inv.FindUID(ref.UID)
		if owner == nil {
			continue
		}
		if ref.Controller != nil && *ref.Controller {
			return owner
		}
		some = owner
	}
	return some
}

// BuiltIn is true for the API groups of Kubernetes itself, whose controllers are the
// same on every cluster.
func BuiltIn(group string) bool {
	switch group {
	case "", "apps", "batch", "autoscaling", "policy", "extensions":
		return true
	}
	return strings.HasSuffix(group, ".k8s.io") && !slices.Contains([]string{
		"snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io", "gateway.networking.k8s.io",
		"metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io",
		"autoscaling.k8s.io", "policy.networking.k8s.io",
	}, group) && !strings.Contains(group, ".x-k8s.io")
}
