// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestAccepted(t *testing.T) {
	peer, stranger := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")
	now, lists, broken := time.Unix(1000, 0), 0, false
	var policies []v1alpha1.MotionPolicy
	a := &Accepted{now: func() time.Time { return now }, list: func(context.Context) ([]v1alpha1.MotionPolicy, error) {
		lists++
		if broken {
			return nil, errors.New("the API server is down")
		}
		return policies, nil
	}}
	require := func(what string, addr netip.Addr, want bool, wantLists int) {
		t.Helper()
		got, _ := a.Accepts(t.Context(), addr)
		if got != want || lists != wantLists {
			t.Errorf("%s: accepted %v after %d lists, want %v after %d", what, got, lists, want, wantLists)
		}
	}
	for range 1000 {
		require("a thousand strangers", stranger, false, 1)
	}
	if a.Known(peer) {
		t.Error("a peer of no policy is known")
	}
	policies = []v1alpha1.MotionPolicy{{Spec: v1alpha1.MotionPolicySpec{Peers: []v1alpha1.PolicyPeer{{ClusterID: "c", CIDRs: []string{"192.0.2.0/24"}}}}}}
	now = now.Add(rejectedFor)
	require("a policy is seen within a second", peer, true, 2)
	if !a.Known(peer) || a.Known(stranger) {
		t.Error("Known differs from the list")
	}
	now = now.Add(2 * time.Second)
	require("an accepted address is served from the list", peer, true, 2)
	broken = true
	now = now.Add(acceptedFor)
	require("an error accepts nothing", peer, false, 3)
	now = now.Add(rejectedFor / 2)
	require("an error is not retried at once", stranger, false, 3)
}
