// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

var kindPod = schema.GroupKind{Kind: "Pod"}

// samplePod returns a pod as the workload's controller will create it on the target:
// Pod Security, quotas and LimitRanges reject the pod and not the workload. It is nil
// for items that run no pods.
func samplePod(item Item) (*unstructured.Unstructured, error) {
	if item.Target == nil || item.Verdict != inventory.Move || item.Source.GroupKind() == kindPod {
		return nil, nil // a bare pod has its own dry-run
	}
	u, err := item.active()
	if err != nil {
		return nil, err
	}
	return podOf(item.Source, u)
}

// restartedPod returns the pod that starting the stopped object again creates on the
// source; nil for objects without pods.
func restartedPod(o *inventory.Object) (*unstructured.Unstructured, error) {
	u, err := o.Unstructured()
	if err != nil {
		return nil, err
	}
	if o.Ref.GroupKind() == kindPod {
		u = workload.RestartedPod(u)
		u.SetGenerateName(u.GetName()[:min(len(u.GetName()), 40)] + "-")
		unstructured.RemoveNestedField(u.Object, "metadata", "name")
		return u, nil
	}
	if was := u.GetAnnotations()[v1alpha1.AnnotationOriginalState]; was != "" {
		if err := workload.Activate(u, []byte(was)); err != nil {
			return nil, err
		}
	}
	if replicas(u) == 0 {
		return nil, nil
	}
	return podOf(o.Ref, u)
}

// podOf returns a pod as the controller of the workload u creates it; nil when u has
// no pod template.
func podOf(ref inventory.Ref, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	path := inventory.PodSpecPath(u)
	if path == nil || u.GetKind() == "PodTemplate" {
		return nil, nil
	}
	spec, _, err := unstructured.NestedMap(u.Object, path...)
	if err != nil {
		return nil, fmt.Errorf("%s: its pod template: %w", ref, err)
	}
	claimVolumes(u, spec)
	pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": spec}}
	if len(path) > 1 {
		meta := slices.Concat(path[:len(path)-1], []string{"metadata"})
		labels, _, _ := unstructured.NestedStringMap(u.Object, append(slices.Clone(meta), "labels")...)
		annotations, _, _ := unstructured.NestedStringMap(u.Object, append(slices.Clone(meta), "annotations")...)
		pod.SetLabels(labels)
		pod.SetAnnotations(annotations)
	} else {
		pod.SetLabels(u.GetLabels())
	}
	pod.SetNamespace(u.GetNamespace())
	// The longest prefix that still leaves room for the random suffix.
	pod.SetGenerateName(u.GetName()[:min(len(u.GetName()), 40)] + "-")
	return pod, nil
}

// claimVolumes sets the volumes that a StatefulSet's controller sets.
func claimVolumes(u *unstructured.Unstructured, spec map[string]any) {
	templates, _, _ := unstructured.NestedSlice(u.Object, "spec", "volumeClaimTemplates")
	volumes, _, _ := unstructured.NestedSlice(spec, "volumes")
	for _, t := range templates {
		m, _ := t.(map[string]any)
		name, _, _ := unstructured.NestedString(m, "metadata", "name")
		// The PVC replaces a volume of the same name, as in the StatefulSet controller.
		volumes = slices.DeleteFunc(volumes, func(v any) bool {
			have, _ := v.(map[string]any)
			return have["name"] == name
		})
		volumes = append(volumes, map[string]any{
			"name": name, "persistentVolumeClaim": map[string]any{"claimName": name + "-" + u.GetName() + "-0"},
		})
	}
	if len(volumes) > 0 {
		spec["volumes"] = volumes
	}
}

// active decodes the object as it will be once it is activated.
func (i Item) active() (*unstructured.Unstructured, error) {
	u, err := i.Object()
	if err != nil {
		return nil, err
	}
	if was, found := u.GetAnnotations()[v1alpha1.AnnotationOriginalState]; found {
		err = workload.Activate(u, []byte(was))
	}
	return u, err
}

// starting is true when the plan ends with pods on the target.
func (b *builder) starting() bool { return b.request.Mode != v1alpha1.ModeStandby }

