//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// failbackSet is a StatefulSet with a volume of its own, as kubectl creates it: another
// manager owns volumeClaimTemplates as a whole.
const failbackSet = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: db
          image: lab/tools:1
          command: [/bin/bash, -c, "trap exit TERM; while :; do read -rt 1 <> <(:) || :; done"]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {storageClassName: lab-local, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`

// An application moves there, back, there and back: each time it runs on one cluster
// alone, with everything that was written on the other.
func TestThereAndBack(t *testing.T) {
	s := opened(t, blue, "lab-local")
	put(t, s.a, blue, failbackSet)
	podOf(t, s.a, blue, "app=db")
	must(t, "pair", "lab-a", "--context", "lab-b", "--to-context", "lab-a", "-n", blue, "--yes")
	t.Cleanup(func() {
		c, out := command(context.WithoutCancel(t.Context()), "unpair", "lab-a", "--context", "lab-b", "--to-context", "lab-a", "-n", blue, "--yes")
		if err := c.Run(); err != nil {
			t.Errorf("%v: %s", err, out.err.String())
		}
	})
	s.write(t)
	last := 0
	for leg := range 4 {
		from, to, here, there := "lab-a", "lab-b", s.a, s.b
		if leg%2 == 1 {
			from, to, here, there = to, from, there, here
		}
		sh(t, here, podOf(t, here, blue, "app=db"), fmt.Sprintf("echo %d >>/data/legs; sync", leg))
		r := must(t, "migrate", "--context", from+"-"+blue, "--to", to, "--cutover", "--progress", "plain", "-o", "json").result(t)
		if !r.Active {
			t.Fatalf("leg %d from %s to %s: %+v", leg, from, to, r)
		}
		s.runsOnly(t, there, here)
		requireSet(t, there, here)
		if got, want := sh(t, there, podOf(t, there, blue, "app=db"), "wc -l </data/legs"), fmt.Sprintf("%d\n", leg+1); got != want {
			t.Errorf("leg %d: the set's volume on %s has %q legs, want %q", leg, to, got, want)
		}
		n := s.last(t, there)
		if n < last {
			t.Errorf("leg %d: the shop's log on %s ends with %d, and had %d", leg, to, n, last)
		}
		last = n
		m, err := cluster.Get[v1alpha1.Migration](t.Context(), here, v1alpha1.Migrations, blue, r.Migration)
		if err != nil || m.Status.Step != "Finished" {
			t.Errorf("leg %d: step %q, error %v", leg, m.Status.Step, err)
		}
	}
}

// requireSet fails unless the StatefulSet runs on one cluster and is stopped on the other.
func requireSet(t *testing.T, here, there *cluster.Cluster) {
	t.Helper()
	for c, want := range map[*cluster.Cluster]int32{here: 1, there: 0} {
		set, err := c.Kube.AppsV1().StatefulSets(blue).Get(t.Context(), "db", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *set.Spec.Replicas != want || set.Status.ReadyReplicas != want {
			t.Fatalf("the set on %s has %d replicas, %d of them ready; want %d", c, *set.Spec.Replicas, set.Status.ReadyReplicas, want)
		}
	}
}
