// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

func TestAPairThatHasEndedIsNotReadyWhateverItWas(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(d))) }
	ready := []metav1.Condition{{Type: v1alpha1.PairReady, Status: metav1.ConditionTrue, Message: "fine"}}
	unrenewed := append(ready[:1:1], metav1.Condition{Type: v1alpha1.PairTokenRotated, Status: metav1.ConditionFalse, Message: "no route"})
	for name, c := range map[string]struct {
		pair    v1alpha1.ClusterPair
		ready   metav1.ConditionStatus
		message string
	}{
		"one that works":           {v1alpha1.ClusterPair{Spec: v1alpha1.ClusterPairSpec{ExpiryTime: at(time.Second)}, Status: v1alpha1.ClusterPairStatus{Conditions: ready, CredentialExpiryTime: at(time.Second)}}, metav1.ConditionTrue, "fine"},
		"one that was never tried": {v1alpha1.ClusterPair{}, metav1.ConditionUnknown, ""},
		"one that has ended":       {v1alpha1.ClusterPair{Spec: v1alpha1.ClusterPairSpec{ExpiryTime: at(0)}, Status: v1alpha1.ClusterPairStatus{Conditions: ready}}, metav1.ConditionFalse, "the pair has ended"},
		"its credential has ended": {v1alpha1.ClusterPair{Status: v1alpha1.ClusterPairStatus{Conditions: ready, CredentialExpiryTime: at(-1)}}, metav1.ConditionFalse, "the credential has ended"},
		"the last renewal failed":  {v1alpha1.ClusterPair{Status: v1alpha1.ClusterPairStatus{Conditions: unrenewed, CredentialExpiryTime: at(time.Hour)}}, metav1.ConditionTrue, "no route"},
	} {
		if got := pairOf(&c.pair, now); got.Ready != c.ready || !strings.HasPrefix(got.Message, c.message) {
			t.Errorf("%s: %s %q", name, got.Ready, got.Message)
		}
	}
}

func TestAReportIsGoodOnlyWhenEveryHopWasSeenToWork(t *testing.T) {
	for _, v := range []Verdict{Failed, Unknown} {
		if (Report{Hops: []Hop{{Verdict: OK}, {Verdict: v}}}).Good() {
			t.Errorf("%s counts as good", v)
		}
	}
	if !(Report{Hops: []Hop{{Verdict: OK}}}).Good() {
		t.Error("what works does not count as good")
	}
}
