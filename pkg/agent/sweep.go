// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/statedir"
)

// sweepPeriod is how often the state folder is tidied.
const sweepPeriod = 10 * time.Minute

func (a *Agent) sweepForever(ctx context.Context) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		a.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweep removes the keys of shipments and the state of volumes that are gone.
func (a *Agent) sweep(ctx context.Context) {
	keys, err := a.env.State.Keys()
	if err != nil {
		a.log.Warn("cannot clean up the state folder", "error", err)
		return
	}
	// The keys first, the shipments then: a shipment that comes in between has its
	// key made by this agent, after it was listed.
	alive := a.watch.uids()
	for _, uid := range keys {
		if !alive[string(uid)] {
			if err := a.env.State.ForgetKey(uid); err != nil {
				a.log.Warn("cannot clean up the state folder", "error", err)
			}
		}
	}
	claims, err := a.env.State.Claims()
	if err != nil {
		a.log.Warn("cannot clean up the state folder", "error", err)
		return
	}
	for _, c := range claims {
		if a.claimIsGone(ctx, c) {
			a.log.Info("PVC deleted: removing the state of its volume", "claim", c.Namespace+"/"+c.Name, "uid", c.UID)
			if err := a.env.State.ForgetVolume(c.UID); err != nil {
				a.log.Warn("cannot clean up the state folder", "error", err)
			}
		}
	}
}

// claimIsGone asks the API server; in doubt the claim is there.
func (a *Agent) claimIsGone(ctx context.Context, c statedir.Claim) bool {
	pvc, err := a.config.Cluster.Kube.CoreV1().PersistentVolumeClaims(c.Namespace).Get(ctx, c.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true
	}
	return err == nil && pvc.UID != c.UID
}
