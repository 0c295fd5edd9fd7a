//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// memory is the most that a plan may take, in KiB as the kernel counts it.
const memory = 300 << 10

// unthrottled is a client that makes thousands of objects without waiting.
func unthrottled(t *testing.T, c *cluster.Cluster) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.QPS, config.RateLimiter = -1, nil
	k, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// many runs f for 0..n-1, sixteen at a time.
func many(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			err := f(ctx, i)
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestAHostileNamespaceDoesNotBreakAnAdministratorsRun: everything a namespace
// user can put into the way of a run over all namespaces.
func TestAHostileNamespaceDoesNotBreakAnAdministratorsRun(t *testing.T) {
	const ns = "obj-hostile"
	a := as(t, "lab-a")
	namespace(t, a, ns)
	k := unthrottled(t, a)
	const escape = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\nBLOCKERS\n"
	big := strings.Repeat("x", 1000<<10)
	many(t, 40, func(ctx context.Context, i int) error {
		_, err := k.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("big-%d", i)}, Data: map[string]string{"a": big},
		}, metav1.CreateOptions{})
		return err
	})
	many(t, 5000, func(ctx context.Context, i int) error {
		_, err := k.CoreV1().Secrets(ns).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("secret-%d", i), Annotations: map[string]string{"note": escape}},
			StringData: map[string]string{"password": "hostile-value"},
		}, metav1.CreateOptions{})
		return err
	})
	write(t, a, ns, `
apiVersion: v1
kind: Service
metadata: {name: talks, annotations: {"service.beta.kubernetes.io/x": "`+strings.NewReplacer("\x1b", `\e`, "\x07", `\a`, "\n", `\n`, "\u009b", `\x9b`, "\u202e", `\u202e`).Replace(escape)+`"}}
spec: {type: LoadBalancer, loadBalancerClass: none.example.com/x, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: circle-a, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: circle-b, uid: 00000000-0000-0000-0000-000000000001}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: lies, annotations: {kubectl-motion.dev/original-state: "not json", kubectl-motion.dev/source: "../../x"}}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: x}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: lies, annotations: {kubectl-motion.dev/chosen: "[", kubectl-motion.dev/load-balancer: "{"}}
spec: {ports: [{port: 80}]}`)

	run := exec.CommandContext(t.Context(), os.Getenv("MOTION"), "plan", "--kubeconfig", kubeconfig(), "--context", "lab-a", "--to-context", "lab-b", "-A")
	var out, errs strings.Builder
	run.Stdout, run.Stderr = &out, &errs
	_ = run.Run()
	if code := run.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exit status %d, want 4, as most namespaces are not on the target: %s", code, errs.String())
	}
	text := out.String() + errs.String()
	for _, bad := range []string{"\x1b", "\x07", "\u009b", "\u202e", "\nBLOCKERS\n\n"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q reaches the terminal", bad)
		}
	}
	if strings.Contains(text, "hostile-value") {
		t.Error("the value of a Secret is shown")
	}
	if used := run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; used > memory {
		t.Errorf("the run took %d KiB, want at most %d", used, memory)
	} else {
		t.Logf("the run took %d KiB", used)
	}

	_, stdout, _ := motion(t, "plan", "--context", "lab-a", "--to-context", "lab-b", "-A", "-o", "json")
	var all struct {
		Plans []struct {
			Source struct{ Namespace string }
			Items  []json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(stdout), &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, p := range all.Plans {
		seen[p.Source.Namespace] = len(p.Items)
	}
	if seen[ns] < 5040 || seen["blue"] == 0 || seen["default"] == 0 {
		t.Errorf("namespaces and their items: %v", seen)
	}
	for _, system := range []string{"kube-system", "kube-public", "kubectl-motion"} {
		if _, found := seen[system]; found {
			t.Errorf("%s is among them", system)
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	t.Logf("planned %v", names)
}
