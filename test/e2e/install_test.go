//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/install"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
)

func TestAnUpgradeToTheSameVersionChangesNothingAndIsTheAdministratorsAlone(t *testing.T) {
	paired(t, blue)
	if r := motion(t, "agent", "upgrade", "--context", "lab-a-"+blue); r.code != 1 || !strings.Contains(r.stderr, "forbidden") {
		t.Errorf("an upgrade by a team: %s", r)
	}
	set := func() (number int64, image string) {
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
	number, image := set()
	before := status()
	r := must(t, "agent", "upgrade", "--context", "lab-a")
	if !strings.Contains(r.stderr, "every agent is of this plugin's version already") || r.stdout != "daemonset.apps/motion-agent installed\n" {
		t.Errorf("an upgrade to the same version: %s", r)
	}
	if g, i := set(); g != number || i != image {
		t.Errorf("the agents were generation %d of %s, and are %d of %s", number, image, g, i)
	}
	after := status()
	if len(after.Nodes) != 1 || !after.Nodes[0].Ready || after.Nodes[0].Version != before.Nodes[0].Version || after.Relay != before.Relay {
		t.Errorf("the status was %+v, and is %+v", before, after)
	}
}

func TestUninstalledAgentsAreGoneWithTheirRightsAndCanBeInstalledAtOnce(t *testing.T) {
	s := opened(t, blue, "lab-local")
	// What pairs have in the agents' namespace goes with it.
	t.Cleanup(func() {
		pairing.Lock()
		defer pairing.Unlock()
		clear(pairing.done)
	})
	c := as(t, "lab-b")
	_, receive := s.ends(t, "lab-b-node-1")
	receive.shipment(t, "under-way", 1, v1alpha1.ShipmentPeer{ShipmentUID: "22222222-2222-2222-2222-222222222222", KeySHA256: strings.Repeat("ab", 32)})
	receive.saying(t, "under-way", v1alpha1.ShipmentShipped, metav1.ConditionUnknown, v1alpha1.ReasonWaitingForPeer)
	refused(t, 1, []string{"1 shipments are in progress on lab-b", "use --force"}, "agent", "uninstall", "--context", "lab-b")
	must(t, "agent", "status", "--context", "lab-b")
	must(t, "agent", "uninstall", "--context", "lab-b", "--force")
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
	if r := motion(t, "agent", "status", "--context", "lab-b"); r.code != 1 || !strings.Contains(r.stderr, "hint: run: kubectl motion agent install") {
		t.Errorf("status without agents: %s", r)
	}
	must(t, "agent", "install", "--context", "lab-b")
	must(t, "agent", "status", "--context", "lab-b")

	// With --purge nothing of ours is left on the cluster.
	must(t, "agent", "uninstall", "--context", "lab-b", "--purge", "--force")
	await(t, "nothing of ours to be left", func() error {
		for name, text := range dump(t, c) {
			// The lab's own drivers have such names, too.
			if strings.Contains(name, "kubectl-motion") && !strings.Contains(name, ".lab.kubectl-motion.dev") {
				return fmt.Errorf("%s is left: %s", name, text)
			}
		}
		return nil
	})
	clear(pairing.done)
	paired(t, blue)
}

// Nobody has to upgrade both clusters and every desk at the same moment: what agents
// of another version speak decides, and they say PeerVersionMismatch when they cannot. That
// the versions differ is said before.
func TestAgentsOfAnotherVersionAreNamedAndShipAsLongAsTheySpeakTheSame(t *testing.T) {
	s := opened(t, blue, "lab-local")
	const older = "v0.0.1-older"
	change := `{"spec":{"template":{"metadata":{"labels":{"` + deploy.VersionLabel + `":"` + older + `"}}}}}`
	_, err := as(t, "lab-a").Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Patch(t.Context(), deploy.AgentName, types.StrategicMergePatchType, []byte(change), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c, out := command(context.WithoutCancel(t.Context()), "agent", "upgrade", "--context", "lab-a")
		if err := c.Run(); err != nil {
			t.Errorf("%v: %s", err, out.err.String())
		}
	})
	await(t, "an agent of the other version", func() error {
		r := motion(t, "agent", "status", "--context", "lab-a")
		if r.code != 0 || !strings.Contains(r.stderr, "are of version "+older+" and this plugin is") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	var hops map[string]check.Hop
	await(t, "the end of the rollout", func() error {
		hops = checked(t, 3, "--context", "lab-a-"+blue, "-n", blue, "--no-route")
		if h := hops["agents of lab-a-"+blue]; !strings.Contains(h.Message, "1 of 1 ready, version "+older+", and this plugin is v") {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	for name, h := range hops {
		if bad := h.Verdict != check.OK; bad != (name == "agents of lab-a-"+blue) {
			t.Errorf("%s is %+v", name, h)
		}
	}
	if h := hops["agents of lab-a-"+blue]; !strings.Contains(h.Next, "kubectl motion agent upgrade") || !strings.Contains(h.Next, older) {
		t.Errorf("it is not said what to do: %+v", h)
	}
	must(t, s.migrate()...)
	must(t, "agent", "upgrade", "--context", "lab-a")
	checked(t, 0, "--context", "lab-a-"+blue, "-n", blue, "--no-route")
}
