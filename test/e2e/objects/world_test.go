//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package objects tries capture, rewrite, plan and apply on the lab's two real
// clusters. Each test has namespaces of its own and removes them. It expects the
// lab's kubeconfig in MOTION_LAB_KUBECONFIG or KUBECONFIG, and the plugin in
// MOTION; without them it fails.
package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/apply"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
)

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

func kubeconfig() string {
	if f := os.Getenv("MOTION_LAB_KUBECONFIG"); f != "" {
		return f
	}
	return os.Getenv("KUBECONFIG")
}

func TestMain(m *testing.M) {
	if kubeconfig() == "" || os.Getenv("MOTION") == "" {
		fmt.Fprintln(os.Stderr, "these tests need the lab and the plugin: make e2e, or test/with-lab.sh")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// as connects with a context of the lab.
func as(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig()}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name})
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

// motion runs the plugin to its end.
func motion(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return motionIn(t.Context(), t, args...)
}

func motionIn(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Getenv("MOTION"), append([]string{"--kubeconfig", kubeconfig()}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// await polls until f is content, and fails the test with its last complaint.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = f()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v: %v", what, err, last)
	}
}

// namespace makes one for the test and removes it, and waits for its end, after.
func namespace(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	client := c.Kube.CoreV1().Namespaces()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"e2e": "objects"}}}
	await(t, "a fresh namespace "+name, func() error {
		_, err := client.Create(t.Context(), ns, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			_ = client.Delete(t.Context(), name, metav1.DeleteOptions{})
		}
		return err
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("namespace %s stays: %v", name, err)
		}
	})
}

// write creates the objects of a YAML text in a namespace, as kubectl create does.
func write(t *testing.T, c *cluster.Cluster, namespace, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, u := range decode(t, text) {
		gvr, namespaced, err := c.ResourceFor(u.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		at := ""
		if namespaced {
			u.SetNamespace(namespace)
			at = namespace
		}
		var made *unstructured.Unstructured
		await(t, u.GetKind()+" "+u.GetName(), func() error {
			made, err = c.Resource(gvr, at).Create(t.Context(), u, metav1.CreateOptions{FieldManager: "kubectl-create"})
			if apierrors.IsAlreadyExists(err) {
				made, err = c.Resource(gvr, at).Get(t.Context(), u.GetName(), metav1.GetOptions{})
			}
			return err
		})
		out = append(out, made)
	}
	return out
}

func decode(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for doc := range strings.SplitSeq(text, "\n---") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		out = append(out, u)
	}
	return out
}

// make plans and fails the test on errors; blockers are the caller's business.
func makePlan(t *testing.T, src, dst *cluster.Cluster, req plan.Request) *plan.Plan {
	t.Helper()
	p, err := plan.Make(t.Context(), src, dst, req)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bring plans and applies everything, claims included, on standby.
func bring(t *testing.T, src, dst *cluster.Cluster, req plan.Request) (*plan.Plan, apply.ChangeSet) {
	t.Helper()
	p := makePlan(t, src, dst, req)
	if p.Blocked() {
		t.Fatalf("blocked: %v", p.Blockers)
	}
	objects := slices.Concat(p.Objects(plan.StageVolume), p.Objects(plan.StageStandby))
	set, err := apply.Apply(t.Context(), dst, objects, apply.Options{ForceConflicts: req.ForceConflicts})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return p, set
}

// live reads an object of the target.
func live(t *testing.T, c *cluster.Cluster, ref inventory.Ref) *unstructured.Unstructured {
	t.Helper()
	u, err := c.Resource(ref.GVR(), ref.Namespace).Get(t.Context(), ref.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("%s on %s: %v", ref, c.Name, err)
	}
	return u
}

// patchAs applies a patch as another field manager.
func patchAs(c *cluster.Cluster, ref inventory.Ref, manager, body string, kind types.PatchType, sub ...string) (*unstructured.Unstructured, error) {
	opts := metav1.PatchOptions{FieldManager: manager}
	return c.Resource(ref.GVR(), ref.Namespace).Patch(context.Background(), ref.Name, kind, []byte(body), opts, sub...)
}

// withoutCancel is a context for cleaning up, when that of the test has ended.
func withoutCancel(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// kubectl is the command line of kubectl: the one named, the lab's own, or the
// one that is installed.
func kubectl() string {
	if k := os.Getenv("KUBECTL"); k != "" {
		return k
	}
	if k := filepath.Join(filepath.Dir(os.Getenv("MOTION_LAB")), "lab", "kubectl"); os.Getenv("MOTION_LAB") != "" {
		if _, err := os.Stat(k); err == nil {
			return k
		}
	}
	return "kubectl"
}
