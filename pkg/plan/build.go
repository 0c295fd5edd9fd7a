// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster/ref"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// Build computes the plan from a draft and the target's answers. It is pure: the
// same arguments give the same plan.
func Build(d *Draft, observed Observation) (*Plan, error) {
	b := &builder{Draft: d, observed: observed, found: append([]Finding(nil), d.blockers...), warned: append([]Finding(nil), d.warnings...)}
	items := slices.Clone(d.items)
	for i := range items {
		b.judge(&items[i])
	}
	volumes := slices.Clone(d.volumes)
	for i := range volumes {
		volumes[i].adopt(observed[volumes[i].ref.ID()])
	}
	b.references(items)
	b.pullSecrets(items)
	b.leftBehind(items)
	b.customStatus(items)
	b.patchesUnused()
	b.notExamined()
	groups, err := d.groups()
	if err != nil {
		return nil, err
	}
	if err := b.quotas(items, groups); err != nil {
		return nil, err
	}
	b.stopping(d.request.Mode == v1alpha1.ModeCutover)
	b.mountPods()
	if err := b.running(items); err != nil {
		return nil, err
	}
	switch d.request.Mode {
	case v1alpha1.ModeCutover:
		err = b.refuseCutover(items)
	case v1alpha1.ModeStart:
		err = b.twoCopies(items)
	}
	if err != nil {
		return nil, err
	}
	hooked, err := b.hooks()
	if err != nil {
		return nil, err
	}
	chosen := b.chooseRoute(volumes)
	pruned := b.prune()
	manifests, err := b.manifests(items)
	if err != nil {
		return nil, err
	}
	return &Plan{
		Source: ref.Namespace{ClusterID: d.inv.ClusterID, Namespace: d.inv.Namespace},
		Target: ref.Namespace{ClusterID: d.facts.ClusterID, Namespace: d.request.TargetNamespace},
		Mode:   d.request.Mode,
		Items:  items, Volumes: volumes, Groups: groups,
		Transfer: d.estimate(items, volumes), Route: chosen, Routes: d.facts.Routes, Links: b.links(items),
		Blockers: activeFirst(b.found), Warnings: b.warned,
		Hooks: hooked, Prune: pruned, Manifests: manifests,
		NotExamined: d.inv.NotExamined, Ignored: d.inv.Ignored,
	}, nil
}

// chooseRoute chooses the route of the volumes' data.
func (b *builder) chooseRoute(volumes []Volume) *route.Choice {
	if len(volumes) == 0 {
		return nil
	}
	c, err := b.facts.Routes.Choose(b.request.Route)
	if err == nil {
		return &c
	}
	f := Finding{Code: CodeNoRoute, Message: err.Error()}
	if no := (*route.NoRouteError)(nil); errors.As(err, &no) {
		f.Hint = no.Hint
	}
	b.block(f)
	return nil
}

// activeFirst drops all other blockers while the copy on the target is active: they
// are caused by it.
func activeFirst(found []Finding) []Finding {
	active := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return f.Code != CodeTargetActive })
	if len(active) > 0 {
		return active
	}
	return found
}

type builder struct {
	*Draft
	observed      Observation
	found, warned []Finding
}

func (b *builder) block(f Finding) { b.found = append(b.found, f) }
func (b *builder) warn(f Finding)  { b.warned = append(b.warned, f) }

// judge decides verdict and action of an item from the target's answers.
func (b *builder) judge(item *Item) {
	if item.Reason == inventory.ReasonKindMissing {
		b.kindMissing(item)
		return
	}
	if item.Target == nil || b.facts.NamespaceMissing {
		return
	}
	s := b.observed[item.Target.ID()]
	if s.fitted != nil {
		item.json = s.fitted
	}
	switch {
	case s.Live == nil:
		item.Action = Create
	case s.Changed:
		item.Action = Configure
	default:
		item.Action, item.same = Unchanged, s.Live.ResourceVersion
	}
	if s.Live != nil && (b.clash(item, s.Live) || b.foreign(item, s)) {
		return
	}
	if s.Problem != nil && !b.cannotGrow(item, s) {
		b.problem(item, s.Problem)
	}
	// A template with unknown fields is reported already.
	if s.PodProblem != nil && (s.Problem == nil || s.Problem.Cause == apply.CauseNotPermitted) {
		b.podProblem(item, s.PodProblem)
	}
}

