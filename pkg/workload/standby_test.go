// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	// sigs yaml gives float64 for numbers; the API machinery gives int64.
	raw, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

var suspendCases = map[string]string{
	"a deployment with replicas":           "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 3}}",
	"a deployment without replicas":        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {paused: true}}",
	"a deployment scaled to zero by hand":  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 0}}",
	"a stateful set":                       "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a, annotations: {owner: me}}, spec: {replicas: 1}}",
	"a set that deletes its claims":        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 2, persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Delete}}}",
	"a cron job suspended by its user":     "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {suspend: true}}",
	"a cron job that never said suspend":   "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: '* * * * *'}}",
	"a cron job with suspend false":        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {suspend: false}}",
	"a daemon set with a node selector":    "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {nodeSelector: {disk: ssd}}}}}",
	"a daemon set without a node selector": "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {template: {spec: {containers: []}}}}",
	"a bare pod":                           "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}",
	"a bare pod with a gate of its own":    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {schedulingGates: [{name: mine}]}}",
}

func TestActivationRestoresExactlyWhatSuspendChanged(t *testing.T) {
	for name, text := range suspendCases {
		t.Run(name, func(t *testing.T) {
			obj := object(t, text)
			want := obj.DeepCopy()
			was, changed, err := Suspend(obj)
			if err != nil || !changed {
				t.Fatalf("AtRest: changed %v, error %v", changed, err)
			}
			if !Suspended(obj) {
				t.Fatalf("not on standby: %v", obj.Object)
			}
			if got := obj.GetAnnotations()[v1alpha1.AnnotationOriginalState]; got != string(was) {
				t.Errorf("annotation %q, returned %q", got, was)
			}
			if err := Activate(obj, was); err != nil {
				t.Fatal(err)
			}
			if len(obj.GetAnnotations()) == 0 {
				unstructured.RemoveNestedField(obj.Object, "metadata", "annotations")
			}
			if d := cmp.Diff(want.Object, obj.Object); d != "" {
				t.Errorf("after rest and activation (-before +after):\n%s", d)
			}
		})
	}
}

func TestSuspendingTwiceKeepsTheFirstValues(t *testing.T) {
	obj := object(t, suspendCases["a deployment with replicas"])
	first, _, err := Suspend(obj)
	if err != nil {
		t.Fatal(err)
	}
	second, changed, err := Suspend(obj)
	if err != nil || !changed || string(first) != string(second) {
		t.Errorf("first %s, second %s, changed %v, error %v", first, second, changed, err)
	}
}

func TestAnAnnotationOnARunningWorkloadIsNotBelieved(t *testing.T) {
	obj := object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, annotations: {kubectl-motion.dev/original-state: '{"replicas":9}'}}, spec: {replicas: 2}}`)
	was, _, err := Suspend(obj)
	if err != nil || string(was) != `{"replicas":2}` {
		t.Errorf("remembered %s, error %v; want the replicas that run", was, err)
	}
}

func TestGarbageInTheAnnotationIsAnErrorThatSaysWhatToDo(t *testing.T) {
	obj := object(t, suspendCases["a deployment with replicas"])
	if err := Activate(obj, []byte("{")); err == nil {
		t.Error("no error")
	}
}

func TestKindsWithoutPodsAreLeftAlone(t *testing.T) {
	obj := object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
	want := obj.DeepCopy()
	_, changed, err := Suspend(obj)
	if err != nil || changed {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if d := cmp.Diff(want.Object, obj.Object); d != "" {
		t.Error(d)
	}
}

// The policy is written before the replicas; whatever ends the process between
// the two must not make anybody forget it.
func TestTheRetentionPolicyIsRememberedBetweenItsTwoWrites(t *testing.T) {
	obj := object(t, "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a, annotations: {kubectl-motion.dev/when-scaled: Delete}}, "+
		"spec: {replicas: 1, persistentVolumeClaimRetentionPolicy: {whenScaled: Retain}}}")
	was, _, err := Suspend(obj)
	if err != nil {
		t.Fatal(err)
	}
	if losesClaims(obj) {
		t.Error("on standby it would lose its claims")
	}
	if err := Activate(obj, was); err != nil {
		t.Fatal(err)
	}
	if !losesClaims(obj) || obj.GetAnnotations()[annotationWhenScaled] != "" {
		t.Errorf("after activation: %v", obj.Object)
	}
}

func TestAStatefulSetThatDeletesItsClaimsWhenScaledIsNeverScaledToZero(t *testing.T) {
	for policy, refused := range map[string]bool{"Delete": true, "Retain": false} {
		obj := object(t, "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 1, persistentVolumeClaimRetentionPolicy: {whenScaled: "+policy+"}}}")
		if err := keepsClaims(obj); (err != nil) != refused {
			t.Errorf("%s: %v", policy, err)
		}
	}
}
