// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestShortfall(t *testing.T) {
	web := v1alpha1.StoppedWorkload{Kind: "Deployment", Name: "web", ReadyPods: 3}
	for name, c := range map[string]struct {
		before v1alpha1.StoppedWorkload
		now    string
		want   string
	}{
		"as many ready pods as before": {web, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}, status: {readyReplicas: 3}}", ""},
		"fewer ready pods": {
			web, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}, status: {readyReplicas: 2}}",
			"Deployment web: 2 ready pods, 3 before the stop",
		},
		"still stopped by an earlier migration": {
			web, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, annotations: {kubectl-motion.dev/stopped-by: west}}, spec: {replicas: 0}}",
			"Deployment web: still stopped by migration west",
		},
		"a workload that is missing": {web, "", "Deployment web: not found"},
		"a job that has ended":       {v1alpha1.StoppedWorkload{Kind: "Job", Name: "once"}, "", ""},
		"a daemon set on fewer nodes": {
			v1alpha1.StoppedWorkload{Kind: "DaemonSet", Name: "log", ReadyPods: 3},
			"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: log}, status: {numberReady: 1}}", "",
		},
		"a daemon set on no node": {
			v1alpha1.StoppedWorkload{Kind: "DaemonSet", Name: "log", ReadyPods: 3},
			"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: log}, status: {numberReady: 0}}",
			"DaemonSet log: 0 ready pods, 3 before the stop",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var now []Found
			if c.now != "" {
				now = append(now, Found{Object: object(t, c.now)})
			}
			if got := strings.Join(Shortfall([]v1alpha1.StoppedWorkload{c.before}, now), "; "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
