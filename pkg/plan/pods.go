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

// samplePod is a pod as the workload's controller will make it on the target:
// what Pod Security, a quota or a LimitRange refuses is the pod and not the
// workload. It is nil for items that run no pods.
func samplePod(item Item) (*unstructured.Unstructured, error) {
	if item.Target == nil || item.Verdict != inventory.Move || item.Source.GroupKind() == kindPod {
		return nil, nil // a bare pod is tried as itself
	}
	u, err := item.active()
	if err != nil {
		return nil, err
	}
	path := inventory.PodSpecPath(u)
	if path == nil || item.Target.Kind == "PodTemplate" {
		return nil, nil
	}
	spec, _, err := unstructured.NestedMap(u.Object, path...)
	if err != nil {
		return nil, fmt.Errorf("%s: its pod template: %w", item.Source, err)
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

// claimVolumes adds the volumes that a StatefulSet's controller adds.
func claimVolumes(u *unstructured.Unstructured, spec map[string]any) {
	templates, _, _ := unstructured.NestedSlice(u.Object, "spec", "volumeClaimTemplates")
	volumes, _, _ := unstructured.NestedSlice(spec, "volumes")
	for _, t := range templates {
		m, _ := t.(map[string]any)
		name, _, _ := unstructured.NestedString(m, "metadata", "name")
		volumes = append(volumes, map[string]any{
			"name": name, "persistentVolumeClaim": map[string]any{"claimName": name + "-" + u.GetName() + "-0"},
		})
	}
	if len(volumes) > 0 {
		spec["volumes"] = volumes
	}
}

// active decodes the object as it will be once activated.
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

// starting says whether the plan ends with pods on the target.
func (b *builder) starting() bool { return b.request.Mode != v1alpha1.ModeStandby }

// podProblem says what keeps the item's pods from being created. What can be
// mended until the copy is activated blocks only a plan that activates it.
func (b *builder) podProblem(item *Item, p *apply.Problem) {
	ref := *item.Target
	f := Finding{
		Code: CodePodDenied, Object: &ref, Problem: p, Message: "its pods will be refused: " + p.Error(),
		Hint: "change its pod template on the source or with --patch, or leave it out with --exclude " + named(ref),
	}
	mendable := false
	switch {
	case p.Cause == apply.CauseInvalid && !inventory.BuiltIn(ref.Group):
		return // an operator completes the template before it makes a pod of it
	case strings.Contains(p.Message, "error looking up service account"):
		account := b.accountOf(item)
		f.Code, mendable = CodeServiceAccountMissing, true
		f.Message = fmt.Sprintf("its pods run as the service account %s, which is not on the target", account)
		f.Hint = fmt.Sprintf("have it created there: kubectl -n %s create serviceaccount %s", b.request.TargetNamespace, account)
	case p.Cause == apply.CauseQuota:
		f.Code, mendable = CodeQuota, true
		f.Hint = "have the quota of the target namespace raised"
	case p.Cause == apply.CauseNotPermitted:
		f.Code, mendable = CodeNeedsAdmin, true
		f.Message, f.Hint = "you may not create pods on the target, so whether its pods will be accepted is not known", ""
	case p.Cause == apply.CauseOther, p.Cause == apply.CauseMissing:
		f.Code, f.Hint = CodeTargetUnavailable, "try again"
	}
	if mendable && !b.starting() {
		b.warn(f)
		return
	}
	b.block(f)
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

// pullSecrets warns about secrets that the source's service account adds to
// pods and the target's will not.
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
			Message: fmt.Sprintf("on the source the service account %s gives its pods the pull secret %s, on the target it does not", name, s),
			Hint:    fmt.Sprintf(`kubectl -n %s patch serviceaccount %s -p '{"imagePullSecrets":[{"name":%q}]}' on the target`, b.request.TargetNamespace, name, s),
		})
	}
	if len(was.Bound) > 0 {
		b.warn(Finding{
			Code:    CodeServiceAccountBound,
			Message: fmt.Sprintf("the service account %s is bound to a cloud identity of the source (%s)", name, strings.Join(was.Bound, ", ")),
			Hint:    "its pods need another identity on the target",
		})
	}
}
