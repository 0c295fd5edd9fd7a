// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package viewtest has the tests that every volume plugin must pass. They need a
// real cluster with the plugin's storage, and an application that writes.
package viewtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/holder"
	"github.com/kubectl-motion/kubectl-motion/pkg/view"
)

// Ground is what the tests stand on.
type Ground struct {
	Task view.Task
	// Claim is used by a running pod, Foreign is one that the plugin has to decline.
	Claim, Foreign view.Claim
	// Node is where the claim's pod runs.
	Node string
	// Write changes the claim's volume through its pod, and returns what is in it then.
	Write func(t *testing.T) string
	// Read returns the same of the volume that a holder has.
	Read func(t *testing.T, holder *corev1.Pod, claim string) string
}

// patience bounds every wait.
const patience = 90 * time.Second

// Conform runs all tests.
func Conform(t *testing.T, p view.Plugin, g Ground) {
	t.Cleanup(func() {
		if err := p.Release(context.WithoutCancel(t.Context()), g.Task); err != nil {
			t.Error(err)
		}
	})
	t.Run("answers every claim and says why it declines", func(t *testing.T) { answers(t, p, g) })
	t.Run("a copy has what was written before and nothing of what came after", func(t *testing.T) { instant(t, p, g) })
	t.Run("release removes what another process made, and may be repeated", func(t *testing.T) { release(t, p, g) })
}

func answers(t *testing.T, p view.Plugin, g Ground) {
	got, err := p.Offer(t.Context(), g.Task.Source, view.Wish{}, []view.Claim{g.Foreign, g.Claim})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d answers, error %v", len(got), err)
	}
	if got[0].Offer != nil || got[0].Declined == "" {
		t.Errorf("the foreign claim: %+v", got[0])
	}
	if o := got[1].Offer; o == nil || o.Plugin != p.Name() || o.Consistency == "" || o.Stamps == "" {
		t.Errorf("the claim: %+v", got[1])
	}
}

func taken(t *testing.T, p view.Plugin, g Ground) view.Copy {
	t.Helper()
	answers, err := p.Offer(t.Context(), g.Task.Source, view.Wish{}, []view.Claim{g.Claim})
	if err != nil || answers[0].Offer == nil {
		t.Fatalf("no offer: %+v, error %v", answers, err)
	}
	copies, err := p.Take(t.Context(), g.Task, []view.Want{{Claim: g.Claim, Offer: *answers[0].Offer}})
	if err != nil {
		t.Fatal(err)
	}
	if len(copies) != 1 || copies[0].Origin != g.Claim.Name || copies[0].Clone.ClaimUID == "" || copies[0].Clone.AskedTime.IsZero() {
		t.Fatalf("copies %+v", copies)
	}
	return copies[0]
}

func instant(t *testing.T, p view.Plugin, g Ground) {
	want := g.Write(t)
	c := taken(t, p, g)
	if after := g.Write(t); after == want {
		t.Fatal("Write changes nothing")
	}
	group := holder.Group{Name: "conform", Claims: []string{c.Clone.ClaimName}}
	group.Placement.NodeName = g.Node
	pod := holder.Pod(group, holder.Options{Namespace: g.Task.Namespace, Migration: g.Task.Migration, Owner: g.Task.Owner, ReadOnly: true})
	if err := holder.Ensure(t.Context(), g.Task.Source, pod); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := holder.Delete(context.WithoutCancel(t.Context()), g.Task.Source, pod.Namespace, pod.Name); err != nil {
			t.Error(err)
		}
	}()
	pods := g.Task.Source.Kube.CoreV1().Pods(pod.Namespace)
	err := wait.PollUntilContextTimeout(t.Context(), time.Second/4, patience, true, func(ctx context.Context) (bool, error) {
		now, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil {
			pod = now
		}
		return err == nil && now.Status.Phase == corev1.PodRunning, nil
	})
	if err != nil {
		t.Fatalf("the copy's holder: %v: %s", err, holder.Trouble(pod))
	}
	if got := g.Read(t, pod, c.Clone.ClaimName); got != want {
		t.Errorf("the copy has %q, want %q", got, want)
	}
}

func release(t *testing.T, p view.Plugin, g Ground) {
	clone := taken(t, p, g).Clone.ClaimName
	for range 2 {
		if err := p.Release(t.Context(), g.Task); err != nil {
			t.Fatal(err)
		}
	}
	claims := g.Task.Source.Kube.CoreV1().PersistentVolumeClaims(g.Task.Namespace)
	err := wait.PollUntilContextTimeout(t.Context(), time.Second/4, patience, true, func(ctx context.Context) (bool, error) {
		list, err := claims.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, nil //nolint:nilerr // asked again
		}
		for i := range list.Items {
			if list.Items[i].Name == clone {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		t.Error(fmt.Errorf("claim %s is still there: %w", clone, err))
	}
}
