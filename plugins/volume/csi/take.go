// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
)

// poll is how often the API server is asked while the storage works.
const poll = 300 * time.Millisecond

// labelCopy marks what this plugin made, with the kind of thing that it is.
const labelCopy = v1alpha1.GroupName + "/copy-of-volume"

var snapshotKind = schema.GroupVersionKind{Group: group, Version: "v1", Kind: "VolumeSnapshot"}

// Take makes snapshots of all claims at once, waits until each is ready, and
// restores them to claims.
func (Plugin) Take(ctx context.Context, t snapshot.Task, wants []snapshot.Requirements) ([]snapshot.Copy, error) {
	out, errs := make([]snapshot.Copy, len(wants)), make([]error, len(wants))
	var work sync.WaitGroup
	for i, w := range wants {
		work.Go(func() { out[i], errs[i] = take(ctx, t, w) })
	}
	work.Wait()
	return out, errors.Join(errs...)
}

func take(ctx context.Context, t snapshot.Task, w snapshot.Requirements) (snapshot.Copy, error) {
	snap, err := snapshots(t).Create(ctx, newSnapshot(t, w), metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil {
		return snapshot.Copy{}, fmt.Errorf("volumesnapshot of PVC %s in %s: %w", w.Name, t.Namespace, err)
	}
	asked := snap.GetCreationTimestamp()
	ready, err := await(ctx, t, w, snap.GetName())
	if err != nil {
		return snapshot.Copy{}, err
	}
	clone, err := t.Source.Kube.CoreV1().PersistentVolumeClaims(t.Namespace).Create(ctx, newClone(t, w, ready), metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil {
		return snapshot.Copy{}, fmt.Errorf("clone of PVC %s in %s: %w", w.Name, t.Namespace, err)
	}
	out := snapshot.Copy{Origin: w.Name, Clone: v1alpha1.ShipmentSnapshot{
		ClaimName: clone.Name, ClaimUID: string(clone.UID), ChangeDetection: w.Offer.ChangeDetection, RequestedTime: asked,
	}}
	if text, found, _ := unstructured.NestedString(ready.Object, "status", "creationTime"); found {
		out.Taken, _ = time.Parse(time.RFC3339, text)
	}
	return out, nil
}

func snapshots(t snapshot.Task) dynamic.ResourceInterface {
	return t.Source.Resource(version.WithResource("volumesnapshots"), t.Namespace)
}

// name is short enough for what drivers make of it, and tells claims apart.
func name(t snapshot.Task, claim string) string {
	sum := sha256.Sum256([]byte(t.Migration + "\x00" + claim))
	base := strings.Trim(claim[:min(len(claim), 30)], "-.")
	return fmt.Sprintf("motion-%s-%s-", base, hex.EncodeToString(sum[:3]))
}

func meta(t snapshot.Task, w snapshot.Requirements) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		// A name of its own each time: one that is still being deleted is not in the way.
		GenerateName: name(t, w.Name), Namespace: t.Namespace,
		Labels: map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue, v1alpha1.LabelMigration: t.Migration, labelCopy: "true",
		},
		OwnerReferences: []metav1.OwnerReference{t.Owner},
	}
}

func newSnapshot(t snapshot.Task, w snapshot.Requirements) *unstructured.Unstructured {
	m := meta(t, w)
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"volumeSnapshotClassName": w.Offer.Class,
		"source":                  map[string]any{"persistentVolumeClaimName": w.Name},
	}}}
	u.SetGroupVersionKind(snapshotKind)
	u.SetGenerateName(m.GenerateName)
	u.SetNamespace(m.Namespace)
	u.SetLabels(m.Labels)
	u.SetOwnerReferences(m.OwnerReferences)
	return u
}

// newClone is as large as the snapshot wants it and never smaller than the
// claim; its class is the claim's, because a driver restores its own snapshots.
func newClone(t snapshot.Task, w snapshot.Requirements, snap *unstructured.Unstructured) *corev1.PersistentVolumeClaim {
	size := w.Size
	if text, found, _ := unstructured.NestedString(snap.Object, "status", "restoreSize"); found {
		if q, err := resource.ParseQuantity(text); err == nil && q.Cmp(size) > 0 {
			size = q
		}
	}
	mode := corev1.PersistentVolumeFilesystem
	if w.Block {
		mode = corev1.PersistentVolumeBlock
	}
	api := group
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: meta(t, w),
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &w.Class, AccessModes: w.AccessModes, VolumeMode: &mode,
			Resources:  corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
			DataSource: &corev1.TypedLocalObjectReference{APIGroup: &api, Kind: snapshotKind.Kind, Name: snap.GetName()},
		},
	}
}

// await waits until the snapshot can be restored. Drivers fail and try again by
// themselves; the last error is in the message after the timeout.
func await(ctx context.Context, t snapshot.Task, w snapshot.Requirements, name string) (*unstructured.Unstructured, error) {
	var snap *unstructured.Unstructured
	err := wait.PollUntilContextTimeout(ctx, poll, t.Timeout, true, func(ctx context.Context) (bool, error) {
		got, err := snapshots(t).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, fmt.Errorf("volumesnapshot %s of PVC %s in %s was deleted during the sync", name, w.Name, t.Namespace)
		}
		if err != nil {
			return false, nil //nolint:nilerr // asked again: an API server may be restarting
		}
		snap = got
		ready, _, _ := unstructured.NestedBool(got.Object, "status", "readyToUse")
		return ready, nil
	})
	if err == nil || snap == nil || ctx.Err() != nil || !wait.Interrupted(err) {
		return snap, err
	}
	return nil, fmt.Errorf("volumesnapshot %s of PVC %s in %s is not ready after %s: %s", name, w.Name, t.Namespace, t.Timeout, trouble(snap))
}

// trouble is what the status says, or what its absence does.
func trouble(snap *unstructured.Unstructured) string {
	if text, found, _ := unstructured.NestedString(snap.Object, "status", "error", "message"); found {
		return "the driver reports: " + text
	}
	if _, found, _ := unstructured.NestedMap(snap.Object, "status"); !found {
		return "no status: the snapshot controller is not running"
	}
	return "the driver has not reported an error"
}

// Release removes clones first: some drivers keep a snapshot while it has any.
// A PVC that a pod still uses is removed when the pod is gone.
func (Plugin) Release(ctx context.Context, t snapshot.Task) error {
	made := metav1.ListOptions{LabelSelector: v1alpha1.LabelMigration + "=" + t.Migration + "," + labelCopy + "=true"}
	claims := t.Source.Kube.CoreV1().PersistentVolumeClaims(t.Namespace)
	list, err := claims.List(ctx, made)
	if err != nil {
		return fmt.Errorf("clones in %s on %s: %w", t.Namespace, t.Source, err)
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, gone(claims.Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{})))
	}
	taken, err := snapshots(t).List(ctx, made)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return errors.Join(errs...) // nothing was ever made
	}
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("volumesnapshots in %s on %s: %w", t.Namespace, t.Source, err))...)
	}
	for i := range taken.Items {
		errs = append(errs, gone(snapshots(t).Delete(ctx, taken.Items[i].GetName(), metav1.DeleteOptions{})))
	}
	return errors.Join(errs...)
}

func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
