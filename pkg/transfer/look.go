// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// cleanupTimeout bounds what is removed after a pass, also one that was ended.
const cleanupTimeout = time.Minute

// look is how one volume is looked at in one pass.
type look struct {
	method   v1alpha1.CopyMethod
	snapshot *v1alpha1.ShipmentSnapshot
	// prepared: the application was made ready for the snapshot.
	prepared bool
	// skipped: nothing can be read of it before the application is stopped.
	skipped bool
}

// consistency is that of the volume's last sync. Only this side knows that the application
// was made ready for the snapshot: the agent reports what it observed.
func (v *Volume) consistency() string {
	if v.pass.prepared && v.Outcome.Consistency == snapshot.CrashConsistent {
		return snapshot.ApplicationConsistent
	}
	return v.Outcome.Consistency
}

// look decides how every volume is looked at in this pass: as it is when the
// application is stopped, else as the plan chose. What exists for it is removed
// by done, which is never nil.
func (f *Volumes) look(ctx context.Context, how v1alpha1.CopyMethod) (done func(), err error) {
	for _, v := range f.Volumes {
		v.pass = look{method: how}
	}
	if how != v1alpha1.CopyMethodLive {
		return func() {}, f.holdAll(ctx)
	}
	if err := f.copiesGone(ctx); err != nil {
		return func() {}, err
	}
	done = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		if err := f.dropCopies(ctx); err != nil {
			progress.Warnf(f.Sink, "snapshots or clones of this sync were not deleted; the next run deletes them: %v", err)
		}
	}
	if err := f.takeAll(ctx, f.wants()); err != nil {
		return done, err
	}
	if err := f.holdWhatIsNoCopy(ctx); err != nil {
		return done, err
	}
	return done, f.holdCopies(ctx)
}

// takeAll makes the copies of all plugins, with the application made ready for
// them where it wants to be.
func (f *Volumes) takeAll(ctx context.Context, wants map[string][]snapshot.Requirements) error {
	if len(wants) == 0 {
		return nil
	}
	if err := f.bound(ctx); err != nil {
		return err
	}
	take := func(ctx context.Context) error {
		for _, name := range pluginsOf(wants) {
			copies, err := f.take(ctx, name, wants[name])
			if err != nil {
				return err
			}
			f.spread(copies)
		}
		return nil
	}
	if f.Around == nil {
		return take(ctx)
	}
	prepared, err := f.Around(ctx, take)
	for _, v := range f.Volumes {
		v.pass.prepared = prepared && v.pass.snapshot != nil
	}
	return err
}

func (f *Volumes) wants() map[string][]snapshot.Requirements {
	out := map[string][]snapshot.Requirements{}
	for _, v := range f.Volumes {
		if o := v.Choice.Offer; o != nil {
			out[o.Plugin] = append(out[o.Plugin], snapshot.Requirements{Claim: v.Copied, Offer: *o})
		}
	}
	return out
}

