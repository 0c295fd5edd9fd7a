// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
)

// sender says a reason for the generation that is asked for.
func sender(reason string) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{}
	s.Spec.Generation, s.Status.ActiveGeneration = 2, 2
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ShipmentShipped, Status: metav1.ConditionUnknown, Reason: reason}}
	return s
}

func TestDataGoesByTheRelayWhenASenderHasReachedNobodyForAWhile(t *testing.T) {
	begin := time.Now()
	old := sender(v1alpha1.ReasonPeerUnreachable)
	old.Status.ActiveGeneration = 1
	for name, c := range map[string]struct {
		mode route.Mode
		seen []*v1alpha1.VolumeShipment
		want bool
	}{
		"at once":                     {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"for a while":                 {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable)}, true},
		"again after it had":          {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonShipping), sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"in an earlier generation":    {route.Auto, []*v1alpha1.VolumeShipment{old, old}, false},
		"never, when it is working":   {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonShipping), sender(v1alpha1.ReasonShipping)}, false},
		"never, when it is refused":   {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonAddressNotAllowed), sender(v1alpha1.ReasonAddressNotAllowed)}, false},
		"never, when not wanted":      {route.Direct, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable)}, false},
		"always, when it is asked":    {route.Relay, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonQueued)}, true},
		"and it stays there":          {route.Auto, []*v1alpha1.VolumeShipment{sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonPeerUnreachable), sender(v1alpha1.ReasonShipping)}, true},
		"not before anything is said": {route.Auto, []*v1alpha1.VolumeShipment{{}, {}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := &way{}, false
			for i, s := range c.seen {
				got = w.choose(c.mode, s, begin.Add(time.Duration(i)*strandedFor))
			}
			if got != c.want {
				t.Errorf("by the relay: %v", got)
			}
		})
	}
}
