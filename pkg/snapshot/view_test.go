// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// shelf offers copies of the claims that it has.
type shelf struct {
	name string
	has  string
	err  error
}

func (s shelf) Name() string { return s.name }

func (s shelf) Offer(_ context.Context, _ *cluster.Cluster, _ Preference, claims []Claim) ([]Answer, error) {
	out := make([]Answer, len(claims))
	for i, c := range claims {
		out[i].Declined = s.name + " has no " + c.Name
		if c.Name == s.has {
			out[i] = Answer{Offer: &Offer{Plugin: s.name, ChangeDetection: v1alpha1.ChangeDetectionContent, Consistency: CrashConsistent}}
		}
	}
	return out, s.err
}

func (shelf) Take(context.Context, Task, []Requirements) ([]Copy, error) { return nil, nil }
func (shelf) Release(context.Context, Task) error                        { return nil }

func TestTheFirstPluginThatOffersIsTakenAndTheLastReasonIsTold(t *testing.T) {
	c := Chooser{Plugins: []Plugin{shelf{name: "first", has: "a"}, shelf{name: "second", has: "b"}}}
	got, err := c.Choose(t.Context(), nil, []Claim{{Name: "a"}, {Name: "b"}, {Name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if got["a"].Offer == nil || got["a"].Offer.Plugin != "first" || got["a"].CopyMethod() != v1alpha1.CopyMethodSnapshot {
		t.Errorf("a: %+v", got["a"])
	}
	if got["b"].Offer == nil || got["b"].Offer.Plugin != "second" {
		t.Errorf("b: %+v", got["b"])
	}
	if got["c"].Offer != nil || got["c"].Why != "second has no c" || got["c"].CopyMethod() != v1alpha1.CopyMethodLive {
		t.Errorf("c: %+v", got["c"])
	}
}

func TestALiveCopyAsksNoPlugin(t *testing.T) {
	c := Chooser{Plugins: []Plugin{shelf{name: "first", has: "a", err: errors.New("asked")}}, Preference: Preference{Mode: Live}}
	got, err := c.Choose(t.Context(), nil, []Claim{{Name: "a"}})
	if err != nil || got["a"].Offer != nil || !strings.Contains(got["a"].Why, "--copy-method live") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWishesThatContradictThemselvesAreRefused(t *testing.T) {
	for wish, ok := range map[Preference]bool{
		{}: true, {Mode: Auto, Class: "x"}: true, {Mode: Snapshot}: true, {Mode: Live}: true,
		{Mode: Live, Class: "x"}: false, {Mode: "best"}: false,
	} {
		if err := wish.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", wish, err)
		}
	}
}

func TestAGuaranteeSaysWhatItIsWorth(t *testing.T) {
	exact := Offer{ChangeDetection: v1alpha1.ChangeDetectionTimestamps, Consistency: CrashConsistent}
	lagging := Offer{ChangeDetection: v1alpha1.ChangeDetectionContent, Consistency: CrashConsistent}
	for want, c := range map[string]Choice{
		"live": {}, "crash-consistent, change detection by timestamps": {Offer: &exact}, "crash-consistent, increments read all data": {Offer: &lagging},
	} {
		if got := c.Guarantee(); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