func pluginsOf(wants map[string][]snapshot.Requirements) []string {
	var names []string
	for name := range wants {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// take makes the copies of one plugin. When the user left the choice, a copy
// that cannot be taken does not end the run: the sync is a live one then, and is
// never started from.
func (f *Volumes) take(ctx context.Context, name string, wants []snapshot.Requirements) ([]snapshot.Copy, error) {
	p := f.CopyMethods.Plugin(name)
	if p == nil {
		return nil, fmt.Errorf("volume plugin %s does not exist", name)
	}
	copies, err := p.Take(ctx, f.task(), wants)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, err
	case f.CopyMethods.Preference.Mode == snapshot.Snapshot || f.anyOccupied(wants) && !f.Stops:
		return nil, fmt.Errorf("volume plugin %s: %w", name, err)
	default:
		progress.Warnf(f.Sink, "no snapshots were taken, the volumes are copied live: %v", err)
		return nil, nil
	}
	for _, c := range copies {
		for _, v := range f.Volumes {
			if v.Claim == c.Origin {
				v.pass = look{method: v1alpha1.CopyMethodSnapshot, snapshot: &c.Clone}
			}
		}
	}
	return copies, nil
}

func (f *Volumes) anyOccupied(wants []snapshot.Requirements) bool {
	return slices.ContainsFunc(f.Volumes, func(v *Volume) bool {
		return v.Occupied && slices.ContainsFunc(wants, func(w snapshot.Requirements) bool { return w.Name == v.Claim })
	})
}

func (f *Volumes) task() snapshot.Task {
	return snapshot.Task{
		Source: f.Source.Cluster, Namespace: f.Source.Name, Migration: f.Name, Owner: f.ownerOfCopies(), Timeout: f.Timeout,
	}
}

// spread tells how far apart the instants of several copies are.
func (f *Volumes) spread(copies []snapshot.Copy) {
	if len(copies) < 2 {
		return
	}
	first, last := copies[0].Taken, copies[0].Taken
	for _, c := range copies {
		if c.Taken.IsZero() {
			progress.Notef(f.Sink, "%d snapshots were requested together; the storage does not report when it took them", len(copies))
			return
		}
		if c.Taken.Before(first) {
			first = c.Taken
		}
		if c.Taken.After(last) {
			last = c.Taken
		}
	}
	// The API tells whole seconds.
	progress.Notef(f.Sink, "%d snapshots were requested together and taken within %s", len(copies), last.Sub(first)+time.Second)
}

// holdCopies makes the mount pods of the clones: beside the application's pods,
// where the topology of their volumes certainly allows them.
func (f *Volumes) holdCopies(ctx context.Context) error {
	for _, g := range f.Groups {
		g = f.copiesOf(g)
		if len(g.Claims) == 0 {
			continue
		}
		m := &mounted{side: f.Source, group: g, copies: true, options: mountpod.Options{
			Namespace: f.Source.Name, Migration: f.Name, Owner: f.ownerOfCopies(), Template: f.Source.Template, ReadOnly: true,
		}}
		if err := f.mount(ctx, m); err != nil {
			return err
		}
	}
	return f.awaitCopies(ctx)
}

// awaitCopies waits until every clone has a volume. To an agent, a claim without
// one is not what the shipment says, and ends the generation.
func (f *Volumes) awaitCopies(ctx context.Context) error {
	waiting := ""
	err := wait.PollUntilContextTimeout(ctx, watchEvery, f.Timeout, true, func(ctx context.Context) (bool, error) {
		for _, v := range f.Volumes {
			if v.pass.snapshot == nil {
				continue
			}
			waiting = fmt.Sprintf("clone %s of PVC %s in %s", v.pass.snapshot.ClaimName, v.Claim, f.Source)
			claim, err := f.Source.Cluster.Kube.CoreV1().PersistentVolumeClaims(f.Source.Name).Get(ctx, v.pass.snapshot.ClaimName, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return false, fmt.Errorf("%s was deleted", waiting)
			}
			if err != nil || claim.Status.Phase != corev1.ClaimBound {
				return false, nil //nolint:nilerr // asked again: an API server may be restarting
			}
		}
		return true, nil
	})
	if err == nil || !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%[2]s is not bound after %[1]s%[3]s", f.Timeout, waiting, f.troubles(ctx))
}

// labelCopies marks the mount pods of clones, which end with their pass.
const labelCopies = v1alpha1.GroupName + "/copies"

// copiesOf is a group with the clones of its claims instead of the claims.
func (f *Volumes) copiesOf(g mountpod.Group) mountpod.Group {
	var claims, block []string
	for _, v := range f.Volumes {
		if v.pass.snapshot == nil || !slices.Contains(g.Claims, v.Claim) {
			continue
		}
		claims = append(claims, v.pass.snapshot.ClaimName)
		if slices.Contains(g.Block, v.Claim) {
			block = append(block, v.pass.snapshot.ClaimName)
		}
	}
	g.Name, g.Claims, g.Block = "copy-"+g.Name, claims, block
	return g
}

// dropCopies removes what exists for one pass. It does not wait: the next that
// takes copies does, and the end of the run.
func (f *Volumes) dropCopies(ctx context.Context) error {
	var errs []error
	f.mounts = slices.DeleteFunc(f.mounts, func(m *mounted) bool {
		if m.copies {
			f.going = append(f.going, m.name)
			errs = append(errs, mountpod.RequestDeletion(ctx, f.Source.Cluster, f.Source.Name, m.name))
		}
		return m.copies
	})
	return errors.Join(append(errs, f.releaseCopies(ctx))...)
}

// copiesGone waits until the mount pods of earlier copies are gone, and their clones
// with them: a quota may have room for one set of copies.
func (f *Volumes) copiesGone(ctx context.Context) error {
	if f.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.Timeout)
		defer cancel()
	}
	for _, name := range f.going {
		if err := mountpod.Delete(ctx, f.Source.Cluster, f.Source.Name, name); err != nil {
			return err
		}
	}
	f.going = nil
	return nil
}

