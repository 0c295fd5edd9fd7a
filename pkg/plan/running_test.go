// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

const checkout = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
spec: {replicas: 2, paused: true, template: {spec: {containers: [{name: a, image: x}]}}}
status: {replicas: 2, updatedReplicas: 0}`

func TestPausedDeployment(t *testing.T) {
	s := tell(t, checkout)
	p := s.plan()
	s.silent(p.Blockers, CodePaused)
	s.tells(p.Warnings, CodePaused, "deployment.apps/checkout")
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeStart, v1alpha1.ModeCutover} {
		s.request.Mode = mode
		p := s.plan()
		s.tells(p.Blockers, CodePaused, "deployment.apps/checkout", "kubectl -n shop rollout resume deployment/checkout")
		s.tells(p.Warnings, CodeOlderPods, "2 of 2 pods")
	}
	asleep := tell(t, strings.Replace(checkout, "replicas: 2, paused", "replicas: 0, paused", 1))
	asleep.request.Mode = v1alpha1.ModeCutover
	asleep.silent(asleep.plan().Blockers, CodePaused)
}

func TestOlderPods(t *testing.T) {
	const broker = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: broker}
spec: {replicas: 2, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}, template: {spec: {containers: [{name: a, image: x}]}}}
status: {replicas: 2, updatedReplicas: 1, currentRevision: broker-1, updateRevision: broker-2}`
	const logs = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: logs}
spec: {updateStrategy: {type: OnDelete}, template: {spec: {containers: [{name: a, image: x}]}}}
status: {currentNumberScheduled: 3, updatedNumberScheduled: 1}`
	s := tell(t, broker+"\n---"+logs)
	s.silent(s.plan().Warnings, CodeOlderPods)
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeStart, v1alpha1.ModeCutover} {
		s.request.Mode = mode
		w := s.plan().Warnings
		s.tells(w, CodeOlderPods, "statefulset.apps/broker", "1 of 2 pods", "broker-1", "broker-2")
		s.tells(w, CodeOlderPods, "daemonset.apps/logs", "2 of 3 pods")
	}
	done := tell(t, strings.Replace(broker, "updateRevision: broker-2", "updateRevision: broker-1", 1))
	done.request.Mode = v1alpha1.ModeCutover
	done.silent(done.plan().Warnings, CodeOlderPods)
}

func TestSchedulingGates(t *testing.T) {
	s := tell(t, strings.Replace(strings.Replace(checkout, "paused: true, ", "", 1), "spec: {containers", "spec: {schedulingGates: [{name: example.com/gate}], containers", 1))
	s.request.Mode = v1alpha1.ModeStart
	s.tells(s.plan().Warnings, CodeSchedulingGate, "example.com/gate")
}

func quantities(cpu string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
}

// TestQuotaOfPods: a pod's demand is that of its containers with the LimitRange's
// defaults, its sidecars, and at least its largest init container.
func TestQuotaOfPods(t *testing.T) {
	const work = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: work}
spec: {replicas: REPLICAS, template: {spec: {INIT containers: [{name: a, image: x RESOURCES}]}}}`
	defaults := corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, DefaultRequest: quantities("300m"), Default: quantities("500m"),
	}}}}
	quota := corev1.ResourceQuota{}
	quota.Name = "compute"
	quota.Status.Hard = corev1.ResourceList{"requests.cpu": resource.MustParse("1")}
	small := ", resources: {requests: {cpu: 100m}}"
	for name, c := range map[string]struct {
		replicas, init, resources string
		blocked                   bool
	}{
		"defaults of the LimitRange do not fit":        {"4", "", "", true},
		"three pods with defaults fit":                 {"3", "", "", false},
		"a request without a limit is not a default":   {"4", "", small, false},
		"a limit is the request":                       {"2", "", ", resources: {limits: {cpu: 600m}}", true},
		"native sidecars count":                        {"2", "initContainers: [{name: i, image: x, restartPolicy: Always, resources: {requests: {cpu: 500m}}}],", small, true},
		"the largest init container counts":            {"2", "initContainers: [{name: i, image: x, resources: {requests: {cpu: 600m}}}],", small, true},
		"init containers do not add up":                {"2", "initContainers: [{name: i, image: x, resources: {requests: {cpu: 300m}}}, {name: j, image: x, resources: {requests: {cpu: 300m}}}],", small, false},
		"a sidecar runs beside a later init container": {"2", "initContainers: [{name: i, image: x, restartPolicy: Always, resources: {requests: {cpu: 300m}}}, {name: j, image: x, resources: {requests: {cpu: 300m}}}],", small, true},
		"overhead counts":                              {"2", "overhead: {cpu: 500m},", small, true},
		"pod-level resources replace the sum":          {"2", "resources: {requests: {cpu: 600m}},", small, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t, strings.NewReplacer("REPLICAS", c.replicas, "INIT", c.init, "RESOURCES", c.resources).Replace(work))
			s.facts.Quotas = Known[corev1.ResourceQuota]{Known: true, List: []corev1.ResourceQuota{quota}}
			s.facts.LimitRanges = Known[corev1.LimitRange]{Known: true, List: []corev1.LimitRange{defaults}}
			s.request.Mode = v1alpha1.ModeCutover
			if p := s.plan(); c.blocked {
				s.tells(p.Blockers, CodeQuota, "1200m of requests.cpu", "has 1 left")
			} else {
				s.silent(p.Blockers, CodeQuota)
			}
			// The copy of an earlier run on standby needs the pods as well.
			s.observed = refused("deployment.apps/work", TargetState{Live: &Live{Source: "cluster-a/shop/uid-0", Suspended: true}})
			if p := s.plan(); c.blocked {
				s.tells(p.Blockers, CodeQuota, "1200m of requests.cpu")
			}
		})
	}
}

