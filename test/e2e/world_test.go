//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e tries the plugin on the lab's two real clusters, as the users that
// will run it. A test asserts what is on the clusters afterwards. It expects
// KUBECONFIG with the lab's contexts, and MOTION and MOTION_LAB with the names of
// the binaries, as test/with-lab.sh sets them; without them it fails.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

var (
	plugin = os.Getenv("MOTION")
	lab    = os.Getenv("MOTION_LAB")
)

func TestMain(m *testing.M) {
	if plugin == "" || lab == "" || os.Getenv("KUBECONFIG") == "" {
		fmt.Fprintln(os.Stderr, "these tests need the lab: make e2e, or test/with-lab.sh")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// as connects with a context of the lab.
func as(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: name})
	config, err := loader.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(t.Context(), name, namespace, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run is one ended run of the plugin.
type run struct {
	code           int
	stdout, stderr string
}

func (r run) String() string {
	return fmt.Sprintf("exit status %d\n--- stdout\n%s--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// motion runs the plugin to its end.
func motion(t *testing.T, args ...string) run {
	t.Helper()
	c, out := command(t.Context(), args...)
	err := c.Run()
	return ended(t, c, out, err)
}

type buffers struct{ out, err lockedBuffer }

func command(ctx context.Context, args ...string) (*exec.Cmd, *buffers) {
	c := exec.CommandContext(ctx, plugin, args...)
	b := &buffers{}
	c.Stdout, c.Stderr = &b.out, &b.err
	return c, b
}

func ended(t *testing.T, c *exec.Cmd, b *buffers, err error) run {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return run{c.ProcessState.ExitCode(), b.out.String(), b.err.String()}
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// must is motion for runs that have to succeed.
func must(t *testing.T, args ...string) run {
	t.Helper()
	r := motion(t, args...)
	if r.code != 0 {
		t.Fatalf("kubectl motion %s: %s", strings.Join(args, " "), r)
	}
	return r
}

var pairing struct {
	sync.Mutex
	done map[string]bool
}

// paired makes sure that a namespace of lab-a is paired with the same of lab-b.
func paired(t *testing.T, namespace string) {
	t.Helper()
	pairing.Lock()
	defer pairing.Unlock()
	if pairing.done[namespace] {
		return
	}
	must(t, "pair", "lab-b", "--context", "lab-a", "--to-context", "lab-b", "-n", namespace, "--yes")
	if pairing.done == nil {
		pairing.done = map[string]bool{}
	}
	pairing.done[namespace] = true
}

// put creates the objects of a manifest.
func put(t *testing.T, c *cluster.Cluster, namespace, manifest string) {
	t.Helper()
	for doc := range strings.SplitSeq(manifest, "\n---\n") {
		o := &unstructured.Unstructured{}
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		gvr, _, err := c.ResourceFor(o.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resource(gvr, namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// await polls until f is satisfied; it fails with what f said last.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = f()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}

// podOf waits for the one running pod with a label.
func podOf(t *testing.T, c *cluster.Cluster, namespace, label string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	await(t, "a ready pod with "+label, func() error {
		pods, err := c.Kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: label})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			for _, cond := range p.Status.Conditions {
				if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
					found = p
					return nil
				}
			}
		}
		return fmt.Errorf("%d pods, none ready", len(pods.Items))
	})
	return found
}

// sh runs a shell command in a pod and returns what it printed.
func sh(t *testing.T, c *cluster.Cluster, pod *corev1.Pod, script string) string {
	t.Helper()
	out, err := tryShell(t.Context(), c, pod, script)
	if err != nil {
		t.Fatalf("in pod %s on %s: %s: %v: %s", pod.Name, c, script, err, out)
	}
	return out
}

func tryShell(ctx context.Context, c *cluster.Cluster, pod *corev1.Pod, script string) (string, error) {
	req := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: pod.Spec.Containers[0].Name, Command: []string{"/bin/sh", "-c", script}, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	e, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", req.URL().String())
	if err != nil {
		return "", err
	}
	var out, errOut lockedBuffer
	err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
	return out.String() + errOut.String(), err
}

// reset removes what earlier tests left in a namespace of both clusters.
func reset(t *testing.T, namespace string) {
	t.Helper()
	for _, name := range []string{"lab-a", "lab-b"} {
		c := as(t, name)
		for _, kind := range []string{
			"statefulsets.v1.apps", "deployments.v1.apps", "daemonsets.v1.apps", "jobs.v1.batch", "cronjobs.v1.batch",
			"horizontalpodautoscalers.v2.autoscaling", "services.v1.", "migrations.v1alpha1.kubectl-motion.dev",
			"volumeshipments.v1alpha1.kubectl-motion.dev", "pods.v1.", "persistentvolumeclaims.v1.",
		} {
			remove(t, c, namespace, kind, "")
		}
		for _, kind := range []string{"configmaps.v1.", "secrets.v1."} {
			remove(t, c, namespace, kind, ofTests)
		}
	}
}
