//go:build e2e && bench

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// shapes are the objects of a mixed namespace; of each hundred, so many are of a
// shape. Services are headless and workloads have no replicas, so that what is
// measured is objects, and so that kubectl can apply them at all.
var shapes = []struct {
	of   int
	text string
}{
	{45, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, labels: {app: NAME}}\ndata: {a: 'some configuration of NAME, as applications have it', b: 'and more of it'}"},
	{20, "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nstringData: {password: 'pass of NAME'}"},
	{10, "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {clusterIP: None, selector: {app: NAME}, ports: [{port: 80}]}"},
	{12, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME}\nspec: {replicas: 0, selector: {matchLabels: {app: NAME}}, template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: a, image: 'lab/web:1', env: [{name: A, value: b}], ports: [{containerPort: 80}], readinessProbe: {httpGet: {path: /, port: 80}}}]}}}"},
	{5, "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: NAME}\nspec: {schedule: '0 0 31 2 *', suspend: true, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'lab/tools:1'}]}}}}}"},
	{4, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: NAME}\nspec: {rules: [{host: NAME.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: NAME, port: {number: 80}}}}]}}]}"},
	{4, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: NAME}\nspec: {podSelector: {matchLabels: {app: NAME}}, ingress: [{}]}"},
}

const listed = "configmaps,secrets,services,deployments,cronjobs,ingresses.networking.k8s.io,networkpolicies"

func mixed(t *testing.T, c *cluster.Cluster, ns string, n int) {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.QPS, config.RateLimiter = -1, nil
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, s := range shapes {
		for range s.of {
			texts = append(texts, s.text)
		}
	}
	many(t, n, func(ctx context.Context, i int) error {
		u := decode(t, strings.ReplaceAll(texts[i%len(texts)], "NAME", fmt.Sprintf("object-%d", i)))[0]
		gvr, _, err := c.ResourceFor(u.GroupVersionKind())
		if err != nil {
			return err
		}
		_, err = dyn.Resource(gvr).Namespace(ns).Create(ctx, u, metav1.CreateOptions{})
		return err
	})
}

// TestTwoThousandObjectsBesideKubectl measures, in one run and
// against the same two clusters, what kubectl does and what we do for the same
// end: every object on the target; and every object tried there. Each write goes
// into a namespace of its own that nothing was deleted from, and the order is
// ours, theirs, theirs, ours, so that neither always runs on what the other's
// objects still give the controllers to do. The better of two counts.
func TestTwoThousandObjectsBesideKubectl(t *testing.T) {
	const ns, n = "obj-scale", 2000
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	mixed(t, a, ns, n)
	targets := []string{ns + "-1", ns + "-2", ns + "-3", ns + "-4", ns + "-5"}
	for _, to := range targets {
		namespace(t, b, to)
	}
	request := func(to string) plan.Request {
		return plan.Request{SourceNamespace: ns, TargetNamespace: to, Mode: v1alpha1.ModeStandby}
	}
	ratio := func(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

	theirTry := pipeline(t, ns, targets[0], "--dry-run=server")
	ourTry := timed(func() { makePlan(t, a, b, request(targets[0])) })
	ours := timed(func() { moveOnly(t, a, b, request(targets[0]), n) })
	theirs := min(pipeline(t, ns, targets[1], ""), pipeline(t, ns, targets[2], ""))
	ours = min(ours, timed(func() { moveOnly(t, a, b, request(targets[3]), n) }))
	again := timed(func() {
		if _, set := bring(t, a, b, request(targets[3])); set.Count(apply.Unchanged) != len(set.Rows) {
			t.Errorf("the second run: %d of %d unchanged", set.Count(apply.Unchanged), len(set.Rows))
		}
	})
	whole := timed(func() { bring(t, a, b, request(targets[4])) })
	t.Logf("%d objects: kubectl get | apply %s, we %s (%.1f times as fast)", n, theirs, ours, ratio(theirs, ours))
	t.Logf("tried only: kubectl get | apply --dry-run=server %s, the whole plan %s (%.1f)", theirTry, ourTry, ratio(theirTry, ourTry))
	t.Logf("tried and then written, as a migration does it: %s (%.1f)", whole, ratio(theirs, whole))
	t.Logf("plan and apply when nothing has changed: %s", again)
}

func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun).Round(time.Millisecond)
}

