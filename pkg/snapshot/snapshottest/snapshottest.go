// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package snapshottest has the tests that every volume plugin must pass. They need a
// real cluster with the plugin's storage, and an application that writes.
package snapshottest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/mountpod"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// Ground is what the tests stand on.
type Ground struct {
	// Source is connected as a user with no more rights than the plugin is to need.
	Source    *cluster.Cluster
	Namespace string
	// Claim and Beside are used by a running pod, Foreign is one that the plugin has
	// to decline.
	Claim, Beside, Foreign snapshot.Claim
	// Node is where the pod runs.
	Node string
	// Write changes Claim's volume through its pod, and returns what is in it then. It
	// returns when the storage has it.
	Write func(t *testing.T) string
	// Read returns the same of the volume that a mount pod has.
	Read func(t *testing.T, mountPod *corev1.Pod, claim string) string
}

// timeout bounds every wait.
const timeout = 90 * time.Second

// Conform runs all tests.
func Conform(t *testing.T, p snapshot.Plugin, g Ground) {
	c := &conform{Ground: g, plugin: p}
	t.Run("every PVC is answered, and a declined one has a reason", c.answers)
	t.Run("a copy has what was written before and nothing of what came after", c.instant)
	t.Run("PVCs that are copied together are distinguished", c.together)
	t.Run("release removes what another process made, and nothing of other migrations", c.release)
	t.Run("what is left ends with its owner", c.owned)
}

type conform struct {
	Ground
	plugin snapshot.Plugin
}

// task is one of a migration with that name. Its owner is an object that the test may
// delete.
func (c *conform) task(t *testing.T, migration string) (task snapshot.Task, end func()) {
	t.Helper()
	maps := c.Source.Kube.CoreV1().ConfigMaps(c.Namespace)
	owner, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "conform-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	task = snapshot.Task{
		Source: c.Source, Namespace: c.Namespace, Migration: migration, Timeout: timeout,
		Owner: metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
	}
	end = func() {
		err := maps.Delete(context.WithoutCancel(t.Context()), owner.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		if err := c.plugin.Release(context.WithoutCancel(t.Context()), task); err != nil {
			t.Error(err)
		}
		end()
	})
	return task, end
}

func (c *conform) answers(t *testing.T) {
	for _, claims := range [][]snapshot.Claim{{c.Foreign, c.Claim}, {c.Claim, c.Foreign}} {
		got, err := c.plugin.Offer(t.Context(), c.Source, snapshot.Preference{}, claims)
		if err != nil || len(got) != len(claims) {
			t.Fatalf("%d answers, error %v", len(got), err)
		}
		for i, a := range got {
			o := a.Offer
			switch {
			case claims[i].Name == c.Foreign.Name && (o != nil || a.Declined == ""):
				t.Errorf("the foreign PVC: %+v", a)
			case claims[i].Name == c.Claim.Name && (o == nil || o.Plugin != c.plugin.Name() || o.Consistency == "" || o.ChangeDetection == ""):
				t.Errorf("the PVC: %+v", a)
			}
		}
	}
}

// taken makes copies of claims.
func (c *conform) taken(t *testing.T, task snapshot.Task, claims ...snapshot.Claim) []snapshot.Copy {
	t.Helper()
	answers, err := c.plugin.Offer(t.Context(), c.Source, snapshot.Preference{}, claims)
	if err != nil {
		t.Fatal(err)
	}
	var wants []snapshot.Requirements
	for i, a := range answers {
		if a.Offer == nil {
			t.Fatalf("PVC %s is declined: %s", claims[i].Name, a.Declined)
		}
		wants = append(wants, snapshot.Requirements{Claim: claims[i], Offer: *a.Offer})
	}
	copies, err := c.plugin.Take(t.Context(), task, wants)
	if err != nil {
		t.Fatal(err)
	}
	if len(copies) != len(claims) {
		t.Fatalf("%d copies of %d PVCs", len(copies), len(claims))
	}
	for _, cp := range copies {
		c.marked(t, task, cp)
	}
	return copies
}

