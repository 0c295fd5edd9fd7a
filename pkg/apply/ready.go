// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// readyPoll is how often an object that is not ready yet is looked at.
const readyPoll = time.Second

// Readiness is how far one object is.
type Readiness struct {
	Ref   inventory.Ref `json:"object"`
	Ready bool          `json:"ready"`
	// Status is kstatus's word: Current, InProgress, Failed, Terminating, NotFound.
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// WaitReady waits until every object is current by the rules of kstatus: its
// controller has seen its last change, and what it asks for is there. report,
// if not nil, hears of every change. The error names what was not ready when
// the context ended.
func WaitReady(ctx context.Context, dst *cluster.Cluster, refs []inventory.Ref, report func(Readiness)) error {
	waiting := make(map[inventory.Ref]Readiness, len(refs))
	for _, r := range refs {
		waiting[r] = Readiness{Ref: r}
	}
	err := wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		seen, err := look(ctx, dst, slices.Collect(maps.Keys(waiting)))
		if err != nil {
			return false, err
		}
		for _, now := range seen {
			if last := waiting[now.Ref]; report != nil && (now.Status != last.Status || now.Message != last.Message) {
				report(now)
			}
			waiting[now.Ref] = now
			if now.Ready {
				delete(waiting, now.Ref)
			}
		}
		return len(waiting) == 0, nil
	})
	if err == nil {
		return nil
	}
	errs := []error{err}
	for _, ref := range refs {
		if r, found := waiting[ref]; found {
			errs = append(errs, fmt.Errorf("%s is not ready: %s (kubectl -n %s describe %s)", ref, r.Message, ref.Namespace, ref))
		}
	}
	return errors.Join(errs...)
}

// look looks at objects, several at a time.
func look(ctx context.Context, dst *cluster.Cluster, refs []inventory.Ref) ([]Readiness, error) {
	out := make([]Readiness, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i, ref := range refs {
		group.Go(func() (err error) {
			out[i], err = readiness(ctx, dst, ref)
			return err
		})
	}
	return out, group.Wait()
}

// readiness looks at one object. An API server that does not answer for a while
// is waited for like a controller.
func readiness(ctx context.Context, dst *cluster.Cluster, ref inventory.Ref) (Readiness, error) {
	u, err := dst.Resource(ref.GVR(), ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Readiness{Ref: ref, Status: string(status.NotFoundStatus), Message: "not found"}, nil
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return Readiness{}, fmt.Errorf("%s: %w", ref, err)
	case err != nil:
		return Readiness{Ref: ref, Status: string(status.UnknownStatus), Message: oneLine(err.Error())}, nil
	}
	res, err := status.Compute(u)
	if err != nil {
		return Readiness{}, fmt.Errorf("%s: %w", ref, err)
	}
	return Readiness{Ref: ref, Ready: res.Status == status.CurrentStatus, Status: string(res.Status), Message: res.Message}, nil
}
