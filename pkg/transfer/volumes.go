// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package transfer has the volumes of one migration on their way: it prepares claims,
// mount pods and shipments on both sides, asks for passes and watches them end.
//
// It knows no plan and no Migration. What it needs of them comes in as values,
// and where every volume stands goes back as lines. Everything may be done
// again: what is there is found by its name, and a pass that the agents finished
// meanwhile is finished.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// watchEvery is how often both clusters are asked while volumes move. It bounds
// what polling adds to the downtime of a cutover.
const watchEvery = 300 * time.Millisecond

// Volumes is all volumes of a migration on their way.
type Volumes struct {
	// Name of the Migration.
	Name           string
	Source, Target Side
	Sink           progress.Sink
	Limits         *v1alpha1.ShipmentLimits
	// Route says which ways the data may take.
	Route route.Mode
	// Stops: this run stops the application in the end. Mount pods have its claims from
	// the beginning, so that nothing is detached in between, and what cannot be read
	// before is read then.
	Stops bool
	// NotByRelay is why the relay cannot be used; empty: it can.
	NotByRelay string
	// Timeout bounds every single wait.
	Timeout time.Duration
	Volumes []*Volume
	// Groups of claims by the application's pods; mount pods are made of them.
	Groups []mountpod.Group
	// CopyMethods are the plugins that copy volumes of a running application.
	CopyMethods snapshot.Chooser
	// Around does what the application wants done before and after its copies are
	// taken, and says whether that made them consistent for it; nil: nothing.
	Around func(ctx context.Context, take func(context.Context) error) (consistent bool, err error)
	// mounts are the mount pods of this run, mountsChecked is when they were last checked.
	mounts        []*mounted
	mountsChecked time.Time
	// going are the mount pods of copies whose deletion was requested.
	going []string
	// copiesOwner is what the copies of the pass end with; nil: the Migration.
	copiesOwner *metav1.OwnerReference
}

// Side is one of the two namespaces, and what mount pods there need.
type Side struct {
	cluster.Namespace
	// Owner is the Migration on this side: deleting it removes the mount pods.
	Owner metav1.OwnerReference
	// Template is what the side's administrator says about mount pods.
	Template *v1alpha1.MountPodTemplate
}

// Volume is one claim.
type Volume struct {
	Claim string
	// Manifest of the target's claim, as the plan rewrote it.
	Manifest apply.Object
	// TargetClaim is its name there.
	TargetClaim string
	link        *Link
	way         way
	// Copied is what the plugin needs to know of the claim, and Choice how it is
	// looked at while the application runs.
	Copied snapshot.Claim
	Choice snapshot.Choice
	// pass is what is looked at in the pass under way.
	pass look
	// Occupied: the application has the PVC and no other pod can mount it, as with
	// ReadWriteOncePod. It has no mount pod until the application is stopped.
	Occupied bool
	// direct: it is read as it is, and not only by copies, in this run.
	direct bool
	// grows is the size that the target's claim asks for and does not have yet.
	grows *resource.Quantity
	// Sync is the pass that wrequested with --route relay last, Outcome how it stands.
	Sync    int64
	Outcome Outcome
	// Sent, Wire and Spent sum up over the passes of this run.
	Sent, Wire int64
	Spent      time.Duration
	Syncs      int
	// movedAt is when the statistics last changed.
	movedAt time.Time
	// early is when the receiver had ended and the sender had not.
	early time.Time
	// stuck is what the pass waited for when it was last looked at.
	stuck string
	// shown is what was last emitted: a line that says the same is none.
	shown progress.VolumeProgress
}

func (v *Volume) show(sink progress.Sink, line progress.VolumeProgress) {
	if line != v.shown {
		v.shown = line
		progress.EmitVolume(sink, line)
	}
}

// Prepare brings everything to the point where a pass can be asked for: claims
// on the target, mount pods on both sides, shipments that agents have claimed and
// that know each other.
func (f *Volumes) Prepare(ctx context.Context) error {
	if len(f.Volumes) == 0 {
		return nil
	}
	// Copies of a run that was killed only use quota.
	if err := f.releaseCopies(ctx); err != nil {
		return err
	}
	for _, v := range f.Volumes {
		if err := f.ensureClaim(ctx, v); err != nil {
			return err
		}
	}
	if err := f.ensureMountPods(ctx); err != nil {
		return err
	}
	for _, v := range f.Volumes {
		if err := v.link.Ensure(ctx); err != nil {
			return err
		}
	}
	return f.connect(ctx)
}

func end(p Side, claim, uid string) End {
	return End{Namespace: p.Namespace, ClaimName: claim, ClaimUID: uid}
}

