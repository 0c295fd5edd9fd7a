// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pair establishes trust between two clusters, as an administrator of
// both.
//
// Afterwards a user of a paired namespace migrates with nothing but their own
// identity on the source and the credential of the pair on the target. Pairing
// leaves behind:
//
//	on both     the API, the agents, the rights of agents and users, the admission
//	            policies, and for each pair a MotionPolicy that names the other cluster
//	on target   the namespace, a ServiceAccount bound in that namespace to
//	            kubectl-motion:migrator and to nothing else; in the agents' namespace a
//	            ServiceAccount that may mint tokens of that one, and nothing else
//	on source   a ClusterPair and, beside it, a Secret with a token of the first
//	            account that expires; in the agents' namespace a CronJob that
//	            renews it with a token of the second, until the administrator's expiry
//
// The credential is a bound token and not a kubeconfig of the administrator's,
// it reaches one namespace, it cannot mint another one, and it never stands in a
// spec, a log or an event. What it does reach: a user who may create pods in a
// namespace may run them as any of its ServiceAccounts. So Run lists those that
// are bound to something.
//
// Run composes everything that should be there, compares it with what is, shows
// the difference and asks; then it writes what differs and nothing else.
package pair

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/install"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// ErrDeclined is returned when the person at the terminal said no.
var ErrDeclined = errors.New("declined")

// Mapping pairs a namespace of the source with one of the target.
type Mapping struct{ Source, Target string }

// Request is what an administrator asks for.
type Request struct {
	// Name of the ClusterPairs: what users give to --to.
	Name string
	// Namespaces to pair, each by a ClusterPair of its own.
	Namespaces []Mapping
	// Expires is how long the pair lives, and CredentialTTL how long each of its
	// credentials. A token rotator is installed when the pair lives longer.
	Expires, CredentialTTL time.Duration
	// KeepNamespaces refuses to make a target namespace that is not there.
	KeepNamespaces bool
	// PodSecurity is the level of target namespaces. Empty: for those that are created
	// the source's labels, or restricted where it has none; for those that exist their
	// own, and an error where they have none. PodSecurityKeep accepts that.
	PodSecurity string
	// ServiceAccounts of the target namespaces that have rights of their own and that
	// the pair's pods may run as; anyAccount: all. nil leaves it as it is.
	ServiceAccounts []string
	// Policy is what the MotionPolicies should say besides namespaces and networks.
	Policy PolicyOptions
	// AgentImage and KubeletRoot for the agents; empty: the defaults.
	AgentImage, KubeletRoot string
	// BlockDevices lets the agents open raw block volumes. nil leaves it as it is.
	BlockDevices *bool
	// Relay installs the relay and lets the pair use it. nil leaves it as it is.
	Relay *bool
	// TargetCIDRs are networks at which the target's agents can be dialled, and
	// SourceCIDRs those that the source's connections come from. Empty: the
	// addresses of the nodes.
	TargetCIDRs, SourceCIDRs []netip.Prefix
	// TargetHosts are names at which the target's agents can be dialled.
	TargetHosts []string
	// TargetEndpoints are host:port pairs at which the target's agents are reached,
	// besides those that they find out. Empty: as it is.
	TargetEndpoints []string
	// AgentTimeout bounds the wait for agents to be ready.
	AgentTimeout time.Duration
}

// Pairing is a Request at work.
type Pairing struct {
	Source, Target *cluster.Cluster
	Request        Request
	Sink           progress.Sink
	// Confirm asks the person; it returns ErrDeclined for a no.
	Confirm func(question string) error
}

type step struct {
	name string
	do   func(context.Context) error
}