// kindMissing blocks once for each kind.
func (b *builder) kindMissing(item *Item) {
	ref := item.Source
	if slices.ContainsFunc(b.found, func(f Finding) bool {
		return f.Code == CodeKindMissing && f.Object.GroupKind() == ref.GroupKind()
	}) {
		return
	}
	b.block(Finding{
		Code: CodeKindMissing, Object: &ref,
		Message: fmt.Sprintf("the target does not serve %s of %s", item.Source.Resource, groupName(item.Source.Group)),
		Hint:    fmt.Sprintf("install its CustomResourceDefinition and operator on the target, or use --exclude %s.%s", item.Source.Resource, item.Source.Group),
	})
}

func groupName(g string) string {
	if g == "" {
		return "the core group"
	}
	return g
}

// clash blocks, and returns true, when the target's object must not be written: it
// runs, or it holds data, and it is not the standby copy of this source.
func (b *builder) clash(item *Item, live *Live) bool {
	ref := *item.Target
	mine := b.ours(live.Source) || b.returning(item, live)
	switch {
	case live.Active && !live.Suspended, live.Active && b.ours(live.Source):
		b.block(Finding{
			Code: CodeTargetActive, Object: &ref,
			Message: "the copy on the target is active, and a running application is not written to",
			Hint:    "run: " + b.request.Invocation.Command("deactivate"),
		})
	case workload.Suspendable(ref.GroupKind()) && !live.Suspended:
		b.block(Finding{
			Code: CodeNameInUse, Object: &ref,
			Message: "the target runs a workload with this name that was not created by a migration of this source",
			Hint:    "delete it, choose another namespace with --to-namespace, or use --exclude " + named(ref),
		})
	case item.Stage == StageVolume && !mine:
		b.block(Finding{
			Code: CodeNameInUse, Object: &ref,
			Message: "the target has a PVC with this name that was not created by a migration of this source; its data would be overwritten",
			Hint:    "delete it, choose another namespace with --to-namespace, or use --exclude pvc/" + ref.Name,
		})
	default:
		return false
	}
	return true
}

// foreign returns true when the target's object was not created by a migration and
// is left as it is: it is the same already, or it is a limit that the target's
// administrator has set. Other objects are completed if there is no conflict.
func (b *builder) foreign(item *Item, s TargetState) bool {
	if s.Live.Source != "" || b.returning(item, s.Live) || workload.Suspendable(item.Target.GroupKind()) {
		return false
	}
	ref := *item.Target
	switch {
	case item.Source.Group == "" && (item.Source.Kind == "ResourceQuota" || item.Source.Kind == "LimitRange") && s.Changed:
		item.Verdict, item.Reason, item.Action, item.Stage = inventory.Skip, inventory.ReasonTargetManaged, "", ""
	case !s.Changed:
		item.Stage, item.Detail = "", "already the same on the target"
	case s.Problem == nil:
		b.warn(Finding{
			Code: CodeAdopted, Object: &ref,
			Message: "it exists on the target and was not created by a migration; missing fields are added",
			Hint:    "to leave it unchanged, use --exclude " + named(ref),
		})
		return false
	default:
		return false
	}
	return true
}

// returning is true when the source's object was once created from this object of the
// target: an application is migrated back.
func (b *builder) returning(item *Item, live *Live) bool {
	o := b.inv.FindUID(item.Source.UID)
	return o != nil && o.Annotations[v1alpha1.AnnotationSource] ==
		b.facts.ClusterID+"/"+b.facts.Namespace+"/"+string(live.UID)
}