// marked: a copy says which claim it is, and carries what it is found and ended by.
func (c *conform) marked(t *testing.T, task snapshot.Task, cp snapshot.Copy) {
	t.Helper()
	clone, err := c.Source.Kube.CoreV1().PersistentVolumeClaims(c.Namespace).Get(t.Context(), cp.Clone.ClaimName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if string(clone.UID) != cp.Clone.ClaimUID || cp.Clone.RequestedTime.IsZero() || cp.Clone.ChangeDetection == "" {
		t.Errorf("copy %+v of the PVC with the UID %s", cp, clone.UID)
	}
	if clone.Labels[v1alpha1.LabelMigration] != task.Migration || clone.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByValue {
		t.Errorf("the clone %s has the labels %v", clone.Name, clone.Labels)
	}
	if !slices.ContainsFunc(clone.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == task.Owner.UID }) {
		t.Errorf("the clone %s has the owners %v", clone.Name, clone.OwnerReferences)
	}
	if !cp.Taken.IsZero() && cp.Taken.Before(cp.Clone.RequestedTime.Time) {
		t.Errorf("taken at %s, asked for at %s", cp.Taken, cp.Clone.RequestedTime)
	}
}

func (c *conform) instant(t *testing.T) {
	task, _ := c.task(t, "conform-instant")
	want := c.Write(t)
	cp := c.taken(t, task, c.Claim)[0]
	if after := c.Write(t); after == want {
		t.Fatal("Write changes nothing")
	}
	group := mountpod.Group{Name: "conform", Claims: []string{cp.Clone.ClaimName}}
	group.Placement.NodeName = c.Node
	pod := mountpod.Pod(group, mountpod.Options{Namespace: c.Namespace, Migration: task.Migration, Owner: task.Owner, ReadOnly: true})
	if err := mountpod.Ensure(t.Context(), c.Source, pod); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mountpod.Delete(context.WithoutCancel(t.Context()), c.Source, pod.Namespace, pod.Name); err != nil {
			t.Error(err)
		}
	}()
	pods := c.Source.Kube.CoreV1().Pods(pod.Namespace)
	err := wait.PollUntilContextTimeout(t.Context(), time.Second/4, timeout, true, func(ctx context.Context) (bool, error) {
		now, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil {
			pod = now
		}
		return err == nil && now.Status.Phase == corev1.PodRunning, nil
	})
	if err != nil {
		t.Fatalf("the copy's mount pod: %v: %s", err, mountpod.Problem(pod))
	}
	if got := c.Read(t, pod, cp.Clone.ClaimName); got != want {
		t.Errorf("the copy has %q, want %q", got, want)
	}
}

func (c *conform) together(t *testing.T) {
	task, _ := c.task(t, "conform-together")
	copies := c.taken(t, task, c.Claim, c.Beside)
	origins := []string{copies[0].Origin, copies[1].Origin}
	if slices.Sort(origins); !slices.Equal(origins, slices.Sorted(slices.Values([]string{c.Claim.Name, c.Beside.Name}))) {
		t.Errorf("copies of %v", origins)
	}
	if copies[0].Clone.ClaimUID == copies[1].Clone.ClaimUID {
		t.Errorf("two PVCs have one copy: %+v", copies)
	}
}

func (c *conform) release(t *testing.T) {
	task, _ := c.task(t, "conform-release")
	other, _ := c.task(t, "conform-other")
	gone, stays := c.taken(t, task, c.Claim)[0].Clone.ClaimName, c.taken(t, other, c.Claim)[0].Clone.ClaimName
	for range 2 {
		if err := c.plugin.Release(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	c.ends(t, gone)
	clone, err := c.Source.Kube.CoreV1().PersistentVolumeClaims(c.Namespace).Get(t.Context(), stays, metav1.GetOptions{})
	if err != nil || clone.DeletionTimestamp != nil {
		t.Errorf("another migration's clone: %v, deleted at %v", err, clone.DeletionTimestamp)
	}
}

func (c *conform) owned(t *testing.T) {
	task, end := c.task(t, "conform-owned")
	clone := c.taken(t, task, c.Claim)[0].Clone.ClaimName
	end()
	c.ends(t, clone)
}

// ends waits until a claim is gone.
func (c *conform) ends(t *testing.T, claim string) {
	t.Helper()
	claims := c.Source.Kube.CoreV1().PersistentVolumeClaims(c.Namespace)
	err := wait.PollUntilContextTimeout(t.Context(), time.Second/4, timeout, true, func(ctx context.Context) (bool, error) {
		_, err := claims.Get(ctx, claim, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	if err != nil {
		t.Error(fmt.Errorf("PVC %s still exists: %w", claim, err))
	}
}