func TestMountPodsAndLimitRanges(t *testing.T) {
	limits := func(item corev1.LimitRangeItem) Known[corev1.LimitRange] {
		item.Type = corev1.LimitTypeContainer
		l := corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{item}}}
		l.Name = "limits"
		return Known[corev1.LimitRange]{Known: true, List: []corev1.LimitRange{l}}
	}
	for name, c := range map[string]struct {
		item   corev1.LimitRangeItem
		policy *corev1.ResourceRequirements
		words  []string
	}{
		"below the minimum":           {corev1.LimitRangeItem{Min: quantities("100m")}, nil, []string{"minimum cpu per Container is 100m", "mountPodTemplate"}},
		"above the maximum":           {corev1.LimitRangeItem{Max: quantities("20m")}, nil, []string{"maximum cpu per Container is 20m"}},
		"a ratio that limits satisfy": {corev1.LimitRangeItem{MaxLimitRequestRatio: quantities("2")}, nil, nil},
		"within":                      {corev1.LimitRangeItem{Min: quantities("10m"), Max: quantities("1")}, nil, nil},
		"resources of the policy":     {corev1.LimitRangeItem{Min: quantities("100m")}, &corev1.ResourceRequirements{Requests: quantities("200m")}, nil},
		"a ratio that the policy exceeds": {
			corev1.LimitRangeItem{MaxLimitRequestRatio: quantities("2")},
			&corev1.ResourceRequirements{Requests: quantities("10m"), Limits: quantities("100m")},
			[]string{"maximum ratio"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for side, set := range map[string]func(*Facts){
				sideTarget: func(f *Facts) { f.LimitRanges, f.MountPod = limits(c.item), c.policy },
				sideSource: func(f *Facts) { f.SourceLimitRanges, f.SourceMountPod = limits(c.item), c.policy },
			} {
				s := tell(t, claim)
				set(&s.facts)
				if p := s.plan(); c.words != nil {
					s.tells(p.Blockers, CodeMountPodDenied, append(c.words, side+" namespace")...)
				} else {
					s.silent(p.Blockers, CodeMountPodDenied)
				}
			}
		})
	}
}
