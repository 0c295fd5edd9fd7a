// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// status builds one end at a generation with conditions given as
// "Type=Status:Reason".
func status(number, verified int64, conditions ...string) *v1alpha1.VolumeShipment {
	s := &v1alpha1.VolumeShipment{}
	s.Status.ActiveSync, s.Status.VerifiedSync = number, verified
	for _, c := range conditions {
		t, rest, _ := strings.Cut(c, "=")
		value, reason, _ := strings.Cut(rest, ":")
		s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{
			Type: t, Status: metav1.ConditionStatus(value), Reason: reason, Message: "words",
		})
	}
	return s
}

func TestTheOutcomeOfASync(t *testing.T) {
	for name, c := range map[string]struct {
		send, receive            *v1alpha1.VolumeShipment
		ended, shipped, verified bool
		reason                   string
	}{
		"nothing has happened yet":             {status(0, 0), status(0, 0), false, false, false, ""},
		"the last generation says nothing":     {status(1, 1, "Shipped=True:Shipped", "Verified=True:Promoted"), status(1, 1, "Shipped=True:Shipped", "Verified=True:Promoted"), false, false, false, ""},
		"under way":                            {status(2, 1, "Shipped=Unknown:Shipping"), status(2, 1, "Shipped=Unknown:Shipping"), false, false, false, ""},
		"the peer cannot be reached":           {status(2, 1, "Shipped=Unknown:PeerUnreachable"), status(1, 1), false, false, false, "PeerUnreachable"},
		"verified on both ends":                {status(2, 2, "Shipped=True:Shipped", "Verified=True:Promoted"), status(2, 2), true, true, true, ""},
		"verified, but partially applied":      {status(2, 2, "Shipped=True:Shipped", "Verified=True:Verified"), status(2, 2, "Consistent=False:PartiallyApplied"), false, false, false, ""},
		"verified, but the sender is behind":   {status(1, 1), status(2, 2), false, false, false, ""},
		"somebody could write during the read": {status(2, 1, "Shipped=True:Shipped", "Verified=False:NotExclusive"), status(2, 2), true, true, false, "NotExclusive"},
		"only the sender says verified":        {status(2, 2), status(1, 1), false, false, false, ""},
		"moved under the read":                 {status(2, 1, "Shipped=True:Shipped", "Verified=False:SourceChanged"), status(2, 1), true, true, false, "SourceChanged"},
		"the target is full":                   {status(2, 1, "Shipped=Unknown:Shipping"), status(2, 1, "Shipped=False:TargetFull"), true, false, false, "TargetFull"},
		"an old failure of another sync":       {status(3, 1, "Shipped=Unknown:Shipping"), status(2, 1, "Shipped=False:TargetFull"), false, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			number := int64(2)
			if strings.HasPrefix(name, "an old failure") {
				number = 3
			}
			o := OutcomeOf(Pair{Send: c.send, Receive: c.receive}, number)
			if o.Ended != c.ended || o.Shipped != c.shipped || o.Verified != c.verified || o.Reason != c.reason {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestAReceiverThatEndsFirstLeavesTheStatisticsToTheSender(t *testing.T) {
	receive := status(2, 1, "Shipped=True:Shipped", "Verified=False:SourceChanged")
	for name, c := range map[string]struct {
		send  *v1alpha1.VolumeShipment
		early bool
	}{
		"the sender works still":      {status(2, 1, "Shipped=Unknown:Shipping", "Verified=Unknown:Shipping"), true},
		"the sender has not begun":    {status(1, 1, "Shipped=True:Shipped", "Verified=True:Promoted"), true},
		"the sender has ended, too":   {status(2, 1, "Shipped=True:Shipped", "Verified=False:SourceChanged"), false},
		"the sender failed otherwise": {status(2, 1, "Shipped=False:Unreadable", "Verified=False:Unreadable"), false},
	} {
		if o := OutcomeOf(Pair{Send: c.send, Receive: receive}, 2); !o.Ended || o.Early != c.early {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestAFailedVolumeSaysWhy(t *testing.T) {
	o := OutcomeOf(Pair{Send: status(1, 0), Receive: status(1, 0, "Shipped=False:TargetFull")}, 1)
	if l := o.Line("data", 1); l.State != progress.VolumeFailed || l.Detail != "TargetFull: words" {
		t.Errorf("got %+v", l)
	}
}

func TestNamesAreValidAndTellShipmentsApart(t *testing.T) {
	long := strings.Repeat("x", 253)
	seen := map[string]bool{}
	for _, claim := range []string{"data", long, long[:60] + "y"} {
		for _, ns := range []string{"a", "b"} {
			for _, role := range []v1alpha1.Role{v1alpha1.RoleSend, v1alpha1.RoleReceive} {
				n := Name(claim, "cluster", ns, role)
				if msgs := validation.IsDNS1123Label(n); len(msgs) > 0 {
					t.Errorf("%s: %v", n, msgs)
				}
				if seen[n] {
					t.Errorf("%s twice", n)
				}
				seen[n] = true
			}
		}
	}
}