// releaseCopies removes all copies that any run of this migration made.
func (f *Volumes) releaseCopies(ctx context.Context) error {
	if f.Source.Cluster == nil {
		return nil
	}
	var errs []error
	for _, p := range f.CopyMethods.Plugins {
		if err := p.Release(ctx, f.task()); err != nil {
			errs = append(errs, fmt.Errorf("volume plugin %s: %w", p.Name(), err))
		}
	}
	if len(f.CopyMethods.Plugins) > 0 {
		errs = append(errs, f.unbound(ctx))
	}
	return errors.Join(errs...)
}

// unheld says whether no mount pod has the claims of the group on the source: the
// application leaves no room for one, or nothing but copies of them is read.
func (f *Volumes) unheld(g mountpod.Group) bool {
	return f.occupied(g) || !f.Stops && f.copied(g)
}

// occupied says whether the application has a claim of the group and leaves no
// room for a mount pod.
func (f *Volumes) occupied(g mountpod.Group) bool {
	return slices.ContainsFunc(f.Volumes, func(v *Volume) bool { return v.Occupied && slices.Contains(g.Claims, v.Claim) })
}

// copied says whether nothing but copies is read of the group's claims.
func (f *Volumes) copied(g mountpod.Group) bool {
	return !slices.ContainsFunc(f.Volumes, func(v *Volume) bool {
		return slices.Contains(g.Claims, v.Claim) && (v.Choice.Offer == nil || v.direct)
	})
}

// holdAll makes the mount pods of claims that the application has left.
func (f *Volumes) holdAll(ctx context.Context) error {
	return f.holdMore(ctx, func(v *Volume) { v.Occupied, v.direct = false, true })
}

// holdWhatIsNoCopy makes the mount pods of claims that were to be copied, and are read
// live because they could not be. What only the application can have is left out.
func (f *Volumes) holdWhatIsNoCopy(ctx context.Context) error {
	return f.holdMore(ctx, func(v *Volume) {
		v.direct = v.direct || v.pass.snapshot == nil
		v.pass.skipped = v.Occupied && v.pass.snapshot == nil
	})
}

// holdMore makes the mount pods that are wanted after a change and were not before.
func (f *Volumes) holdMore(ctx context.Context, change func(*Volume)) error {
	late := slices.DeleteFunc(slices.Clone(f.Groups), func(g mountpod.Group) bool { return !f.unheld(g) })
	for _, v := range f.Volumes {
		change(v)
	}
	if !slices.ContainsFunc(late, func(g mountpod.Group) bool { return !f.unheld(g) }) {
		return nil
	}
	return f.ensureMountPods(ctx)
}

// Looks says how the volumes were looked at in the last pass, for people.
func (f *Volumes) MethodCounts() string {
	counts := map[v1alpha1.CopyMethod]int{}
	skipped := 0
	for _, v := range f.Volumes {
		if v.pass.skipped {
			skipped++
			continue
		}
		counts[v.pass.method]++
	}
	var parts []string
	for _, method := range []v1alpha1.CopyMethod{v1alpha1.CopyMethodStopped, v1alpha1.CopyMethodSnapshot, v1alpha1.CopyMethodLive} {
		if counts[method] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[method], method))
		}
	}
	if skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d to be copied when stopped", skipped))
	}
	return strings.Join(parts, ", ")
}
