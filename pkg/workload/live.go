// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// kinds are the workloads in the order in which they start: what keeps data
// first, what fires by the clock last. They stop in the reverse order.
var kinds = [...]schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Version: "v1", Kind: "ReplicationController"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Version: "v1", Kind: "Pod"},
	{Group: "batch", Version: "v1", Kind: "Job"},
	{Group: "batch", Version: "v1", Kind: "CronJob"},
}

// Found is a workload on a cluster.
type Found struct {
	Resource schema.GroupVersionResource
	Object   *unstructured.Unstructured
}

// List finds the workloads of a namespace that stand for themselves: what a
// controller made of another workload is left out, except the Jobs of CronJobs,
// which go on after their CronJob was suspended. Mount pods and ended pods and Jobs
// are left out too. It fails when the user may not list one of the kinds: what
// cannot be seen cannot be stopped.
func List(ctx context.Context, c *cluster.Cluster, namespace string) ([]Found, error) {
	var out []Found
	for _, gvk := range kinds {
		gvr, _, err := c.ResourceFor(gvk)
		if err != nil {
			return nil, err
		}
		list, err := c.Resource(gvr, namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing %s in %s on %s: %w", gvr.Resource, namespace, c, err)
		}
		for i := range list.Items {
			if o := &list.Items[i]; standsAlone(o) && !ended(o) {
				o.SetGroupVersionKind(gvk)
				out = append(out, Found{Resource: gvr, Object: o})
			}
		}
	}
	return out, nil
}

func standsAlone(o *unstructured.Unstructured) bool {
	if o.GetLabels()[v1alpha1.LabelMountPod] != "" {
		return false
	}
	owner := metav1.GetControllerOf(o)
	return owner == nil || (o.GetKind() == "Job" && owner.Kind == "CronJob")
}

func ended(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "Pod":
		phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		return phase == "Succeeded" || phase == "Failed"
	case "Job":
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		return slices.ContainsFunc(conditions, func(c any) bool {
			m, ok := c.(map[string]any)
			return ok && (m["type"] == "Complete" || m["type"] == "Failed") && m["status"] == "True"
		})
	}
	return false
}

// Remember returns the state of the workloads that are not suspended yet, to be stored
// before any of them is changed. It fails for a bare pod that Start could not create.
func Remember(found []Found) ([]v1alpha1.StoppedWorkload, error) {
	var out []v1alpha1.StoppedWorkload
	for _, f := range slices.Backward(found) {
		if Suspended(f.Object) {
			continue
		}
		was, err := recorded(f.Object)
		if err != nil {
			return nil, err
		}
		out = append(out, v1alpha1.StoppedWorkload{
			Group: f.Resource.Group, Version: f.Resource.Version, Resource: f.Resource.Resource,
			Kind: f.Object.GetKind(), Name: f.Object.GetName(), UID: string(f.Object.GetUID()), OriginalState: string(was),
			ReadyPods: readyPods(f.Object),
		})
	}
	return out, nil
}

// Running lists the workloads that are not suspended, without their original states and
// ready pods.
func Running(found []Found) []v1alpha1.StoppedWorkload {
	var out []v1alpha1.StoppedWorkload
	for _, f := range slices.Backward(found) {
		if !Suspended(f.Object) {
			out = append(out, v1alpha1.StoppedWorkload{
				Group: f.Resource.Group, Version: f.Resource.Version, Resource: f.Resource.Resource,
				Kind: f.Object.GetKind(), Name: f.Object.GetName(), UID: string(f.Object.GetUID()),
			})
		}
	}
	return out
}

// maxRemembered is the bound that the API sets on one workload's memory.
const maxRemembered = 16384

// remembered is what Start needs: the original values; for a bare pod, which can
// only be stopped by deleting it, the whole pod.
func recorded(o *unstructured.Unstructured) ([]byte, error) {
	o = o.DeepCopy()
	if o.GetKind() != "Pod" {
		was, _, err := Suspend(o)
		return was, err
	}
	o = RestartedPod(o)
	if err := checkRestorable(o); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(o.Object)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRemembered {
		return nil, fmt.Errorf("pod %s has no controller and its manifest is too large to record (%d KiB): "+
			"give it a controller, or delete it before the cutover", o.GetName(), len(raw)>>10)
	}
	return raw, nil
}

// RestartedPod returns the pod that Start creates for a bare pod that was stopped:
// without the fields that the API server rejects in a new pod.
func RestartedPod(pod *unstructured.Unstructured) *unstructured.Unstructured {
	o := pod.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "status")
	unstructured.RemoveNestedField(o.Object, "spec", "nodeName")
	// kubectl debug adds them to running pods; they cannot be set on create.
	unstructured.RemoveNestedField(o.Object, "spec", "ephemeralContainers")
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	o.Object["metadata"] = map[string]any{"name": o.GetName(), "namespace": o.GetNamespace()}
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	return o
}

