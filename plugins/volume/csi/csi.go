// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package csi is the volume plugin for storage whose CSI driver takes snapshots.
//
// A copy is a VolumeSnapshot and a claim that is restored from it, both in the
// claim's namespace and made with the user's rights. Nothing of the driver is
// known but its name: the classes of the cluster say the rest.
//
// The snapshots of one pass are asked for at once and not one after the other: an
// application with two volumes wants them of one instant, and this is as near as
// the API comes without group snapshots. Restoring begins when all are ready.
//
// What was made carries the migration's label, by which the next run finds and
// removes it, and the Migration as its owner.
package csi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

const (
	group = "snapshot.storage.k8s.io"
	// defaultClass marks a driver's default VolumeSnapshotClass (external-snapshotter).
	defaultClass = "snapshot.storage.kubernetes.io/is-default-class"
	// ChangeDetectionAnnotation on a VolumeSnapshotClass or a StorageClass, with the value
	// exact, is the administrator's word that the driver freezes the filesystem for
	// a snapshot. An increment then reads only files whose change time moved.
	ChangeDetectionAnnotation = v1alpha1.GroupName + "/change-detection"
	timestamps                = "timestamps"
)

var version = schema.GroupVersion{Group: group, Version: "v1"}

// Plugin is the plugin; its zero value works.
type Plugin struct{}

var _ snapshot.Plugin = Plugin{}

// Name is csi.
func (Plugin) Name() string { return "csi" }

// Offer finds for each claim the snapshot class of its driver.
func (Plugin) Offer(ctx context.Context, src *cluster.Cluster, wish snapshot.Preference, claims []snapshot.Claim) ([]snapshot.Answer, error) {
	out := make([]snapshot.Answer, len(claims))
	if why, err := unserved(ctx, src, claims); why != "" || err != nil {
		for i := range out {
			out[i].Declined = why
		}
		return out, err
	}
	classes, err := snapshotClasses(ctx, src)
	if err != nil {
		return nil, err
	}
	room, err := quotas(ctx, src, claims[0].Namespace)
	if err != nil {
		return nil, err
	}
	for i, c := range claims {
		offer, why, err := offer(ctx, src, wish, classes, c)
		switch {
		case err != nil:
			return nil, err
		case why == "":
			why = room.take(c)
		}
		if why != "" {
			out[i].Declined = why
			continue
		}
		out[i].Offer = offer
	}
	return out, nil
}

// unserved says why the cluster takes no snapshots at all from this user.
func unserved(ctx context.Context, src *cluster.Cluster, claims []snapshot.Claim) (string, error) {
	if len(claims) == 0 {
		return "no volume was requested", nil
	}
	_, err := src.Discovery.ServerResourcesForGroupVersion(version.String())
	if apierrors.IsNotFound(err) || errors.Is(err, memory.ErrCacheNotFound) {
		return "the cluster does not serve " + version.String() + ": the snapshot controller is not installed", nil
	}
	if err != nil {
		return "", fmt.Errorf("discovery of %s on %s: %w", version, src, err)
	}
	review, err := src.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: claims[0].Namespace, Verb: "create", Group: group, Resource: "volumesnapshots",
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("rights on %s: %w", src, err)
	}
	if !review.Status.Allowed {
		return "cannot create volumesnapshots in " + claims[0].Namespace, nil
	}
	return "", nil
}

func snapshotClasses(ctx context.Context, src *cluster.Cluster) ([]unstructured.Unstructured, error) {
	list, err := src.Resource(version.WithResource("volumesnapshotclasses"), "").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("volumesnapshotclasses on %s: %w", src, err)
	}
	return list.Items, nil
}

