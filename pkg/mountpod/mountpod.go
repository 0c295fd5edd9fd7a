// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package mountpod lets the kubelet mount the volumes that a migration ships.
//
// A mount pod is a pod of the public pause image in the application's namespace
// that mounts PVCs and does nothing else. It has three purposes:
//
//   - The kubelet mounts what a pod references, on the node where the pod runs,
//     with the storage's own means. The agent of that node reads or
//     writes through that mount and needs no knowledge of storage.
//   - With WaitForFirstConsumer the mount pod is the first consumer: it carries the
//     application's node selector, affinity and tolerations, so that the volume
//     is bound where the application will need it.
//   - On the source it keeps the volume attached between the stop of the
//     application and the last read.
//
// Claims are mounted with subPath ".": for that the kubelet makes a bind mount of
// its own even for hostPath volumes, which have no mount otherwise, and one
// checked path serves every filesystem volume.
//
// There is one mount pod for each pod of the application, with all its claims. It
// never carries the application's labels: a Service must not find it, a
// PodDisruptionBudget not count it.
package mountpod

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// DefaultImage is the public pause image; a MotionPolicy may name another.
const DefaultImage = "registry.k8s.io/pause:3.10.1"

// nobodyUser is the UID of the nobody user, which the pause image runs as. Any user but root works.
const nobodyUser = 65535

// Deadline, in seconds, ends mount pods that were not deleted, for instance because the
// plugin was killed and not run again.
const Deadline = 24 * 60 * 60

// Group is a set of claims that must be mounted together, and where.
type Group struct {
	// Name of the application's pod or workload, for the mount pod's name.
	Name   string
	Claims []string
	// Placement is that of the application's pod.
	Placement Placement
	// Block lists those of Claims that are raw block volumes.
	Block []string
}

// Placement is the part of a pod's spec that decides about its node.
type Placement struct {
	NodeSelector map[string]string
	Affinity     *corev1.Affinity
	Tolerations  []corev1.Toleration
	// NodeName pins the mount pod to the node where the application runs; only on
	// the source, for volumes that one node at a time may have.
	NodeName string
}

// PlacementOf takes what decides about the node from an application's pod.
// Inter-pod rules are left out: they are about the application's labels, which
// a mount pod does not carry.
func PlacementOf(spec *corev1.PodSpec) Placement {
	p := Placement{
		NodeSelector: maps.Clone(spec.NodeSelector),
		Tolerations:  slices.Clone(spec.Tolerations),
	}
	if spec.Affinity != nil && spec.Affinity.NodeAffinity != nil {
		p.Affinity = &corev1.Affinity{NodeAffinity: spec.Affinity.NodeAffinity.DeepCopy()}
	}
	return p
}

// Options are the same for all mount pods of a run.
type Options struct {
	Namespace string
	Migration string
	Owner     metav1.OwnerReference
	Template  *v1alpha1.MountPodTemplate
	// ReadOnly mounts the claims read-only, on the source.
	ReadOnly bool
}

// Name is the name of the mount pod of a group: stable, so that a repeated run
// finds it, and short enough for a pod.
func Name(migration string, g Group) string {
	sum := sha256.Sum256([]byte(migration + "\x00" + strings.Join(slices.Sorted(slices.Values(g.Claims)), "\x00")))
	base := g.Name
	if len(base) > 40 {
		base = base[:40]
	}
	return fmt.Sprintf("motion-mount-%s-%s", strings.Trim(base, "-."), hex.EncodeToString(sum[:4]))
}