// problem turns the target's error into a verdict or a blocker.
func (b *builder) problem(item *Item, p *apply.Problem) {
	ref := *item.Target
	f := Finding{Object: &ref, Message: p.Error(), Problem: p}
	switch p.Cause {
	case apply.CauseNotPermitted:
		item.Verdict, item.Reason, item.Detail, item.Action = inventory.NeedsAdmin, inventory.ReasonNotPermitted, p.Message, ""
		f.Code, f.Message = CodeNeedsAdmin, "you are not allowed to create or change it on the target"
		f.Hint = "use --export-admin FILE and ask an administrator of the target to apply the file"
		b.warn(f)
		return
	case apply.CauseConflict:
		f.Code, f.Hint = CodeConflict, "use --force-conflicts to take over the fields"
	case apply.CauseQuota:
		f.Code, f.Hint = CodeQuota, "ask an administrator to raise the quota of the target namespace"
	case apply.CauseDenied:
		f.Code, f.Hint = CodeDenied, "change it on the source or with --patch, or use --exclude "+named(ref)
	case apply.CauseImmutable:
		if apply.Recreatable(ref.GroupKind()) {
			if b.request.Recreate {
				item.Action = Recreate
				return
			}
			f.Code, f.Hint = CodeImmutable, "use --recreate to delete and recreate the target's copy"
			break
		}
		f.Code, f.Hint = CodeImmutable, "delete the target's copy, and it is created again"
	case apply.CauseFields:
		f.Code, f.Hint = CodeUnknownFields, "the target's version does not support these fields; remove them with --patch"
	case apply.CauseInvalid:
		f.Code, f.Hint = CodeInvalid, "change it on the source or with --patch"
	default:
		f.Code, f.Hint = CodeTargetUnavailable, "try again"
	}
	b.block(f)
}

// references warns about objects that migrated objects reference and that will be
// missing on the target.
func (b *builder) references(items []Item) {
	moving := map[inventory.ID]bool{}
	for _, i := range items {
		if i.Verdict == inventory.Move {
			moving[i.Source.ID()] = true
		}
	}
	for _, i := range items {
		o := b.inv.FindUID(i.Source.UID)
		if i.Verdict != inventory.Move || o == nil {
			continue
		}
		for _, n := range o.Needs {
			if !n.Optional && !moving[n.ID] {
				b.dangling(i, n)
			}
		}
	}
}

func (b *builder) dangling(item Item, n inventory.Need) {
	if n.ID.Kind == "ServiceAccount" && n.ID.Name == "default" {
		return
	}
	if b.observed[n.ID].Live != nil {
		return
	}
	if n.ID.Kind == "ServiceAccount" && item.Target != nil && accountMissing(b.observed[item.Target.ID()].PodProblem) {
		return // reported by podProblem
	}
	ref := item.Source
	f := Finding{Code: CodeMissingReference, Object: &ref, Message: fmt.Sprintf("%s references %s, which is not migrated", n.Path, n.ID)}
	o := b.inv.Find(n.ID)
	switch {
	case n.ID.Kind == "ServiceAccount":
		f.Message = fmt.Sprintf("%s references %s; ServiceAccounts are not migrated", n.Path, n.ID)
		f.Hint = fmt.Sprintf("if it does not exist yet, run: kubectl --context TARGET -n %s create serviceaccount %s", b.request.TargetNamespace, n.ID.Name)
	case o == nil:
		f.Message = fmt.Sprintf("%s references %s, which does not exist on the source either", n.Path, n.ID)
	case o.Reason == inventory.ReasonGenerated:
		return
	default:
		f.Message += ": " + o.Reason.Explanation()
	}
	b.warn(f)
}

func (b *builder) notExamined() {
	for _, n := range b.inv.NotExamined {
		b.warn(Finding{
			Code:    CodeNotExamined,
			Message: fmt.Sprintf("%s of %s: %s", n.Resource, groupName(n.Group), n.Message),
			Hint:    "objects that you are not allowed to list are not migrated, and the migration counts as incomplete; use --exclude " + n.Resource + dotted(n.Group) + " to leave them out",
		})
	}
}

func dotted(group string) string {
	if group == "" {
		return ""
	}
	return "." + group
}

// manifests are the objects that an administrator of the target has to create:
// CustomResourceDefinitions, ServiceAccounts that pods use, and objects beyond the
// user's rights. Secrets are not among them: users export those themselves.
func (b *builder) manifests(items []Item) ([]map[string]any, error) {
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(b.facts.Definitions)) {
		if u := b.facts.Definitions[name]; u != nil {
			out = append(out, u.Object)
		}
	}
	out = append(out, b.accountManifests(items)...)
	for _, i := range items {
		if i.Verdict != inventory.NeedsAdmin || i.Target == nil || i.Source.Group == "" && i.Source.Kind == "Secret" {
			continue
		}
		u, err := i.active()
		if err != nil {
			return nil, err
		}
		out = append(out, u.Object)
	}
	return out, nil
}