// pipeline is what people do by hand. UIDs and versions are left out, because the
// target would refuse every object for them.
func pipeline(t *testing.T, ns, to, flag string) time.Duration {
	t.Helper()
	pipe := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", fmt.Sprintf(
		`%[1]s --kubeconfig %[2]s --context lab-a -n %[3]s get %[4]s -o yaml |
		sed -E -e '/^ {4}(uid|resourceVersion): /d' -e 's/^( {4}namespace: ).*/\1%[6]s/' |
		%[1]s --kubeconfig %[2]s --context lab-b -n %[6]s apply --server-side --force-conflicts %[5]s -f - | wc -l`,
		kubectl(), kubeconfig(), ns, listed, flag, to))
	pipe.Stderr = os.Stderr
	return timed(func() {
		lines, err := pipe.Output()
		if err != nil {
			t.Fatalf("kubectl: %v: %s", err, lines)
		}
		t.Logf("kubectl applied %s objects", strings.TrimSpace(string(lines)))
	})
}

// moveOnly does what the pipeline does, and no more: it does not ask the target
// to try each object first.
func moveOnly(t *testing.T, a, b *cluster.Cluster, req plan.Request, n int) {
	t.Helper()
	begun := time.Now()
	inv, err := inventory.Namespace(t.Context(), a, b, req.SourceNamespace, inventory.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := plan.ObserveFacts(t.Context(), a, b, inv, req.TargetNamespace)
	if err != nil {
		t.Fatal(err)
	}
	draft, err := plan.NewDraft(inv, facts, req)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Build(draft, plan.Observation{})
	if err != nil {
		t.Fatal(err)
	}
	read := time.Since(begun)
	set, err := apply.Apply(t.Context(), b, p.Objects(plan.StageStandby), apply.Options{})
	t.Logf("read and rewritten in %s, written in %s", read.Round(time.Millisecond), (time.Since(begun) - read).Round(time.Millisecond))
	if err != nil || set.Err() != nil {
		t.Fatal(err, set.Err())
	}
	if set.Count(apply.Created) < n {
		t.Errorf("%d objects were created, want %d", set.Count(apply.Created), n)
	}
}

// TestTwentyThousandObjectsWorkWithin300MiB: with the plugin as its users run it,
// from the pair to the account, and once more when nothing has changed. What it
// takes is what the kernel says of it.
func TestTwentyThousandObjectsWorkWithin300MiB(t *testing.T) {
	const ns, n = "obj-scale-20k", 20000
	a, b := as(t, "lab-a"), as(t, "lab-b")
	namespace(t, a, ns)
	namespace(t, b, ns)
	t.Logf("%d objects made in %s", n, timed(func() { mixed(t, a, ns, n) }))
	ends := []string{"--context", "lab-a", "--to-context", "lab-b", "-n", ns}
	if code, _, stderr := motion(t, append([]string{"pair", "lab-b", "--yes"}, ends...)...); code != 0 {
		t.Fatalf("pair: exit status %d: %s", code, stderr)
	}
	t.Cleanup(func() {
		if code, _, stderr := motionIn(withoutCancel(t), t, append([]string{"unpair", "lab-b", "--yes"}, ends...)...); code != 0 {
			t.Errorf("unpair: exit status %d: %s", code, stderr)
		}
	})

	first := weighed(t, append([]string{"migrate", "-o", "json", "--progress", "quiet"}, ends...)...)
	if c := countsOf(t, first); c.Moved < n || c.Failed != 0 {
		t.Errorf("the first run: %+v", c)
	}
	again := weighed(t, append([]string{"migrate", "-o", "json", "--progress", "quiet"}, ends...)...)
	if c := countsOf(t, again); c.Moved != 0 || c.Unchanged < n || c.Failed != 0 {
		t.Errorf("a run when nothing has changed: %+v", c)
	}
	for _, format := range []string{"", "json", "yaml"} {
		if text := weighed(t, append([]string{"plan", "-o", format}, ends...)...); !strings.Contains(text, "object-19999") {
			t.Errorf("-o %q does not mention the last object: %s", format, last(text, 500))
		}
	}
}

// weighed runs the plugin, says what that took, and fails when it was too much
// memory.
func weighed(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), os.Getenv("MOTION"), append([]string{"--kubeconfig", kubeconfig()}, args...)...)
	var out, errs strings.Builder
	run.Stdout, run.Stderr = &out, &errs
	took := timed(func() {
		if err := run.Run(); err != nil {
			t.Errorf("%s: %v: %s", args[0], err, last(errs.String(), 2000))
		}
	})
	used := run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	t.Logf("kubectl motion %s: %s, %s of processor time, at most %d KiB", strings.Join(args, " "), took,
		(run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Round(100*time.Millisecond), used)
	if used > memory {
		t.Errorf("%s took %d KiB, want at most %d", args[0], used, memory)
	}
	return out.String()
}

func countsOf(t *testing.T, stdout string) v1alpha1.MigrationCounts {
	t.Helper()
	var r struct{ Counts v1alpha1.MigrationCounts }
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, last(stdout, 500))
	}
	return r.Counts
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }
