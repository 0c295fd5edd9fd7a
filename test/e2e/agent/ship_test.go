//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

const (
	someFiles = `mkdir -p a/b; for i in $(seq 50); do head -c $((i*999)) /dev/urandom > a/f$i; done; ln -s ../x a/b/l; ln a/f1 a/b/h; chmod 2750 a/b; chown -R 70:71 a; touch -d 2001-02-03 a/f2`
	muchData  = `head -c 100000000 /dev/urandom > big; ` + someFiles
)

func TestAVolumeArrivesWholeAndARepeatedRunSendsOnlyWhatChanged(t *testing.T) {
	for _, class := range []string{"lab-local", "lab-hostpath"} {
		t.Run(class, func(t *testing.T) {
			p := newPair(t, class, someFiles)
			p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
			if got := p.receive.get().Status.Consistency; got != "Stopped" {
				t.Errorf("consistency %s", got)
			}
			if a, b := p.send.fingerprint(), p.receive.fingerprint(); a != b {
				t.Errorf("the volumes differ: %s and %s", a, b)
			}
			p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
			if got := p.send.get().Status.Statistics; got.SentBytes != 0 || got.Entries < 50 {
				t.Errorf("an unchanged volume: %+v", got)
			}
			p.send.runOnce("change", `echo new > a/new; rm a/f3`)
			p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
			if got := p.send.get().Status.Statistics; got.SentBytes == 0 || got.SentBytes > 10000 {
				t.Errorf("after a small change: %+v", got)
			}
			if a, b := p.send.fingerprint(), p.receive.fingerprint(); a != b {
				t.Errorf("the volumes differ after a change: %s and %s", a, b)
			}
		})
	}
}

func TestADeletedMountPodIsLetGoAndTheNextOneFinishesTheSync(t *testing.T) {
	for _, role := range []v1alpha1.Role{v1alpha1.RoleReceive, v1alpha1.RoleSend} {
		t.Run(string(role), func(t *testing.T) {
			p := newPair(t, "lab-local", muchData)
			p.slow("10M")
			number := p.ask(v1alpha1.CopyMethodStopped)
			p.awaitCopying()
			e := p.receive
			if role == v1alpha1.RoleSend {
				e = p.send
			}
			e.deletePod(mountPodName)
			e.awaitShipment("given up", func(s *v1alpha1.VolumeShipment) bool { return s.Status.NodeName == "" && s.Status.Endpoint == nil })
			p.fast()
			e.hold()
			p.awaitVerified(number)
		})
	}
}

func TestARestartedAgentFinishesTheSync(t *testing.T) {
	for _, role := range []v1alpha1.Role{v1alpha1.RoleReceive, v1alpha1.RoleSend} {
		t.Run(string(role), func(t *testing.T) {
			p := newPair(t, "lab-local", muchData)
			p.slow("10M")
			number := p.ask(v1alpha1.CopyMethodStopped)
			p.awaitCopying()
			e := p.receive
			if role == v1alpha1.RoleSend {
				e = p.send
			}
			e.restartAgent(e.get().Status.NodeName)
			p.fast()
			p.awaitVerified(number)
		})
	}
}

// restartAgent deletes the agent's pod of a node without any grace.
func (e *end) restartAgent(node string) {
	e.t.Helper()
	pods := e.c.Kube.CoreV1().Pods(deploy.DefaultNamespace)
	list, err := pods.List(e.t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node, LabelSelector: "app.kubernetes.io/name=" + deploy.AgentName})
	if err != nil || len(list.Items) != 1 {
		e.t.Fatalf("agents on %s: %d, %v", node, len(list.Items), err)
	}
	if err := pods.Delete(e.t.Context(), list.Items[0].Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		e.t.Fatal(err)
	}
}

func TestAnApplicationThatStartsEndsASyncThatMustBeExclusive(t *testing.T) {
	for _, role := range []v1alpha1.Role{v1alpha1.RoleReceive, v1alpha1.RoleSend} {
		t.Run(string(role), func(t *testing.T) {
			p := newPair(t, "lab-local", muchData)
			p.slow("10M")
			p.ask(v1alpha1.CopyMethodStopped)
			p.awaitCopying()
			e := p.receive
			if role == v1alpha1.RoleSend {
				e = p.send
			}
			e.run("app")
			if got := e.awaitReason(v1alpha1.ReasonNotExclusive); got.Status != metav1.ConditionFalse || !strings.Contains(got.Message, "app") {
				t.Errorf("%+v", got)
			}
			if got := p.receive.get().Status.VerifiedSync; got != 0 {
				t.Errorf("generation %d was verified", got)
			}
		})
	}
}

func TestALiveViewIsReadBesideTheApplication(t *testing.T) {
	p := newPair(t, "lab-local", someFiles)
	p.send.run("app")
	p.send.awaitPhase("app", corev1.PodRunning)
	p.awaitVerified(p.ask(v1alpha1.CopyMethodLive))
	if got := p.receive.get().Status.Consistency; got != "Live" {
		t.Errorf("consistency %s", got)
	}
}

func TestSpecialFilesNeedThePoliciesOfBothClusters(t *testing.T) {
	p := newPair(t, "lab-local", `mkdir d; touch d/su; chmod 4755 d/su`)
	p.ask(v1alpha1.CopyMethodStopped)
	if got := p.send.awaitReason(v1alpha1.ReasonSpecialFileRefused); !strings.Contains(got.Message, "d/su") {
		t.Errorf("the path is missing: %s", got.Message)
	}
	for _, e := range []*end{p.send, p.receive} {
		policy, err := cluster.Get[v1alpha1.MotionPolicy](t.Context(), e.c, v1alpha1.MotionPolicies, "", e.namespace)
		if err != nil {
			t.Fatal(err)
		}
		policy.Spec.SpecialFiles = v1alpha1.SpecialFilesPreserve
		if _, err := cluster.Update(t.Context(), e.c, v1alpha1.MotionPolicies, "", policy); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
}
