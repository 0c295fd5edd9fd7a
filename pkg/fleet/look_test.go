// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/holder"
)

func TestTheHolderOfCopiesHasTheClonesOfItsGroupAndStandsWhereTheApplicationIs(t *testing.T) {
	copied := func(name string) look {
		return look{view: v1alpha1.ViewSnapshot, snapshot: &v1alpha1.ShipmentSnapshot{ClaimName: name}}
	}
	f := &Fleet{Volumes: []*Volume{
		{Claim: "data", pass: copied("copy-of-data")},
		{Claim: "raw", pass: copied("copy-of-raw")},
		{Claim: "logs", pass: look{view: v1alpha1.ViewLive}},
		{Claim: "other", pass: copied("copy-of-other")},
	}}
	g := holder.Group{Name: "pg-0", Claims: []string{"data", "raw", "logs"}, Block: []string{"raw"}}
	g.Placement.NodeName = "node-1"
	got := f.copiesOf(g)
	if !slices.Equal(got.Claims, []string{"copy-of-data", "copy-of-raw"}) || !slices.Equal(got.Block, []string{"copy-of-raw"}) || got.Placement.NodeName != "node-1" {
		t.Errorf("got %+v", got)
	}
	if holder.Name("m", got) == holder.Name("m", g) {
		t.Error("the clones' holder has the name of the claims'")
	}
	if got := f.Looks(); got != "3 Snapshot, 1 Live" {
		t.Errorf("looks: %s", got)
	}
}

func TestAClaimOfOnePodHasNoHolderWhileThatPodHasIt(t *testing.T) {
	f := &Fleet{Volumes: []*Volume{{Claim: "data", Occupied: true}, {Claim: "logs"}}}
	if !f.occupied(holder.Group{Claims: []string{"logs", "data"}}) || f.occupied(holder.Group{Claims: []string{"logs"}}) {
		t.Error("occupied is what the application alone can have")
	}
}