func (f *Volumes) ensureMountPods(ctx context.Context) error {
	for _, side := range []struct {
		Side
		source bool
	}{{f.Target, false}, {f.Source, true}} {
		for _, g := range f.Groups {
			if !side.source {
				g = f.targetGroup(g)
			} else if f.unheld(g) {
				continue
			}
			m := &mounted{side: side.Side, group: g, options: mountpod.Options{
				Namespace: side.Name, Migration: f.Name, Owner: side.Owner, Template: side.Template, ReadOnly: side.source,
			}}
			if err := f.mount(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// targetGroup is a group with the target's claim names, free of the source's nodes.
func (f *Volumes) targetGroup(g mountpod.Group) mountpod.Group {
	g.Placement.NodeName = ""
	names := make([]string, 0, len(g.Claims))
	var block []string
	for _, v := range f.Volumes {
		for _, c := range g.Claims {
			if c == v.Claim {
				names = append(names, v.TargetClaim)
			}
		}
		for _, c := range g.Block {
			if c == v.Claim {
				block = append(block, v.TargetClaim)
			}
		}
	}
	g.Claims, g.Block = names, block
	return g
}

// connect waits until both agents of every volume know each other.
func (f *Volumes) connect(ctx context.Context) error {
	var waiting map[string]string // of the last look that came to its end
	err := wait.PollUntilContextTimeout(ctx, watchEvery, f.Timeout, true, func(ctx context.Context) (bool, error) {
		now := map[string]string{}
		f.keepMountPods(ctx)
		for _, v := range f.Volumes {
			why, err := f.introduce(ctx, v)
			if problem := f.mountProblem(v); why != "" && problem != "" {
				why = problem
			}
			if why == "" && err == nil {
				why, err = f.expanded(ctx, v)
			}
			switch {
			case err != nil && unreachable(err):
				why = err.Error()
			case err != nil:
				return false, err
			}
			if why != "" {
				now[v.Claim] = why
				v.show(f.Sink, progress.VolumeProgress{Claim: v.Claim, State: progress.VolumePreparing, Detail: why})
			}
		}
		waiting = now
		return len(now) == 0, nil
	})
	if err == nil || !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("volumes not ready after %s: %s%s", f.Timeout, joined(waiting), f.troubles(ctx))
}

func joined(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+" ("+v+")")
	}
	return strings.Join(parts, ", ")
}

// introduce returns what the volume still waits for, "" when it is ready.
func (f *Volumes) introduce(ctx context.Context, v *Volume) (string, error) {
	p, err := v.link.Get(ctx)
	if apierrors.IsNotFound(err) {
		return "creating its shipments", v.link.Ensure(ctx)
	}
	if err != nil {
		return "", err
	}
	done, err := v.link.Connect(ctx, p)
	switch {
	case err != nil:
		return "", err
	case done, Assigned(p.Receive) && v.senderMayWait(p):
		return "", nil
	}
	for _, s := range []*v1alpha1.VolumeShipment{p.Receive, p.Send} {
		if err := v.hopeless(s); err != nil {
			return "", err
		}
	}
	if Assigned(p.Receive) && Assigned(p.Send) && len(p.Receive.Status.Endpoint.Addresses) == 0 && !f.relayable() {
		return "", f.noRoute(v)
	}
	return v.waitsFor(p), nil
}

// senderMayWait says whether the sender has nothing to hold before its pass: what
// the application alone can have, what is read from a copy of that pass, or the
// clone of an earlier one, which is gone.
func (v *Volume) senderMayWait(p Pair) bool {
	return v.Occupied || v.Choice.Offer != nil && !v.direct || p.Send.Spec.Snapshot != nil
}

// hopeless is what no waiting mends.
func (v *Volume) hopeless(s *v1alpha1.VolumeShipment) error {
	for _, c := range s.Status.Conditions {
		if c.Type == v1alpha1.ShipmentAssigned && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonBlockDevicesDisabled {
			return fmt.Errorf("volume %s: %s: %s%s", v.Claim, c.Reason, c.Message, remedy(c.Reason))
		}
	}
	return nil
}

// waitsFor names the end that is not ready.
func (v *Volume) waitsFor(p Pair) string {
	switch {
	case v.link.misplaced != "":
		return v.link.misplaced
	case !Assigned(p.Receive):
		return "waiting for an agent on " + v.link.Target.Cluster.Name + " to serve it" + reason(p.Receive)
	case !Assigned(p.Send):
		return "waiting for an agent on " + v.link.Source.Cluster.Name + " to serve it" + reason(p.Send)
	}
	return "recreating its shipments"
}

func reason(s *v1alpha1.VolumeShipment) string {
	for _, c := range s.Status.Conditions {
		if c.Type == v1alpha1.ShipmentAssigned && c.Status == metav1.ConditionFalse {
			return ": " + c.Reason + " " + c.Message
		}
	}
	return ""
}

// troubles says what keeps mount pods from running.
func (f *Volumes) troubles(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var text strings.Builder
	for _, p := range []Side{f.Source, f.Target} {
		pods, err := p.Cluster.Kube.CoreV1().Pods(p.Name).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelMountPod + "=true"})
		if err != nil {
			continue
		}
		for i := range pods.Items {
			if why := mountpod.Problem(&pods.Items[i]); why != "" {
				fmt.Fprintf(&text, "\n  pod %s in %s: %s", pods.Items[i].Name, p, why)
			}
		}
	}
	for _, v := range f.Volumes {
		if why := f.unprovisioned(ctx, v.TargetClaim); why != "" {
			fmt.Fprintf(&text, "\n  persistentvolumeclaim %s in %s: %s", v.TargetClaim, f.Target, why)
		}
	}
	return text.String()
}