// resourceOf maps what is remembered to one of the resources that Stop stops. The
// record is in an object that users of the namespace can write, and the identity that
// restores the source may have more rights than they: its resource and version would
// be parts of a path, so they are compared and never used.
func resourceOf(c *cluster.Cluster, s v1alpha1.StoppedWorkload) (schema.GroupVersionResource, error) {
	for _, gvk := range kinds {
		if gvk.Group != s.Group || gvk.Kind != s.Kind {
			continue
		}
		gvr, _, err := c.ResourceFor(gvk)
		if err == nil && (gvr.Resource != s.Resource || gvr.Version != s.Version) {
			break
		}
		return gvr, err
	}
	return schema.GroupVersionResource{}, fmt.Errorf("invalid status of the Migration: a migration does not stop %s of %q",
		s.Kind, s.Group+"/"+s.Version+"/"+s.Resource)
}

// recordedPod is the pod that Stop deleted.
func recordedPod(namespace string, s v1alpha1.StoppedWorkload) (*unstructured.Unstructured, error) {
	pod := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(s.OriginalState), &pod.Object); err != nil {
		return nil, err
	}
	if pod.GetAPIVersion() != "v1" || pod.GetKind() != "Pod" || pod.GetName() != s.Name || pod.GetNamespace() != namespace {
		return nil, fmt.Errorf("invalid status of the Migration: the recorded object is %s %s/%s",
			pod.GetKind(), pod.GetNamespace(), pod.GetName())
	}
	if err := checkRestorable(pod); err != nil {
		return nil, err
	}
	return pod, nil
}

// Stop suspends the recorded workloads and marks them with the migration's name. It may
// be repeated.
func Stop(ctx context.Context, c *cluster.Cluster, namespace, migration string, stopped []v1alpha1.StoppedWorkload) error {
	for _, s := range stopped {
		if err := stop(ctx, c, namespace, migration, s); err != nil {
			return fmt.Errorf("stopping %s %s/%s on %s: %w", s.Kind, namespace, s.Name, c, err)
		}
	}
	return nil
}

func stop(ctx context.Context, c *cluster.Cluster, namespace, migration string, s v1alpha1.StoppedWorkload) error {
	gvr, err := resourceOf(c, s)
	if err != nil {
		return err
	}
	if s.Kind == "Pod" {
		err := c.Resource(gvr, namespace).Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(s.UID)})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		return err
	}
	same := func(o *unstructured.Unstructured) error {
		if string(o.GetUID()) != s.UID {
			return errors.New("it was deleted and recreated during the migration: run the command again")
		}
		return nil
	}
	err = retain(ctx, c, gvr, namespace, s.Name, func(o *unstructured.Unstructured) error {
		annotate(o, v1alpha1.AnnotationStopped, migration) // so that Start puts back what this changes
		return same(o)
	})
	if err != nil {
		return err
	}
	return edit(ctx, c, gvr, namespace, s.Name, func(o *unstructured.Unstructured) (bool, error) {
		if err := same(o); err != nil {
			return false, err
		}
		if Suspended(o) {
			return false, nil
		}
		if err := keepsClaims(o); err != nil {
			return false, err
		}
		if _, _, err := Suspend(o); err != nil {
			return false, err
		}
		annotate(o, v1alpha1.AnnotationStopped, migration)
		return true, nil
	})
}

// keepsClaims is the last check before a scale to 0: a user may have changed the
// policy since retain.
func keepsClaims(o *unstructured.Unstructured) error {
	if losesClaims(o) {
		return errors.New("its persistentVolumeClaimRetentionPolicy.whenScaled is Delete: a stop would delete its data")
	}
	return nil
}

// Start restores the recorded workloads as they were. It may be repeated, and it
// continues after a failure, so that one object does not keep the others stopped.
func Start(ctx context.Context, c *cluster.Cluster, namespace string, stopped []v1alpha1.StoppedWorkload) error {
	var errs []error
	for _, s := range slices.Backward(stopped) {
		if err := start(ctx, c, namespace, s); err != nil {
			errs = append(errs, fmt.Errorf("starting %s %s/%s on %s: %w", s.Kind, namespace, s.Name, c, err))
		}
	}
	return errors.Join(errs...)
}

