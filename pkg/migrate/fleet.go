// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/holder"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/shipment"
)

// watchEvery is how often both clusters are asked while volumes move. It bounds
// what polling adds to the downtime of a cutover.
const watchEvery = 300 * time.Millisecond

// fleet is all volumes of a migration on their way.
type fleet struct {
	name           string
	source, target place
	sink           progress.Sink
	limits         *v1alpha1.ShipmentLimits
	route          route.Mode
	patience       time.Duration
	volumes        []*volume
	// groups of claims by the application's pods; holders are made of them.
	groups []holder.Group
}

// volume is one claim.
type volume struct {
	claim string
	// manifest of the target's claim, as the plan rewrote it.
	manifest apply.Object
	// targetClaim is its name there.
	targetClaim string
	link        *shipment.Link
	way         way
	generation  int64
	outcome     shipment.Outcome
	// sent, wire and spent sum up over the passes of this run.
	sent, wire int64
	spent      time.Duration
	passes     int
	// movedAt is when the figures last changed.
	movedAt time.Time
	// shown is what was last emitted: a line that says the same is none.
	shown progress.VolumeFigures
}

func (v *volume) show(sink progress.Sink, line progress.VolumeFigures) {
	if line != v.shown {
		v.shown = line
		progress.EmitVolume(sink, line)
	}
}

// prepare brings everything to the point where a pass can be asked for: claims
// on the target, holders on both sides, shipments that agents have claimed and
// that know each other.
func (f *fleet) prepare(ctx context.Context, r *record, templates holderTemplates) error {
	if len(f.volumes) == 0 {
		return nil
	}
	for _, v := range f.volumes {
		if err := f.ensureClaim(ctx, v); err != nil {
			return err
		}
	}
	if err := f.ensureHolders(ctx, r, templates); err != nil {
		return err
	}
	for _, v := range f.volumes {
		if err := v.link.Ensure(ctx); err != nil {
			return err
		}
	}
	return f.connect(ctx)
}

// ensureClaim makes the target's claim, and finds the UIDs that the shipments
// are bound to.
func (f *fleet) ensureClaim(ctx context.Context, v *volume) error {
	source, err := f.source.cluster.Kube.CoreV1().PersistentVolumeClaims(f.source.namespace).Get(ctx, v.claim, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.claim, f.source, err)
	}
	set, err := apply.Apply(ctx, f.target.cluster, []apply.Object{v.manifest}, apply.Options{})
	if err == nil {
		err = set.Err()
	}
	if err != nil {
		return fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.targetClaim, f.target, err)
	}
	for _, row := range set.Rows {
		progress.Objectf(f.sink, "%s %s", row.Ref, row.Outcome)
	}
	target, err := f.target.cluster.Kube.CoreV1().PersistentVolumeClaims(f.target.namespace).Get(ctx, v.targetClaim, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("persistentvolumeclaim %s in %s: %w", v.targetClaim, f.target, err)
	}
	v.link = &shipment.Link{
		Source:    end(f.source, v.claim, string(source.UID)),
		Target:    end(f.target, v.targetClaim, string(target.GetUID())),
		Migration: f.name, Limits: f.limits, Addressless: f.route == route.Relay,
	}
	return nil
}

func end(p place, claim, uid string) shipment.End {
	return shipment.End{Cluster: p.cluster, ClusterID: p.cluster.ID, Namespace: p.namespace, ClaimName: claim, ClaimUID: uid}
}

// holderTemplates are what the administrators of both sides say about holders.
type holderTemplates struct{ source, target *v1alpha1.HolderTemplate }

func (f *fleet) ensureHolders(ctx context.Context, r *record, t holderTemplates) error {
	for _, side := range []struct {
		place
		template *v1alpha1.HolderTemplate
		source   bool
	}{{f.target, t.target, false}, {f.source, t.source, true}} {
		owner, err := r.owner(ctx, side.place)
		if err != nil {
			return err
		}
		for _, g := range f.groups {
			if !side.source {
				g = f.targetGroup(g)
			}
			pod := holder.Pod(g, holder.Options{
				Namespace: side.namespace, Migration: f.name, Owner: owner, Template: side.template, ReadOnly: side.source,
			})
			if err := holder.Ensure(ctx, side.cluster, pod); err != nil {
				return err
			}
		}
	}
	return nil
}

// targetGroup is a group with the target's claim names, free of the source's nodes.
func (f *fleet) targetGroup(g holder.Group) holder.Group {
	g.Placement.NodeName = ""
	names := make([]string, 0, len(g.Claims))
	var block []string
	for _, v := range f.volumes {
		for _, c := range g.Claims {
			if c == v.claim {
				names = append(names, v.targetClaim)
			}
		}
		for _, c := range g.Block {
			if c == v.claim {
				block = append(block, v.targetClaim)
			}
		}
	}
	g.Claims, g.Block = names, block
	return g
}

// connect waits until both agents of every volume know each other.
func (f *fleet) connect(ctx context.Context) error {
	waiting := map[string]string{}
	err := wait.PollUntilContextTimeout(ctx, watchEvery, f.patience, true, func(ctx context.Context) (bool, error) {
		clear(waiting)
		for _, v := range f.volumes {
			why, err := v.connect(ctx)
			switch {
			case err != nil && unreachable(err):
				why = err.Error()
			case err != nil:
				return false, err
			}
			if why != "" {
				waiting[v.claim] = why
				v.show(f.sink, progress.VolumeFigures{Claim: v.claim, State: progress.VolumePreparing, Detail: why})
			}
		}
		return len(waiting) == 0, nil
	})
	if err == nil || !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("after %s the volumes are not ready to ship: %s%s", f.patience, joined(waiting), f.troubles(ctx))
}

