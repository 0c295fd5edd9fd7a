//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPodThatIsDeletedInMidCopyIsReallyGone(t *testing.T) {
	a, pod := running(t, "lab-local")
	sh(t, a, pod, "dd if=/dev/urandom of=/data/big bs=1M count=32 2>/dev/null; sync")
	c, out := command(t.Context(), migrateArgs("--bandwidth", "3Mi")...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the begin of the copy", func() error {
		if strings.Contains(out.err.String(), " shipping ") {
			return nil
		}
		return fmt.Errorf("not yet: %s", out.err.String())
	})
	if err := a.Kube.CoreV1().Pods("blue").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the pod, which an open file of the agent would prevent", func() error {
		_, err := a.Kube.CoreV1().Pods("blue").Get(t.Context(), pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	if next := podOf(t, a, "blue", "app=app"); next.Name == pod.Name {
		t.Error("no other pod took its place")
	}
	if r := ended(t, c, out, c.Wait()); r.code != 0 {
		t.Errorf("the copy did not go on: %s", r)
	}
}

func TestAFullTargetDiskIsNamedAndTheSameCommandGoesOnWhenThereIsRoom(t *testing.T) {
	a, pod := running(t, "lab-local")
	sh(t, a, pod, "dd if=/dev/urandom of=/data/big bs=1M count=48 2>/dev/null; sync")
	nodes := []string{"lab-b/node-1", "lab-b/node-2"}
	free := func() {
		for _, n := range nodes {
			if out, err := exec.Command(lab, "disk", "free", n).CombinedOutput(); err != nil {
				t.Errorf("disk free %s: %v: %s", n, err, out)
			}
		}
	}
	t.Cleanup(free)
	for _, n := range nodes {
		if out, err := exec.Command(lab, "disk", "fill", n, "--leave", "24Mi").CombinedOutput(); err != nil {
			t.Fatalf("disk fill %s: %v: %s", n, err, out)
		}
	}
	r := motion(t, migrateArgs()...)
	if r.code != 1 || !strings.Contains(r.stderr, "TargetFull") || !strings.Contains(r.stderr, "hint:") {
		t.Fatalf("with a full disk: %s", r)
	}
	free()
	must(t, migrateArgs()...)
}
