// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pair establishes trust between two clusters, once, as an
// administrator of both.
//
// Afterwards a user of the paired namespace migrates with nothing but their own
// identity on the source and the credential of the pair on the target. Pairing
// leaves behind:
//
//	on both     the API, the agents, the rights of agents and users, the admission
//	            policies, and a MotionPolicy that names the other cluster
//	on target   the namespace, a ServiceAccount bound in that namespace to
//	            kubectl-motion:mover and to nothing else
//	on source   a ClusterPair and, beside it, a Secret with a token of that
//	            ServiceAccount that ends by itself
//
// The credential is a bound token and not a kubeconfig of the administrator's,
// it reaches one namespace, and it never stands in a spec, a log or an event.
// What it does reach: whoever may create pods in a namespace may run them as any
// of its ServiceAccounts. So Run lists those that are bound to something and
// asks before it goes on.
//
// Running Run again changes only what differs.
package pair

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// ErrDeclined is returned when the person at the terminal said no.
var ErrDeclined = errors.New("declined")

// Request is what an administrator asks for.
type Request struct {
	// Name of the ClusterPair: what users say with --to.
	Name string
	// SourceNamespace and TargetNamespace are paired.
	SourceNamespace, TargetNamespace string
	// CredentialTTL is how long the credential lives.
	CredentialTTL time.Duration
	// AgentImage and KubeletRoot for the agents; empty: the defaults.
	AgentImage, KubeletRoot string
	// BlockDevices lets the agents open raw block volumes. nil leaves it as it is.
	BlockDevices *bool
	// TargetCIDRs are networks at which the target's agents can be dialled, and
	// SourceCIDRs those that the source's connections come from. Empty: the
	// addresses of the nodes.
	TargetCIDRs, SourceCIDRs []netip.Prefix
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

// Run pairs. Each step may be repeated; the first error ends the run and
// says what is missing.
func (p *Pairing) Run(ctx context.Context) error {
	steps := []step{
		{"checking the rights on both clusters", p.checkRights},
		{"installing on " + p.Source.Name, p.installOn(p.Source)},
		{"installing on " + p.Target.Name, p.installOn(p.Target)},
		{"preparing namespace " + p.Request.TargetNamespace + " on " + p.Target.Name, p.prepareNamespace},
		{"setting the policies", p.setPolicies},
		{"waiting for the agents", p.waitForAgents},
		{"granting the credential", p.grant},
		{"checking that data can flow", p.checkRoute},
		{"checking the pair with its own credential", p.checkPair},
	}
	if err := p.distinct(); err != nil {
		return err
	}
	for _, s := range steps {
		progress.Stepf(p.Sink, "%s", s.name)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (p *Pairing) distinct() error {
	for _, c := range []*cluster.Cluster{p.Source, p.Target} {
		if c.ID == "" {
			return fmt.Errorf("on %s you may not get the namespace kube-system, so you are no administrator there: %w", c, errNeedsAdmin)
		}
	}
	if p.Source.ID == p.Target.ID {
		return fmt.Errorf("%s and %s are the same cluster (%s): a pair needs two; check --context and --to-context", p.Source, p.Target, p.Source.ID)
	}
	return nil
}

var errNeedsAdmin = errors.New("pairing is for administrators of both clusters; users of a paired namespace need no pair of their own, see: kubectl get clusterpairs")
