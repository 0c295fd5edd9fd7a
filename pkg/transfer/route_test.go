// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/hint"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// sender says a reason for the generation that is asked for.
func sender(reason string) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{}
	s.Spec.Peer = v1alpha1.ShipmentPeer{ShipmentUID: "22222222-2222-2222-2222-222222222222", Addresses: []string{"192.0.2.1:31747"}}
	s.Spec.Sync, s.Status.ActiveSync = 2, 2
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ShipmentShipped, Status: metav1.ConditionUnknown, Reason: reason}}
	return s
}

func TestDataGoesByTheRelayWhenASenderHasReachedNobodyForAWhile(t *testing.T) {
	begin := time.Now()
	old := sender(v1alpha1.ReasonPeerUnreachable)
	old.Status.ActiveSync = 1
	nowhere := sender(v1alpha1.ReasonWaitingForPeer)
	nowhere.Spec.Peer.Addresses = nil
	for name, c := range map[string]struct {
		mode route.Mode
		// shut: the relay cannot be used.
		shut bool
		seen []*v1alpha1.VolumeShipment
		want bool
	}{
		"at once":                             {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"for a while":                         {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable)}, true},
		"again after it had":                  {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonShipping), sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"in an earlier generation":            {route.Auto, false, []*v1alpha1.VolumeShipment{old, old}, false},
		"never, when it is working":           {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonShipping), sender(v1alpha1.ReasonShipping)}, false},
		"never, when it is refused":           {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonAddressNotAllowed), sender(v1alpha1.ReasonAddressNotAllowed)}, false},
		"never, when not wanted":              {route.Direct, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"always, when it is asked":            {route.Relay, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonQueued)}, true},
		"and it stays there":                  {route.Auto, false, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonShipping)}, true},
		"at once, without an address":         {route.Auto, false, []*v1alpha1.VolumeShipment{nowhere}, true},
		"never, where it cannot be used":      {route.Auto, true, []*v1alpha1.VolumeShipment{nowhere, sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"without an address, when not wanted": {route.Direct, false, []*v1alpha1.VolumeShipment{nowhere}, false},
		"not before anything is said":         {route.Auto, false, []*v1alpha1.VolumeShipment{{}, {}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := &way{}, false
			for i, s := range c.seen {
				got = w.choose(c.mode, !c.shut, s, begin.Add(time.Duration(i)*strandedFor))
			}
			if got != c.want {
				t.Errorf("by the relay: %v", got)
			}
		})
	}
}

func TestAVolumeWithNoWayEndsTheRunAtOnceAndSaysWhatToDo(t *testing.T) {
	v := &Volume{Claim: "data", link: &Link{Target: End{Namespace: cluster.Namespace{Cluster: &cluster.Cluster{Name: "west"}}}}}
	for why, f := range map[string]*Volumes{
		"no policy says relay": {Route: route.Auto, NotByRelay: "no policy says relay"},
		"--route direct":       {Route: route.Direct},
	} {
		err := f.noRoute(v)
		if unreachable(err) {
			t.Errorf("%v is waited for", err)
		}
		for _, words := range []string{"volume data", "west", why, "ask an administrator"} {
			if !strings.Contains(err.Error()+strings.Join(hint.Of(err), " "), words) {
				t.Errorf("%v does not say %q", err, words)
			}
		}
	}
}
