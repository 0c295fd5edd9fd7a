//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// hookedShop is the shop on a class with snapshots. Its hooks, which run in a sidecar
// as those of an image without a shell do, write into its volume what they did, and the
// mark "held" is there between them only.
var hookedShop = strings.NewReplacer(
	"CLASS", "lab-csi-crash",
	"storage: 1Gi", "storage: 64Mi",
	"metadata: {labels: {app: shop}}", `metadata:
      labels: {app: shop}
      annotations:
        kubectl-motion.dev/pre-snapshot-command: '["/bin/sh","-c","echo pre >>/data/hooks; touch /data/held; sync"]'
        kubectl-motion.dev/pre-snapshot-container: beside
        kubectl-motion.dev/post-snapshot-container: beside
        kubectl-motion.dev/post-snapshot-command: '["/bin/sh","-c","rm /data/held; echo post >>/data/hooks"]'`,
	"      containers:\n        - name: shop\n", `      initContainers:
        - name: beside
          restartPolicy: Always
          image: lab/tools:1
          command: [/bin/sh, -c, "trap exit TERM; while :; do sleep 1; done"]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
      containers:
        - name: shop
`,
	"securityContext: {runAsNonRoot: true, runAsUser: 65532,", "securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532,",
).Replace(shopManifest)

func TestASnapshotIsMadeBetweenTheApplicationsHooksAndTheNextRunEndsThoseOfAKilledOne(t *testing.T) {
	reset(t, blue)
	s := site(t, blue)
	put(t, s.a, blue, hookedShop)
	s.pod(t, s.a)

	// Killed while a pre hook, given by flag, holds the application.
	killed, out := command(t.Context(), s.migrate("--copy-method", "snapshot",
		"--pre-snapshot-hook", "app=shop:beside:echo killed >>/data/hooks; touch /data/held; sleep 1000",
		"--post-snapshot-hook", "app=shop:beside:rm /data/held; echo post >>/data/hooks")...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "an application that is held", func() error {
		if held, err := tryShell(t.Context(), s.a, s.pod(t, s.a), "ls /data/held"); err != nil {
			return fmt.Errorf("%w: %s\n%s", err, held, out.err.String())
		}
		return nil
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	if hooks := s.migration(t).Status.Hooks; len(hooks) != 1 || hooks[0].Pod != s.pod(t, s.a).Name || hooks[0].CommandSHA256 == "" {
		t.Fatalf("the Migration does not say that a hook has begun: %+v", hooks)
	}

	// The next one ends that, and makes a snapshot between hooks of its own.
	r := must(t, s.migrate("--copy-method", "snapshot", "--start")...)
	if v := r.result(t).Volumes[0]; v.Consistency != "ApplicationConsistent" {
		t.Errorf("the volume is %q: %s", v.Consistency, r)
	}
	if got := s.on(t, s.a, "cat /data/hooks; ls /data"); got != "killed\npost\npre\npost\nhooks\nlost+found\n" && got != "killed\npost\npre\npost\nhooks\n" {
		t.Errorf("on the source the hooks did:\n%s", got)
	}
	if got := s.on(t, s.b, "cat /data/hooks; ls /data/held"); got != "killed\npost\npre\n/data/held\n" {
		t.Errorf("the snapshot was not made between the hooks; it has:\n%s", got)
	}
	if hooks := s.migration(t).Status.Hooks; len(hooks) > 0 {
		t.Errorf("the Migration still says %+v", hooks)
	}
}

// migration is the shop's Migration on the source.
func (s *shop) migration(t *testing.T) *v1alpha1.Migration {
	t.Helper()
	m, err := cluster.Get[v1alpha1.Migration](t.Context(), s.a, v1alpha1.Migrations, s.namespace, "lab-b")
	if err != nil {
		t.Fatal(err)
	}
	return m
}
