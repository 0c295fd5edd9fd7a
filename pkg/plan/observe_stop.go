// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/workload"
)

// StopBlockers reads the source's PVCs, pods and workloads again and returns what
// stopping the plan's workloads would delete. A cutover calls it right before the
// stop: what the plan found may have changed since.
func StopBlockers(ctx context.Context, src *cluster.Cluster, p *Plan) ([]Finding, error) {
	kinds := map[schema.GroupVersionResource]string{
		core("persistentvolumeclaims"): kindClaim.Kind,
		core("pods"):                   kindPod.Kind,
		{Group: "apps", Version: "v1", Resource: "replicasets"}: "ReplicaSet",
	}
	verdicts := map[types.UID]inventory.Verdict{}
	for _, i := range p.Items {
		verdicts[i.Source.UID] = i.Verdict
		if workload.Suspendable(i.Source.GroupKind()) {
			kinds[i.Source.GVR()] = i.Source.Kind
		}
	}
	var mu sync.Mutex
	var objects []*inventory.Object
	group, gctx := errgroup.WithContext(ctx)
	for gvr, kind := range kinds {
		group.Go(func() error {
			return each(gctx, src, gvr, p.Source.Namespace, func(u *unstructured.Unstructured) error {
				o, err := inventory.NewObject(inventory.Kind{GVR: gvr, Kind: kind, OnTarget: true}, u)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				objects = append(objects, o)
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("checking what the stop deletes: %w", err)
	}
	inv := inventory.NewInventory(src.ID, p.Source.Namespace, objects)
	inventory.Judge(inv, inventory.Selection{})
	for _, o := range inv.Objects {
		if v, planned := verdicts[o.Ref.UID]; planned {
			o.Verdict = v
		}
	}
	return stopFindings(inv), nil
}

// ObserveRollback sends, as server-side dry-runs on the source, the pods that a
// rollback of a cutover has to start there again: those that were admitted long ago
// may be rejected now. Quotas are not checked: the running pods use them.
func ObserveRollback(ctx context.Context, src *cluster.Cluster, d *Draft) (map[types.UID]*apply.Problem, error) {
	w, err := apply.NewWriter(src)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	out := map[types.UID]*apply.Problem{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(observers)
	for _, o := range d.inv.Objects {
		if !stops(o) {
			continue
		}
		pod, err := restartedPod(o)
		if err != nil {
			return nil, err
		}
		if pod == nil {
			continue
		}
		group.Go(func() error {
			p := apply.Explain(w.TryPod(ctx, pod))
			if p == nil || p.Cause == apply.CauseQuota || p.Cause == apply.CauseNotPermitted {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			out[o.Ref.UID] = p
			return context.Cause(ctx)
		})
	}
	return out, group.Wait()
}
