// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"errors"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// Make lists the source, observes the target, and builds the plan. A plan with
// blockers is not an error.
func Make(ctx context.Context, src, dst *cluster.Cluster, req Request) (*Plan, error) {
	if req.SourceNamespace == "" {
		return nil, errors.New("no source namespace, use -n")
	}
	if req.TargetNamespace == "" {
		req.TargetNamespace = req.SourceNamespace
	}
	if req.Mode == "" {
		req.Mode = v1alpha1.ModeStandby
	}
	inv, err := inventory.Namespace(ctx, src, dst, req.SourceNamespace, req.Selection)
	if err != nil {
		return nil, err
	}
	facts, err := ObserveFacts(ctx, src, dst, inv, req.TargetNamespace)
	if err != nil {
		return nil, err
	}
	draft, err := NewDraft(inv, facts, req)
	if err != nil {
		return nil, err
	}
	methods, err := req.CopyMethods.Choose(ctx, src, draft.inUse())
	if err != nil {
		return nil, err
	}
	draft.WithCopyMethods(methods)
	if req.Prune && !facts.NamespaceMissing {
		orphans, err := ObserveOrphans(ctx, src, dst, inv, req.TargetNamespace)
		if err != nil {
			return nil, err
		}
		draft.WithOrphans(orphans)
	}
	if req.Mode == v1alpha1.ModeCutover {
		problems, err := ObserveRollback(ctx, src, draft)
		if err != nil {
			return nil, err
		}
		draft.WithRollbacks(problems)
	}
	observed, err := ObserveObjects(ctx, dst, draft)
	if err != nil {
		return nil, err
	}
	p, err := Build(draft, observed)
	if err != nil {
		return nil, err
	}
	p.Source.Cluster, p.Target.Cluster = src.Name, dst.Name
	return p, nil
}
