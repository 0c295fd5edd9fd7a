// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// defaults removes fields that have the default value of the API server. The target
// applies its own defaults, kubectl-motion does not own fields that no user set, and
// an exported object reads as it was written.
//
// Only values are removed that have been the default in all releases of the API
// version. A default that depends on other fields is removed only where they are
// absent, or decides as for imagePullPolicy.
func (r *transformation) defaults() {
	spec := nested(r.o, "spec")
	switch r.gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		dropEqual(spec, map[string]any{
			"progressDeadlineSeconds": int64(600), "revisionHistoryLimit": int64(10),
			"strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": "25%", "maxUnavailable": "25%"}},
		})
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		dropEqual(spec, map[string]any{
			"podManagementPolicy": "OrderedReady", "revisionHistoryLimit": int64(10),
			"updateStrategy":                       map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"partition": int64(0)}},
			"persistentVolumeClaimRetentionPolicy": map[string]any{"whenDeleted": "Retain", "whenScaled": "Retain"},
		})
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		dropEqual(spec, map[string]any{
			"revisionHistoryLimit": int64(10),
			"updateStrategy":       map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": int64(0), "maxUnavailable": int64(1)}},
		})
	case schema.GroupKind{Group: "batch", Kind: "CronJob"}:
		dropEqual(spec, map[string]any{"concurrencyPolicy": "Allow", "failedJobsHistoryLimit": int64(1), "successfulJobsHistoryLimit": int64(3)})
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		dropEqual(spec, map[string]any{"completionMode": "NonIndexed", "manualSelector": false})
		// The defaults of these depend on whether the other field is set.
		if _, set := spec["backoffLimitPerIndex"]; !set {
			dropEqual(spec, map[string]any{"backoffLimit": int64(6)})
		}
		if _, set := spec["podFailurePolicy"]; !set {
			dropEqual(spec, map[string]any{"podReplacementPolicy": "TerminatingOrFailed"})
		}
	case schema.GroupKind{Kind: "Service"}:
		dropEqual(spec, map[string]any{"sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"})
	}
	if inventory.BuiltIn(r.gk.Group) {
		if pod := inventory.PodSpec(r.u); pod != nil {
			podDefaults(pod)
		}
	}
}

// dropEqual removes the fields of o that have the given values.
func dropEqual(o, values map[string]any) {
	for k, v := range values {
		if old, found := o[k]; found && reflect.DeepEqual(old, v) {
			delete(o, k)
		}
	}
}

func podDefaults(spec map[string]any) {
	dropEqual(spec, map[string]any{
		"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
		"terminationGracePeriodSeconds": int64(30), "securityContext": map[string]any{}, "enableServiceLinks": true,
	})
	if spec["serviceAccount"] == spec["serviceAccountName"] {
		delete(spec, "serviceAccount")
	}
	for _, v := range elements(spec, "volumes") {
		for _, source := range []string{"secret", "configMap", "projected", "downwardAPI"} {
			dropEqual(nested(v, source), map[string]any{"defaultMode": int64(420)})
		}
		dropEqual(nested(v, "hostPath"), map[string]any{"type": ""})
	}
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range elements(spec, field) {
			containerDefaults(c)
		}
	}
}

func containerDefaults(c map[string]any) {
	image, _ := c["image"].(string)
	dropEqual(c, map[string]any{
		"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
		"resources": map[string]any{}, "imagePullPolicy": defaultPullPolicy(image),
	})
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		p := nested(c, probe)
		dropEqual(p, map[string]any{"timeoutSeconds": int64(1), "periodSeconds": int64(10), "successThreshold": int64(1), "failureThreshold": int64(3)})
		dropEqual(nested(p, "httpGet"), map[string]any{"scheme": "HTTP"})
		dropEqual(nested(p, "grpc"), map[string]any{"service": ""})
	}
	for _, e := range elements(c, "env") {
		dropEqual(nested(e, "valueFrom", "fieldRef"), map[string]any{"apiVersion": "v1"})
	}
}

// defaultPullPolicy is the default of an image: Always for the tag latest, with or
// without a digest, and without tag and digest, else IfNotPresent.
func defaultPullPolicy(image string) string {
	image, _, digest := strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if tag == "latest" || !tagged && !digest {
		return "Always"
	}
	return "IfNotPresent"
}
