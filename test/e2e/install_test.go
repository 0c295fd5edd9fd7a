//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/install"
)

func TestAnUpgradeToTheSameVersionChangesNothingAndIsTheAdministratorsAlone(t *testing.T) {
	paired(t, blue)
	if r := motion(t, "agent", "upgrade", "--context", "lab-a-"+blue); r.code != 1 || !strings.Contains(r.stderr, "forbidden") {
		t.Errorf("an upgrade by a team: %s", r)
	}
	set := func() (generation int64, image string) {
		ds, err := as(t, "lab-a").Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(t.Context(), deploy.AgentName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return ds.Generation, ds.Spec.Template.Spec.Containers[0].Image
	}
	status := func() (s install.Status) {
		if err := json.Unmarshal([]byte(must(t, "agent", "status", "--context", "lab-a", "-o", "json").stdout), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	generation, image := set()
	before := status()
	r := must(t, "agent", "upgrade", "--context", "lab-a")
	if !strings.Contains(r.stderr, "every agent is of this plugin's version already") || r.stdout != "daemonset.apps/motion-agent installed\n" {
		t.Errorf("an upgrade to the same version: %s", r)
	}
	if g, i := set(); g != generation || i != image {
		t.Errorf("the agents were generation %d of %s, and are %d of %s", generation, image, g, i)
	}
	after := status()
	if len(after.Nodes) != 1 || !after.Nodes[0].Ready || after.Nodes[0].Version != before.Nodes[0].Version || after.Relay != before.Relay {
		t.Errorf("the status was %+v, and is %+v", before, after)
	}
}

func TestUninstalledAgentsAreGoneWithTheirRightsAndCanBeInstalledAtOnce(t *testing.T) {
	paired(t, blue)
	// What pairs have in the agents' namespace goes with it.
	t.Cleanup(func() {
		pairing.Lock()
		defer pairing.Unlock()
		clear(pairing.done)
	})
	c := as(t, "lab-b")
	must(t, "agent", "uninstall", "--context", "lab-b")
	if _, err := c.Kube.CoreV1().Namespaces().Get(t.Context(), deploy.DefaultNamespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the agents' namespace is there: %v", err)
	}
	roles, err := c.Kube.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range roles.Items {
		if strings.HasPrefix(roles.Items[i].Name, "kubectl-motion:") {
			t.Errorf("cluster role %s is left", roles.Items[i].Name)
		}
	}
	policies, err := cluster.List[v1alpha1.MotionPolicy](t.Context(), c, v1alpha1.MotionPolicies, "", metav1.ListOptions{})
	if err != nil || len(policies) == 0 {
		t.Errorf("%d policies are kept, error %v; only --purge takes them", len(policies), err)
	}
	if r := motion(t, "agent", "status", "--context", "lab-b"); r.code != 1 || !strings.Contains(r.stderr, "hint: kubectl motion agent install") {
		t.Errorf("status without agents: %s", r)
	}
	must(t, "agent", "install", "--context", "lab-b")
	must(t, "agent", "status", "--context", "lab-b")
}