// Sync asks for one generation of every volume and waits until all have ended.
// The outcomes stand in the volumes; the error is about the asking only.
func (f *Volumes) Sync(ctx context.Context, how v1alpha1.CopyMethod) error {
	begun := time.Now()
	defer f.leave()
	done, err := f.look(ctx, how)
	defer done()
	if err != nil {
		return err
	}
	for _, v := range f.Volumes {
		if v.pass.skipped {
			v.Outcome = Outcome{Ended: true}
			v.show(f.Sink, progress.VolumeProgress{Claim: v.Claim, State: progress.VolumeWaiting, Detail: "copied when the application is stopped"})
			continue
		}
		p, err := v.link.Get(ctx)
		if err != nil {
			return err
		}
		v.Sync, v.Outcome, v.movedAt, v.early = p.Last()+1, Outcome{}, time.Now(), time.Time{}
		if err := v.link.Request(ctx, v.Sync, v.pass.method, v.pass.snapshot); err != nil {
			return err
		}
	}
	err = wait.PollUntilContextCancel(ctx, watchEvery, true, func(ctx context.Context) (bool, error) {
		ended := true
		f.keepMountPods(ctx)
		for _, v := range f.Volumes {
			if v.pass.skipped {
				continue
			}
			if err := f.see(ctx, v); err != nil && !unreachable(err) {
				return false, err
			}
			v.show(f.Sink, v.Outcome.Line(v.Claim, v.Sync))
			if time.Since(v.movedAt) > f.Timeout {
				return false, fmt.Errorf("volume %s: no progress for %s: %s%s", v.Claim, f.Timeout, v.stuck, f.troubles(ctx))
			}
			ended = ended && v.Outcome.Ended
		}
		return ended, nil
	})
	if err != nil {
		return err
	}
	for _, v := range f.Volumes {
		if v.pass.skipped {
			continue
		}
		v.Sent += v.Outcome.Statistics.SentBytes
		v.Wire += v.Outcome.Statistics.WireBytes
		v.Spent += time.Since(begun)
		v.Syncs++
	}
	return nil
}

// see reads the state of the volume's sync, and exchanges the addresses of the ends again
// when one of them moved.
func (f *Volumes) see(ctx context.Context, v *Volume) error {
	if v.Outcome.Ended {
		return nil
	}
	p, err := v.link.Get(ctx)
	if err != nil {
		return err
	}
	before := v.Outcome.Statistics
	v.Outcome = OutcomeOf(p, v.Sync)
	v.hearSender(time.Now())
	if v.Outcome.Ended || advanced(before, v.Outcome.Statistics) {
		v.movedAt = time.Now()
	}
	if v.Outcome.Ended {
		return nil
	}
	v.stuck = cmp.Or(f.mountProblem(v), strings.TrimSpace(v.Outcome.Reason+" "+v.Outcome.Message), v.waitsFor(p))
	f.lead(ctx, v, p.Send)
	_, err = v.link.Connect(ctx, p)
	return err
}

// advanced is true when data was read or sent between two statistics. An attempt that
// only starts again is not progress.
func advanced(before, now v1alpha1.ShipmentStatistics) bool {
	return now.ScannedBytes > before.ScannedBytes || now.ReadBytes > before.ReadBytes ||
		now.SentBytes > before.SentBytes || now.WireBytes > before.WireBytes || now.Entries > before.Entries
}

// lastWord is how long a sender whose receiver has ended is given to say the same.
const lastWord = 3 * time.Second

// hearSender keeps an outcome open for a moment when only the receiver has ended: the
// statistics are the sender's, and it writes them when it ends.
func (v *Volume) hearSender(now time.Time) {
	if !v.Outcome.Early {
		return
	}
	if v.early.IsZero() {
		v.early = now
	}
	v.Outcome.Ended = now.Sub(v.early) >= lastWord
}

// unreachable errors pass: an API server that restarts must not end a pass that
// the agents carry on with.
func unreachable(err error) bool {
	if errors.Is(err, errNoRoute) {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsConflict(err)
}

// Release removes the mount pods of both sides and waits until they are gone. None
// waits for another: each takes a kubelet some seconds.
func (f *Volumes) Release(ctx context.Context) error {
	f.mounts = nil
	if f.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.Timeout)
		defer cancel()
	}
	removals := []func() error{
		func() error { return mountpod.DeleteAll(ctx, f.Source.Cluster, f.Source.Name, f.Name) },
		func() error { return f.releaseCopies(ctx) },
		func() error { return mountpod.DeleteAll(ctx, f.Target.Cluster, f.Target.Name, f.Name) },
	}
	errs := make([]error, len(removals))
	var work sync.WaitGroup
	for i, remove := range removals {
		work.Go(func() { errs[i] = remove() })
	}
	work.Wait()
	return errors.Join(errs...)
}
