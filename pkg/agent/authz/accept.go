// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const (
	// acceptedFor is how long a list of policies serves those that it accepts, and
	// rejectedFor those that it does not: a policy may be new.
	acceptedFor = 5 * time.Second
	rejectedFor = time.Second
)

// Accepted knows which addresses any policy accepts connections from, for what has not
// authenticated itself. It lists the policies at most once a second, however many ask,
// and decides nothing about a shipment.
type Accepted struct {
	list func(context.Context) ([]v1alpha1.MotionPolicy, error)
	now  func() time.Time

	// listing is held by the one that lists.
	listing sync.Mutex

	mu       sync.Mutex
	policies []v1alpha1.MotionPolicy
	tried    time.Time
	// refreshing: a list in the background is under way.
	refreshing bool
}

// NewAccepted makes one that lists the policies of v's cluster.
func NewAccepted(v *Authorizer) *Accepted { return &Accepted{list: v.policies, now: time.Now} }

// Known reports whether the last list accepts addr. It makes no request.
func (a *Accepted) Known(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AnyAccepts(a.policies, addr)
}

// RefreshSoon lists the policies in the background, unless that was tried a few seconds
// ago or is under way. It returns at once.
func (a *Accepted) RefreshSoon(ctx context.Context) {
	a.mu.Lock()
	due := a.now().Sub(a.tried) >= acceptedFor && !a.refreshing
	a.refreshing = a.refreshing || due
	a.mu.Unlock()
	if !due {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, acceptedFor)
		defer cancel()
		a.listing.Lock()
		defer a.listing.Unlock()
		_ = a.refresh(ctx) // the next connection tries again
		a.mu.Lock()
		defer a.mu.Unlock()
		a.refreshing = false
	}()
}

func (a *Accepted) refresh(ctx context.Context) error {
	policies, err := a.list(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tried = a.now()
	if err == nil {
		a.policies = policies
	}
	return err
}

// Accepts reports whether a policy accepts addr, by a list that is a few seconds old.
func (a *Accepted) Accepts(ctx context.Context, addr netip.Addr) (bool, error) {
	if accepted, fresh := a.recent(addr); fresh {
		return accepted, nil
	}
	a.listing.Lock()
	defer a.listing.Unlock()
	if accepted, fresh := a.recent(addr); fresh {
		return accepted, nil
	}
	if err := a.refresh(ctx); err != nil {
		return false, err
	}
	return a.Known(addr), nil
}

func (a *Accepted) recent(addr netip.Addr) (accepted, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	age := a.now().Sub(a.tried)
	accepted = AnyAccepts(a.policies, addr)
	return accepted, age < rejectedFor || accepted && age < acceptedFor
}