func start(ctx context.Context, c *cluster.Cluster, namespace string, s v1alpha1.StoppedWorkload) error {
	gvr, err := resourceOf(c, s)
	if err != nil {
		return err
	}
	if s.Kind == "Pod" {
		pod, err := recordedPod(namespace, s)
		if err != nil {
			return err
		}
		_, err = c.Resource(gvr, namespace).Create(ctx, pod, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	return edit(ctx, c, gvr, namespace, s.Name, func(o *unstructured.Unstructured) (bool, error) {
		// A standby copy that came back here replaced the stopped workload
		// without the mark: it is started like one that still has it.
		_, standby := o.GetAnnotations()[v1alpha1.AnnotationOriginalState]
		if o.GetAnnotations()[v1alpha1.AnnotationStopped] == "" && !standby {
			return false, nil
		}
		annotate(o, v1alpha1.AnnotationStopped, "")
		return true, Activate(o, []byte(s.OriginalState))
	})
}

// OnStandby filters the workloads that a migration created and that
// are on standby.
func OnStandby(found []Found) []Found {
	return slices.DeleteFunc(slices.Clone(found), func(f Found) bool {
		a := f.Object.GetAnnotations()
		return a[v1alpha1.AnnotationOriginalState] == "" || a[v1alpha1.AnnotationStopped] != ""
	})
}

// Migrated filters the workloads that a migration created, on standby or not.
func Migrated(found []Found) []Found {
	return slices.DeleteFunc(slices.Clone(found), func(f Found) bool {
		return f.Object.GetAnnotations()[v1alpha1.AnnotationSource] == ""
	})
}

// Supersede removes the mark that an earlier migration put on workloads when it
// stopped them here: the application has come back, so it is this migration's to
// start. Objects without the mark are left alone.
func Supersede(ctx context.Context, c *cluster.Cluster, namespace string, brought []Found) error {
	for _, f := range brought {
		if f.Object.GetAnnotations()[v1alpha1.AnnotationStopped] == "" {
			continue
		}
		err := edit(ctx, c, f.Resource, namespace, f.Object.GetName(), func(o *unstructured.Unstructured) (bool, error) {
			annotate(o, v1alpha1.AnnotationStopped, "")
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("taking over %s %s/%s on %s: %w", f.Object.GetKind(), namespace, f.Object.GetName(), c, err)
		}
	}
	return nil
}

// ResumeAll starts workloads that are on standby, with the values that their annotation
// remembers. It may be repeated.
func ResumeAll(ctx context.Context, c *cluster.Cluster, namespace string, standby []Found) error {
	for _, f := range standby {
		err := edit(ctx, c, f.Resource, namespace, f.Object.GetName(), func(o *unstructured.Unstructured) (bool, error) {
			was, found := o.GetAnnotations()[v1alpha1.AnnotationOriginalState]
			if !found {
				return false, nil
			}
			return true, Activate(o, []byte(was))
		})
		if err != nil {
			return fmt.Errorf("starting %s %s/%s on %s: %w", f.Object.GetKind(), namespace, f.Object.GetName(), c, err)
		}
	}
	return nil
}

// SuspendAll suspends workloads, with the original state in the annotation only. A bare
// pod cannot be suspended once it was scheduled: it is deleted, and the next
// migration creates it again.
func SuspendAll(ctx context.Context, c *cluster.Cluster, namespace string, found []Found) error {
	for _, f := range slices.Backward(found) {
		name := f.Object.GetName()
		if f.Object.GetKind() == "Pod" {
			err := c.Resource(f.Resource, namespace).Delete(ctx, name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("stopping Pod %s/%s on %s: %w", namespace, name, c, err)
			}
			continue
		}
		if err := retain(ctx, c, f.Resource, namespace, name, func(*unstructured.Unstructured) error { return nil }); err != nil {
			return fmt.Errorf("stopping %s %s/%s on %s: %w", f.Object.GetKind(), namespace, name, c, err)
		}
		err := edit(ctx, c, f.Resource, namespace, name, func(o *unstructured.Unstructured) (bool, error) {
			if Suspended(o) {
				return false, nil
			}
			if err := keepsClaims(o); err != nil {
				return false, err
			}
			_, changed, err := Suspend(o)
			return changed, err
		})
		if err != nil {
			return fmt.Errorf("stopping %s %s/%s on %s: %w", f.Object.GetKind(), namespace, name, c, err)
		}
	}
	return nil
}

// edit reads an object, changes it and writes it with the resourceVersion that
// was read, again until there is no conflict.
func edit(ctx context.Context, c *cluster.Cluster, gvr schema.GroupVersionResource, namespace, name string,
	change func(*unstructured.Unstructured) (bool, error),
) error {
	return cluster.RetryOnConflict(func() error {
		o, err := c.Resource(gvr, namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		write, err := change(o)
		if err != nil || !write {
			return err
		}
		_, err = c.Resource(gvr, namespace).Update(ctx, o, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
		return err
	})
}

func annotate(o *unstructured.Unstructured, key, value string) {
	a := o.GetAnnotations()
	if a == nil {
		a = map[string]string{}
	}
	if value == "" {
		delete(a, key)
	} else {
		a[key] = value
	}
	o.SetAnnotations(a)
}