func offer(ctx context.Context, src *cluster.Cluster, wish snapshot.Preference, classes []unstructured.Unstructured, c snapshot.Claim) (*snapshot.Offer, string, error) {
	if c.Class == "" {
		return nil, "the PVC has no storage class, so its driver is unknown", nil
	}
	class, err := src.Kube.StorageV1().StorageClasses().Get(ctx, c.Class, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, "its storage class " + c.Class + " does not exist, so its driver is unknown", nil
	case err != nil:
		return nil, "", fmt.Errorf("storageclass %s on %s: %w", c.Class, src, err)
	}
	chosen, why := choose(classes, class.Provisioner, wish.Class)
	if chosen == nil {
		return nil, why, nil
	}
	return &snapshot.Offer{
		Plugin: Plugin{}.Name(), Class: chosen.GetName(), ChangeDetection: stamps(chosen, class), Consistency: snapshot.CrashConsistent,
	}, "", nil
}

// choose takes the class that the user named, else the driver's default, else
// its first by name.
func choose(classes []unstructured.Unstructured, driver, wanted string) (*unstructured.Unstructured, string) {
	var fit []*unstructured.Unstructured
	for i := range classes {
		if d, _, _ := unstructured.NestedString(classes[i].Object, "driver"); d == driver {
			fit = append(fit, &classes[i])
		}
	}
	if wanted != "" {
		i := slices.IndexFunc(fit, func(u *unstructured.Unstructured) bool { return u.GetName() == wanted })
		if i < 0 {
			return nil, "no volumesnapshotclass " + wanted + " of its driver " + driver
		}
		return fit[i], ""
	}
	if len(fit) == 0 {
		return nil, "its driver " + driver + " has no volumesnapshotclass"
	}
	slices.SortFunc(fit, func(a, b *unstructured.Unstructured) int {
		rank := func(u *unstructured.Unstructured) int {
			if u.GetAnnotations()[defaultClass] == "true" {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.GetName(), b.GetName()))
	})
	return fit[0], ""
}

// changeDetection of a driver is by content unless an administrator sets timestamps: a
// wrong "timestamps" would ship old bytes without anybody noticing.
func stamps(snapshots *unstructured.Unstructured, volumes *storagev1.StorageClass) v1alpha1.ChangeDetection {
	if snapshots.GetAnnotations()[ChangeDetectionAnnotation] == timestamps || volumes.Annotations[ChangeDetectionAnnotation] == timestamps {
		return v1alpha1.ChangeDetectionTimestamps
	}
	return v1alpha1.ChangeDetectionContent
}

// room is what the namespace's quotas leave for clones.
type room []corev1.ResourceQuota

func quotas(ctx context.Context, src *cluster.Cluster, namespace string) (room, error) {
	list, err := src.Kube.CoreV1().ResourceQuotas(namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil // whether it fits is seen when it is tried
	}
	if err != nil {
		return nil, fmt.Errorf("resourcequotas of %s on %s: %w", namespace, src, err)
	}
	return list.Items, nil
}

// take says why a clone of the claim does not fit; when it fits it is counted.
func (r room) take(c snapshot.Claim) string {
	one := *resource.NewQuantity(1, resource.DecimalSI)
	demand := map[corev1.ResourceName]resource.Quantity{
		corev1.ResourcePersistentVolumeClaims: one, "count/persistentvolumeclaims": one,
		"count/volumesnapshots." + group: one, corev1.ResourceRequestsStorage: c.Size,
		corev1.ResourceName(c.Class + ".storageclass.storage.k8s.io/requests.storage"):       c.Size,
		corev1.ResourceName(c.Class + ".storageclass.storage.k8s.io/persistentvolumeclaims"): one,
	}
	for _, q := range r {
		for name, want := range demand {
			hard, limited := q.Status.Hard[name]
			if !limited {
				continue
			}
			hard.Sub(q.Status.Used[name])
			if hard.Cmp(want) < 0 {
				return fmt.Sprintf("quota %s of the source has %s of %s left, and the clone of a snapshot needs %s temporarily", q.Name, hard.String(), name, want.String())
			}
		}
	}
	for i := range r {
		for name, want := range demand {
			if used, known := r[i].Status.Used[name]; known {
				used.Add(want)
				r[i].Status.Used[name] = used
			}
		}
	}
	return ""
}
