// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// metadata keeps name, labels and annotations and removes all other fields. Owner
// references are removed because the target's garbage collector would delete an
// object whose owner UID does not exist.
func (r *transformation) metadata() {
	u := r.u
	for _, f := range u.GetFinalizers() {
		r.note(Change{Path: "metadata.finalizers", From: f, Why: "added again by its controller on the target", Notable: !builtInFinalizer(f)})
	}
	for _, o := range u.GetOwnerReferences() {
		r.note(Change{Path: "metadata.ownerReferences", From: o.Kind + "/" + o.Name, Why: "the owner has another UID on the target"})
	}
	kept := map[string]any{"name": u.GetName(), "namespace": r.opts.Target.Namespace}
	if r.opts.Target.Namespace != u.GetNamespace() {
		r.note(Change{Path: "metadata.namespace", From: u.GetNamespace(), To: r.opts.Target.Namespace, Why: "--to-namespace"})
	}
	labels, annotations := r.labels(), r.annotations()
	r.o["metadata"] = kept
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	delete(r.o, "status")
}

// SourceAnnotation is the value of the annotation kubectl-motion.dev/source for an object
// of the source with the given UID.
func (o Options) SourceAnnotation(uid string) string {
	return strings.Join([]string{o.Source.ClusterID, o.Source.Namespace, uid}, "/")
}

// builtInFinalizer says whether Kubernetes itself adds the finalizer.
func builtInFinalizer(f string) bool {
	return !strings.Contains(f, "/") || strings.HasPrefix(f, "kubernetes.io/") || strings.Contains(strings.SplitN(f, "/", 2)[0], ".kubernetes.io")
}

func (r *transformation) labels() map[string]string {
	labels := maps.Clone(r.u.GetLabels())
	for k := range labels {
		if strings.HasPrefix(k, "field.cattle.io/") {
			r.note(Change{Path: "metadata.labels." + k, From: labels[k], Why: "a Rancher project of the source cluster"})
			delete(labels, k)
		}
	}
	return labels
}

func (r *transformation) annotations() map[string]string {
	annotations := maps.Clone(r.u.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if why := clusterBound(k); why != "" {
			r.note(Change{Path: "metadata.annotations." + k, From: r.value(k, annotations[k]), Why: why})
			delete(annotations, k)
		}
	}
	const helm = "meta.helm.sh/release-namespace"
	if r.renamed() && annotations[helm] == r.opts.Source.Namespace {
		annotations[helm] = r.opts.Target.Namespace
		r.note(Change{Path: "metadata.annotations." + helm, From: r.opts.Source.Namespace, To: r.opts.Target.Namespace, Why: "--to-namespace"})
	}
	annotations[v1alpha1.AnnotationSource] = r.opts.SourceAnnotation(string(r.uid))
	return annotations
}

// value shortens the value of an annotation. That of kubectl apply is omitted: it
// repeats the whole object, including a Secret's data.
func (r *transformation) value(key, s string) string {
	if key == annotationApplied || r.gk.Group == "" && r.gk.Kind == "Secret" {
		return ""
	}
	return short(s)
}

// annotationApplied is where kubectl apply stores the last applied object.
const annotationApplied = "kubectl.kubernetes.io/last-applied-configuration"

// clusterBound returns the reason why an annotation is removed, or "".
func clusterBound(key string) string {
	switch key {
	case annotationApplied:
		return "not used by server-side apply"
	case "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller",
		"pv.kubernetes.io/provisioned-by", "pv.kubernetes.io/migrated-to",
		"volume.kubernetes.io/selected-node", "volume.kubernetes.io/storage-provisioner",
		"volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/migrated-to",
		"volume.kubernetes.io/storage-resizer", "volume.beta.kubernetes.io/storage-class":
		return "set for the volume of the source"
	case "deployment.kubernetes.io/revision", "deployment.kubernetes.io/revision-history",
		"deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas",
		"deprecated.daemonset.template.generation",
		"batch.kubernetes.io/job-tracking", "batch.kubernetes.io/cronjob-scheduled-timestamp",
		"endpoints.kubernetes.io/last-change-trigger-time",
		"control-plane.alpha.kubernetes.io/leader":
		return "set by a controller of the source"
	case v1alpha1.AnnotationSource, v1alpha1.AnnotationStopped:
		return "of an earlier migration"
	}
	if strings.HasPrefix(key, "field.cattle.io/") {
		return "a Rancher project of the source cluster"
	}
	return ""
}

// nested returns the object at path without copying, or nil.
func nested(o map[string]any, path ...string) map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	m, _ := v.(map[string]any)
	return m
}