func joined(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+" ("+v+")")
	}
	return strings.Join(parts, ", ")
}

// connect returns what the volume still waits for, "" when it is ready.
func (v *volume) connect(ctx context.Context) (string, error) {
	p, err := v.link.Get(ctx)
	if apierrors.IsNotFound(err) {
		return "its shipments", v.link.Ensure(ctx)
	}
	if err != nil {
		return "", err
	}
	done, err := v.link.Connect(ctx, p)
	switch {
	case err != nil:
		return "", err
	case done:
		return "", nil
	case !shipment.Claimed(p.Receive):
		return "no agent on " + v.link.Target.Cluster.Name + " serves it yet" + reason(p.Receive), nil
	case !shipment.Claimed(p.Send):
		return "no agent on " + v.link.Source.Cluster.Name + " serves it yet" + reason(p.Send), nil
	default:
		return "the agent on " + v.link.Target.Cluster.Name + " has no address to dial", nil
	}
}

func reason(s *v1alpha1.VolumeShipment) string {
	for _, c := range s.Status.Conditions {
		if c.Type == v1alpha1.ShipmentClaimed && c.Status == metav1.ConditionFalse {
			return ": " + c.Reason + " " + c.Message
		}
	}
	return ""
}

// troubles says what keeps holders from running.
func (f *fleet) troubles(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var text strings.Builder
	for _, p := range []place{f.source, f.target} {
		pods, err := p.cluster.Kube.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelHolder + "=true"})
		if err != nil {
			continue
		}
		for i := range pods.Items {
			if why := holder.Trouble(&pods.Items[i]); why != "" {
				fmt.Fprintf(&text, "\n  pod %s in %s: %s", pods.Items[i].Name, p, why)
			}
		}
	}
	return text.String()
}

// pass asks for one generation of every volume and waits until all have ended.
// The outcomes stand in the volumes; the error is about the asking only.
func (f *fleet) pass(ctx context.Context, view v1alpha1.View) error {
	begun := time.Now()
	defer f.leave()
	for _, v := range f.volumes {
		p, err := v.link.Get(ctx)
		if err != nil {
			return err
		}
		v.generation, v.outcome, v.movedAt = p.Last()+1, shipment.Outcome{}, time.Now()
		if err := v.link.Request(ctx, v.generation, view); err != nil {
			return err
		}
	}
	err := wait.PollUntilContextCancel(ctx, watchEvery, true, func(ctx context.Context) (bool, error) {
		ended := true
		for _, v := range f.volumes {
			if err := f.look(ctx, v); err != nil && !unreachable(err) {
				return false, err
			}
			v.show(f.sink, v.outcome.Line(v.claim, v.generation))
			if time.Since(v.movedAt) > f.patience {
				return false, fmt.Errorf("volume %s has made no progress for %s: %s %s", v.claim, f.patience, v.outcome.Reason, v.outcome.Message)
			}
			ended = ended && v.outcome.Ended
		}
		return ended, nil
	})
	if err != nil {
		return err
	}
	for _, v := range f.volumes {
		v.sent += v.outcome.Figures.SentBytes
		v.wire += v.outcome.Figures.WireBytes
		v.spent += time.Since(begun)
		v.passes++
	}
	return nil
}

// look reads where the volume's generation stands, and introduces the ends anew
// when one of them moved.
func (f *fleet) look(ctx context.Context, v *volume) error {
	if v.outcome.Ended {
		return nil
	}
	p, err := v.link.Get(ctx)
	if err != nil {
		return err
	}
	before := v.outcome.Figures
	v.outcome = shipment.OutcomeOf(p, v.generation)
	if v.outcome.Ended || v.outcome.Figures != before {
		v.movedAt = time.Now()
	}
	if v.outcome.Ended {
		return nil
	}
	f.lead(ctx, v, p.Send)
	_, err = v.link.Connect(ctx, p)
	return err
}

// unreachable errors pass: an API server that restarts must not end a pass that
// the agents carry on with.
func unreachable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsConflict(err)
}

// release removes the holders of both sides and waits until they are gone.
func (f *fleet) release(ctx context.Context) error {
	return errors.Join(
		holder.DeleteAll(ctx, f.source.cluster, f.source.namespace, f.name),
		holder.DeleteAll(ctx, f.target.cluster, f.target.namespace, f.name),
	)
}

// failures are the volumes whose last pass did not end in a promotion.
func (f *fleet) failures() []string {
	var out []string
	for _, v := range f.volumes {
		if !v.outcome.Promoted {
			out = append(out, fmt.Sprintf("volume %s: %s: %s", v.claim, v.outcome.Reason, v.outcome.Message))
		}
	}
	return out
}

func (f *fleet) claims() []string {
	out := make([]string, 0, len(f.volumes))
	for _, v := range f.volumes {
		out = append(out, v.claim)
	}
	return out
}

// lines are the volumes as the Migration records them.
func (f *fleet) lines(before []v1alpha1.MigrationVolume) []v1alpha1.MigrationVolume {
	earlier := map[string]v1alpha1.MigrationVolume{}
	for _, l := range before {
		earlier[l.Claim] = l
	}
	out := make([]v1alpha1.MigrationVolume, 0, len(f.volumes))
	for _, v := range f.volumes {
		l := earlier[v.claim]
		l.Claim, l.TargetClaim = v.claim, v.targetClaim
		l.SentBytes, l.WireBytes = v.sent, v.wire
		l.Reason = v.outcome.Reason
		if v.outcome.Shipped {
			l.ShippedGeneration = v.generation
		}
		if v.outcome.Promoted {
			l.PromotedGeneration, l.Consistency, l.Digest, l.Reason = v.generation, v.outcome.Consistency, v.outcome.Digest, ""
		}
		out = append(out, l)
	}
	return out
}
