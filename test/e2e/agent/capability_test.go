//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// needsPowers is a tree of which each line takes one of the agent's capabilities
// to read or to write: DAC_OVERRIDE, CHOWN and FOWNER; FSETID; SETFCAP; MKNOD;
// SYS_ADMIN.
const needsPowers = `exec >/dev/termination-log 2>&1
mkdir -m 700 d; echo secret > d/unreadable; chmod 000 d/unreadable; chown -R 70:71 d
mkdir g; echo x > g/sgid; chown -R 70:71 g; chmod 2775 g; chmod 2755 g/sgid
touch capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable
mknod device c 1 3
touch trusted; setfattr -n trusted.motion -v seen trusted
`

// powerful runs a script in the volume with every capability.
func (e *end) powerful(name, script string) string {
	e.t.Helper()
	yes := true
	e.create(e.pod(name, func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"bash", "-euc", script}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	}))
	got := e.awaitPhase(name, corev1.PodSucceeded, corev1.PodFailed)
	said := ""
	if s := got.Status.ContainerStatuses; len(s) == 1 && s[0].State.Terminated != nil {
		said = s[0].State.Terminated.Message
	}
	if got.Status.Phase != corev1.PodSucceeded {
		e.t.Fatalf("pod %s failed: %s", name, said)
	}
	e.deletePod(name)
	return said
}

// What takes root's powers arrives as it was, with the capabilities of the manifest
// and with no other. docs/security.md says what becomes of this test without
// each one.
func TestWhatTakesRootsPowersArrivesAsItWas(t *testing.T) {
	p := newPair(t, "lab-local", `echo first > f`)
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
	const look = `exec >/dev/termination-log 2>&1
find . -printf '%P %y %m %U %G\n' | sort
cat d/unreadable
getfattr -h -d -m - -e hex capable trusted`
	p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
	p.send.powerful("powers", needsPowers)
	// The target's own files resist: one must go, one must change.
	p.receive.powerful("resist", `chattr +i f; mkdir old; touch old/x; chattr +a old`)
	p.awaitVerified(p.ask(v1alpha1.CopyMethodStopped))
	if a, b := p.send.powerful("look", look), p.receive.powerful("look", look); a != b || len(a) < 200 {
		t.Errorf("the source has\n%s\nthe target\n%s", a, b)
	}
}

// The agents that run are those of the manifest: nobody's patch, and no admission
// webhook's, has given them more.
func TestTheAgentsRunWithWhatTheManifestNamesAndNoMore(t *testing.T) {
	c, err := connect(t.Context(), "lab-b")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := c.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := ds.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities
	pods, err := c.Kube.CoreV1().Pods(deploy.DefaultNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + deploy.AgentName})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d agents, %v", len(pods.Items), err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		sc := p.Spec.Containers[0].SecurityContext
		if !slices.Equal(sc.Capabilities.Add, want.Add) || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || *sc.Privileged || !*sc.ReadOnlyRootFilesystem {
			t.Errorf("agent %s runs with %+v", p.Name, sc)
		}
		if s := p.Spec.SecurityContext.SeccompProfile; s == nil || s.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("agent %s runs with seccomp %+v", p.Name, s)
		}
	}
}