func run(ctx context.Context, sink progress.Sink, steps []step) error {
	for _, s := range steps {
		progress.Stepf(sink, "%s", s.name)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// Run pairs. Each step may be repeated; the first error ends the run and
// says what is missing.
func (p *Pairing) Run(ctx context.Context) error {
	d, err := p.Plan(ctx)
	if err != nil {
		return err
	}
	if text := d.Question(); text != "" {
		if err := p.Confirm(text); err != nil {
			return err
		}
	}
	err = run(ctx, p.Sink, []step{
		{"writing what differs", func(ctx context.Context) error { return p.write(ctx, d.items) }},
		{"waiting for the agents", p.waitForAgents},
		{"granting the credential", func(ctx context.Context) error { return p.grantAll(ctx, d) }},
	})
	if err != nil {
		return p.undo(ctx, d, err)
	}
	return run(ctx, p.Sink, []step{
		{"checking that data can flow", p.checkRoute},
		{"checking the pair with its own credential", p.checkPairs},
	})
}

// undoTimeout bounds the deletion of what a failed pairing created.
const undoTimeout = 30 * time.Second

// undo deletes what this run created for its pairs, the last first, also when ctx has
// ended. What was there before, and what all pairs of a cluster share, stays.
func (p *Pairing) undo(ctx context.Context, d *Diff, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	errs := []error{cause}
	for n := range slices.Backward(d.items) {
		i := &d.items[n]
		if i.verb != created || i.install || !i.written && !i.secret || i.object.GetKind() == "Namespace" {
			continue
		}
		gvr, _, err := i.on.ResourceFor(i.object.GroupVersionKind())
		if err == nil {
			o := object{on: i.on, gvr: gvr, kind: strings.ToLower(i.object.GetKind()), namespace: i.object.GetNamespace(), name: i.object.GetName(), uid: i.uid}
			err = o.delete(ctx)
		}
		switch {
		case err == nil:
			progress.Objectf(p.Sink, "%s deleted", i)
		case !apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("undo %s on %s: %w", i, i.on, err))
		}
	}
	if len(errs) > 1 {
		for _, m := range p.Request.Namespaces {
			errs = append(errs, hint.New(errors.New("not all that this run created was removed"), "run: %s",
				hint.Shell("kubectl", "motion", "unpair", p.Request.Name, "-n", m.Source, "--context", p.Source.Name, "--to-context", p.Target.Name, "--to-namespace", m.Target)))
		}
	}
	return errors.Join(errs...)
}

// Plan finds out what would be written, and writes nothing.
func (p *Pairing) Plan(ctx context.Context) (*Diff, error) {
	if err := p.distinct(); err != nil {
		return nil, err
	}
	d := &Diff{}
	return d, run(ctx, p.Sink, []step{
		{"checking the rights on both clusters", p.checkRights},
		{"checking the namespaces of the agents", func(ctx context.Context) error {
			return errors.Join(install.CheckNamespace(ctx, p.Source), install.CheckNamespace(ctx, p.Target))
		}},
		{"comparing with the objects of both clusters", func(ctx context.Context) (err error) {
			if d.items, err = p.compose(ctx); err != nil {
				return err
			}
			return p.compare(ctx, d)
		}},
	})
}

// Renew gives the pairs a new credential, and a new expiry, also before the end of
// the present ones.
func (p *Pairing) Renew(ctx context.Context) error {
	if err := p.distinct(); err != nil {
		return err
	}
	d := &Diff{}
	return run(ctx, p.Sink, []step{
		{"checking the rights on both clusters", p.checkRights},
		{"granting a new credential", func(ctx context.Context) error {
			for _, m := range p.Request.Namespaces {
				if _, err := p.pairOf(ctx, m); err != nil {
					return err
				}
				items, err := p.composeAccess(ctx, m, true)
				if err != nil {
					return err
				}
				d.items = append(d.items, items...)
			}
			if err := p.compare(ctx, d); err != nil {
				return err
			}
			d.force = true
			if err := p.write(ctx, d.items); err != nil {
				return err
			}
			return p.grantAll(ctx, d)
		}},
		{"checking the pair with its own credential", p.checkPairs},
	})
}

func (p *Pairing) distinct() error {
	for _, c := range []*cluster.Cluster{p.Source, p.Target} {
		if c.ID == "" {
			return fmt.Errorf("on %s you cannot get namespace kube-system, so you are not an administrator there: %w", c, errNeedsAdmin)
		}
	}
	if p.Source.ID == p.Target.ID {
		return fmt.Errorf("%s and %s are the same cluster (%s): a pair needs two; check --context and --to-context", p.Source, p.Target, p.Source.ID)
	}
	return nil
}

var errNeedsAdmin = errors.New("pairing is for administrators of both clusters; users of a paired namespace need no pair of their own, see: kubectl get clusterpairs")
