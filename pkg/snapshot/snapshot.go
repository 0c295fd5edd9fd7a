// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package snapshot chooses how each volume is looked at while its application runs,
// and defines what a volume plugin is.
//
// A volume whose application is stopped is read as it is. While the application
// runs there are two methods: live, which is not a consistent state of the application,
// or a plugin's: a copy of one instant, such as a snapshot of the storage,
// restored to a PVC of the same namespace. The best method is chosen automatically,
// and the plan shows why a lesser one was chosen.
//
// A plugin works with the user's own rights and knows one kind of storage. It
// never reads a byte: the copy is mounted by a mount pod and read by the agent, as
// any claim is. docs/plugins.md shows how to write one; package snapshottest has the
// tests that each must pass.
package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// CrashConsistent is the consistency of a copy of one instant when nothing was done
// for the application: it finds the volume as after a power cut.
const CrashConsistent = "CrashConsistent"

// ApplicationConsistent is its consistency when the application's own hooks made
// it ready for that instant.
const ApplicationConsistent = "ApplicationConsistent"

// Claim is what a plugin receives about a PVC.
type Claim struct {
	Namespace, Name, UID string
	// Class is the claim's storage class; empty when it has none.
	Class       string
	AccessModes []corev1.PersistentVolumeAccessMode
	Block       bool
	// Size is what the volume has, or what the claim asks for when that is more.
	Size resource.Quantity
}

// Offer is a plugin's way to look at a claim.
type Offer struct {
	// Plugin is its name.
	Plugin string `json:"plugin"`
	// Class is the plugin's own choice, for instance of a VolumeSnapshotClass.
	Class string `json:"class,omitempty"`
	// ChangeDetection says whether an increment may rely on change times.
	ChangeDetection v1alpha1.ChangeDetection `json:"changeDetection"`
	// Consistency of the copy.
	Consistency string `json:"consistency"`
}

// Answer is a plugin's to one claim: an offer, or why there is none.
type Answer struct {
	Offer    *Offer
	Declined string
}

// Task is what is the same for all copies of one pass.
type Task struct {
	Source    *cluster.Cluster
	Namespace string
	// Migration and Owner go onto everything that is made: it can be found by the
	// first, and ends with the second.
	Migration string
	Owner     metav1.OwnerReference
	// Timeout bounds the wait for the storage.
	Timeout time.Duration
}

// Requirements is a claim to be copied, and the offer that was made for it.
type Requirements struct {
	Claim
	Offer Offer
}

// Copy is a copy of a claim's volume at one instant.
type Copy struct {
	// Origin is the name of the claim.
	Origin string
	// Clone is the claim with the copy. It need not be bound yet.
	Clone v1alpha1.ShipmentSnapshot
	// Taken is the instant, as far as the storage tells; zero when it does not.
	Taken time.Time
}

// Plugin is a way to a view of volumes. All methods may be called again after a
// failure or a kill, by another process.
type Plugin interface {
	// Name is one lower-case word.
	Name() string
	// Offer says for each claim what the plugin can do, in the order of claims. It
	// changes nothing. wish.Class is the user's, for the plugins that know it. An
	// error is the cluster's; that something cannot be done is an Answer.
	Offer(ctx context.Context, src *cluster.Cluster, wish Preference, claims []Claim) ([]Answer, error)
	// Take makes copies of all wants, as near to one instant as it can. After an
	// error nothing that it made needs to be there; Release removes it.
	Take(ctx context.Context, t Task, wants []Requirements) ([]Copy, error)
	// Release removes all that Take made for the migration, in this process or an
	// earlier one. It succeeds if there is nothing to remove.
	Release(ctx context.Context, t Task) error
}

// Mode is the user's wish.
type Mode string

// The modes.
const (
	// Auto takes the best that there is.
	Auto Mode = "auto"
	// Snapshot takes a plugin's copy or blocks.
	Snapshot Mode = "snapshot"
	// Live takes no copies.
	Live Mode = "live"
)

// Preference is what the user says about views.
type Preference struct {
	Mode Mode
	// Class is the snapshot class to take; empty: chosen by the driver.
	Class string
}

// Check finds a mode that there is not.
func (w Preference) Check() error {
	if !slices.Contains([]Mode{"", Auto, Snapshot, Live}, w.Mode) {
		return fmt.Errorf("--copy-method must be auto, snapshot or live, not %q", w.Mode)
	}
	if w.Mode == Live && w.Class != "" {
		return fmt.Errorf("--snapshot-class cannot be used with --copy-method live")
	}
	return nil
}

// Choice is how a claim is looked at while its application runs.
type Choice struct {
	// Offer is nil for a live view.
	Offer *Offer `json:"snapshot,omitempty"`
	// Why says why there is nothing better than a live view.
	Why string `json:"why,omitempty"`
}

// CopyMethod is the choice as shipments have it.
func (c Choice) CopyMethod() v1alpha1.CopyMethod {
	if c.Offer != nil {
		return v1alpha1.CopyMethodSnapshot
	}
	return v1alpha1.CopyMethodLive
}

// Guarantee describes the consistency of the copy, for people.
func (c Choice) Guarantee() string {
	if c.Offer == nil {
		return "live: cannot be started"
	}
	what := "crash-consistent"
	if c.Offer.Consistency != CrashConsistent {
		what = c.Offer.Consistency
	}
	if c.Offer.ChangeDetection == v1alpha1.ChangeDetectionTimestamps {
		return what + ", change detection by timestamps"
	}
	return what + ", increments read all data"
}

// Chooser asks plugins in their order.
type Chooser struct {
	Plugins    []Plugin
	Preference Preference
}

// Choose finds the view of every claim, by its name.
func (c Chooser) Choose(ctx context.Context, src *cluster.Cluster, claims []Claim) (map[string]Choice, error) {
	out := map[string]Choice{}
	left := slices.Clone(claims)
	for _, claim := range claims {
		out[claim.Name] = Choice{Why: c.unasked()}
	}
	if c.Preference.Mode == Live {
		return out, nil
	}
	for _, p := range c.Plugins {
		if len(left) == 0 {
			break
		}
		answers, err := p.Offer(ctx, src, c.Preference, left)
		if err != nil {
			return nil, fmt.Errorf("volume plugin %s: %w", p.Name(), err)
		}
		var declined []Claim
		for i, a := range answers {
			name := left[i].Name
			if a.Offer != nil {
				out[name] = Choice{Offer: a.Offer}
				continue
			}
			out[name] = Choice{Why: a.Declined}
			declined = append(declined, left[i])
		}
		left = declined
	}
	return out, nil
}

func (c Chooser) unasked() string {
	if c.Preference.Mode == Live {
		return "requested with --copy-method live"
	}
	return "no volume plugin is available"
}

// Plugin finds a plugin by its name; nil when there is none.
func (c Chooser) Plugin(name string) Plugin {
	for _, p := range c.Plugins {
		if p.Name() == name {
			return p
		}
	}
	return nil
}