// Pod is the mount pod of a group. It satisfies the restricted Pod Security level.
func Pod(g Group, o Options) *corev1.Pod {
	image, pull, res := template(o.Template)
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: Name(o.Migration, g), Namespace: o.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue,
				v1alpha1.LabelMountPod:  "true",
				v1alpha1.LabelMigration: o.Migration,
				// Sidecars would be injected by label or by annotation.
				"sidecar.istio.io/inject": "false",
			},
			Annotations: map[string]string{
				"sidecar.istio.io/inject":                 "false",
				"linkerd.io/inject":                       "disabled",
				"kubectl.kubernetes.io/default-container": containerName,
				// A node is not removed while it reads or writes volumes.
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
				"karpenter.sh/do-not-disrupt":                    "true",
			},
			OwnerReferences: []metav1.OwnerReference{o.Owner},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:         corev1.RestartPolicyAlways,
			ActiveDeadlineSeconds: new(int64(Deadline)),
			// Not 0: the pod would be gone from the API before the kubelet has unmounted.
			TerminationGracePeriodSeconds: new(int64(1)),
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			ImagePullSecrets:              pull,
			NodeSelector:                  g.Placement.NodeSelector,
			Affinity:                      affinity(g.Placement),
			Tolerations:                   tolerations(g.Placement),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(nobodyUser)), RunAsGroup: new(int64(nobodyUser)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: containerName, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
				Resources: res,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	mountClaims(&pod.Spec, g, o.ReadOnly)
	return pod
}

const containerName = "mount"

// lostNodeSeconds is how long a mount pod stays on a node that does not respond, before
// it is replaced. The default of Kubernetes, five minutes, would be downtime of a cutover.
const lostNodeSeconds = 30

// tolerations adds the short ones for lost nodes to those of the application.
func tolerations(p Placement) []corev1.Toleration {
	out := slices.Clone(p.Tolerations)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		out = slices.DeleteFunc(out, func(t corev1.Toleration) bool { return t.Key == key && t.Effect == corev1.TaintEffectNoExecute })
		out = append(out, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(lostNodeSeconds)),
		})
	}
	return out
}

func mountClaims(spec *corev1.PodSpec, g Group, readOnly bool) {
	c := &spec.Containers[0]
	for i, claim := range slices.Sorted(slices.Values(g.Claims)) {
		name := fmt.Sprintf("claim-%d", i)
		block := slices.Contains(g.Block, claim)
		spec.Volumes = append(spec.Volumes, corev1.Volume{
			Name: name,
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{
				ClaimName: claim,
				// A block device in a pod cannot be read-only; the agent opens it so.
				ReadOnly: false,
			}},
		})
		if block {
			c.VolumeDevices = append(c.VolumeDevices, corev1.VolumeDevice{Name: name, DevicePath: "/dev/" + name})
			continue
		}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
			Name: name, MountPath: "/claims/" + name, SubPath: ".", ReadOnly: readOnly,
		})
	}
}

// affinity adds the pin to a node to every term: terms are alternatives.
func affinity(p Placement) *corev1.Affinity {
	if p.NodeName == "" {
		return p.Affinity
	}
	pin := corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{p.NodeName}}
	a := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
	if p.Affinity != nil && p.Affinity.NodeAffinity != nil {
		a.NodeAffinity = p.Affinity.NodeAffinity.DeepCopy()
	}
	required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	for i := range required.NodeSelectorTerms {
		t := &required.NodeSelectorTerms[i]
		t.MatchFields = append(t.MatchFields, pin)
	}
	a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = required
	return a
}

// Resources are what a mount pod asks for where no policy says otherwise, with limits
// where they are asked for: a quota counts them, or a LimitRange wants them near the
// requests.
func Resources() corev1.ResourceRequirements {
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("16Mi")}
	return corev1.ResourceRequirements{Requests: small, Limits: small.DeepCopy()}
}

// unthrottled leaves the processor's use without a limit. The runtime starts a container
// within the container's limits: with 10m that takes five seconds, with 50m one, for a
// process that does nothing afterwards.
func unthrottled() corev1.ResourceRequirements {
	r := Resources()
	delete(r.Limits, corev1.ResourceCPU)
	return r
}

func template(t *v1alpha1.MountPodTemplate) (string, []corev1.LocalObjectReference, corev1.ResourceRequirements) {
	image, res := DefaultImage, unthrottled()
	if t == nil {
		return image, nil, res
	}
	if t.Image != "" {
		image = t.Image
	}
	if len(t.Resources.Requests)+len(t.Resources.Limits) > 0 {
		res = *t.Resources.DeepCopy()
	}
	return image, t.ImagePullSecrets, res
}