// podProblem reports why the item's pods cannot be created. A problem that can be
// solved before the activation blocks only a plan that activates the copy.
func (b *builder) podProblem(item *Item, p *apply.Problem) {
	ref := *item.Target
	f := Finding{
		Code: CodePodDenied, Object: &ref, Problem: p, Message: "its pods will be rejected: " + p.Error(),
		Hint: "change its pod template on the source or with --patch, or use --exclude " + named(ref),
	}
	solvable := false
	switch {
	case p.Cause == apply.CauseInvalid && !inventory.BuiltIn(ref.Group):
		return // the operator completes the template before it creates a pod
	case accountMissing(p):
		account := b.accountOf(item)
		f.Code, solvable = CodeServiceAccountMissing, true
		f.Message = fmt.Sprintf("the ServiceAccount %s of its pods does not exist on the target", account)
		f.Hint = fmt.Sprintf("ask an administrator of the target to run: kubectl -n %s create serviceaccount %s (or use --export-admin FILE)", b.request.TargetNamespace, account)
	case p.Cause == apply.CauseQuota:
		f.Code, solvable = CodeQuota, true
		f.Hint = "ask an administrator to raise the quota of the target namespace"
	case p.Cause == apply.CauseNotPermitted:
		f.Code, solvable = CodeNeedsAdmin, true
		f.Message, f.Hint = "you are not allowed to create pods on the target, so its pods were not checked", ""
	case p.Cause == apply.CauseOther, p.Cause == apply.CauseMissing:
		f.Code, f.Hint = CodeTargetUnavailable, "try again"
	}
	if solvable && !b.starting() {
		b.warn(f)
		return
	}
	b.block(f)
}

// accountMissing is true when a pod was rejected because its ServiceAccount does not
// exist.
func accountMissing(p *apply.Problem) bool {
	return p != nil && strings.Contains(p.Message, "error looking up service account")
}

// accountManifests are the ServiceAccounts that pods of migrated workloads use and the
// target is known not to have: name, labels and pull secrets of the source's, without
// tokens and without rights.
func (b *builder) accountManifests(items []Item) []map[string]any {
	if !b.facts.Accounts.Known {
		return nil
	}
	var out []map[string]any
	done := map[string]bool{"default": true}
	for i := range items {
		o := b.inv.FindUID(items[i].Source.UID)
		if items[i].Verdict != inventory.Move || o == nil || !o.RunsPods() {
			continue
		}
		name := b.accountOf(&items[i])
		named := func(a Account) bool { return a.Name == name }
		if _, there := find(b.facts.Accounts.List, named); there || done[name] {
			continue
		}
		done[name] = true
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}}
		u.SetName(name)
		u.SetNamespace(b.request.TargetNamespace)
		if source := b.inv.Find(inventory.ID{Kind: "ServiceAccount", Name: name}); source != nil && len(source.Labels) > 0 {
			u.SetLabels(source.Labels)
		}
		if was, found := find(b.facts.SourceAccounts.List, named); found && len(was.PullSecrets) > 0 {
			var secrets []any
			for _, s := range was.PullSecrets {
				secrets = append(secrets, map[string]any{"name": s})
			}
			u.Object["imagePullSecrets"] = secrets
		}
		out = append(out, u.Object)
	}
	return out
}

func (b *builder) accountOf(item *Item) string {
	o := b.inv.FindUID(item.Source.UID)
	if o == nil {
		return ""
	}
	for _, n := range o.Needs {
		if n.ID.Kind == "ServiceAccount" {
			return n.ID.Name
		}
	}
	return "default"
}

// pullSecrets warns about pull secrets that the source's ServiceAccount adds to pods
// and the target's does not.
func (b *builder) pullSecrets(items []Item) {
	if !b.facts.SourceAccounts.Known || !b.facts.Accounts.Known {
		return
	}
	warned := map[string]bool{}
	for i := range items {
		o := b.inv.FindUID(items[i].Source.UID)
		if items[i].Verdict != inventory.Move || o == nil || !o.RunsPods() {
			continue
		}
		name := b.accountOf(&items[i])
		if !warned[name] {
			warned[name] = true
			b.account(name)
		}
	}
}

func (b *builder) account(name string) {
	named := func(a Account) bool { return a.Name == name }
	was, found := find(b.facts.SourceAccounts.List, named)
	is, there := find(b.facts.Accounts.List, named)
	if !found {
		return
	}
	for _, s := range was.PullSecrets {
		if there && slices.Contains(is.PullSecrets, s) {
			continue
		}
		b.warn(Finding{
			Code:    CodePullSecret,
			Message: fmt.Sprintf("the ServiceAccount %s adds the pull secret %s to its pods on the source, but not on the target", name, s),
			Hint:    fmt.Sprintf(`on the target, run: kubectl -n %s patch serviceaccount %s -p '{"imagePullSecrets":[{"name":%q}]}'`, b.request.TargetNamespace, name, s),
		})
	}
	if len(was.Bound) > 0 {
		b.warn(Finding{
			Code:    CodeServiceAccountBound,
			Message: fmt.Sprintf("the ServiceAccount %s is bound to a cloud identity of the source (%s)", name, strings.Join(was.Bound, ", ")),
			Hint:    "bind the target's ServiceAccount to an identity of the target",
		})
	}
}
