//go:build e2e

// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// still is an application without volumes and without running pods: what these
// tests are about is its objects.
const still = `apiVersion: v1
kind: ConfigMap
metadata: {name: app, labels: {e2e: "true"}}
data: {greeting: hello}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: frozen, labels: {e2e: "true"}}
immutable: true
data: {v: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: passing, labels: {e2e: "true"}}
---
apiVersion: v1
kind: Secret
metadata: {name: app, labels: {e2e: "true"}}
stringData: {token: battery-horse}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 0
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: c
          image: lab/tools:1
          envFrom: [{secretRef: {name: app}}, {configMapRef: {name: app}}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}`

func greeting(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	cm, err := c.Kube.CoreV1().ConfigMaps("blue").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return cm.Data["greeting"]
}

// TestTheFlagsAboutObjectsDoWhatTheySay runs the plugin as the user blue, through
// the pair: conflicts, immutable changes and deletions each need their consent.
func TestTheFlagsAboutObjectsDoWhatTheySay(t *testing.T) {
	reset(t, "blue")
	paired(t, "blue")
	a, b := as(t, "lab-a-blue"), as(t, "lab-b-blue")
	put(t, a, "blue", still)
	must(t, migrateArgs()...)

	t.Run("conflicts are shown per field and forced on request", func(t *testing.T) {
		theirs := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"app"},"data":{"greeting":"theirs"}}`
		force := true
		if _, err := b.Kube.CoreV1().ConfigMaps("blue").Patch(t.Context(), "app", types.ApplyPatchType, []byte(theirs),
			metav1.PatchOptions{FieldManager: "argocd-controller", Force: &force}); err != nil {
			t.Fatal(err)
		}
		r := motion(t, migrateArgs()...)
		if r.code != 4 || !strings.Contains(r.stderr, "data.greeting is owned by argocd-controller") || greeting(t, b) != "theirs" {
			t.Errorf("greeting %q: %s", greeting(t, b), r)
		}
		must(t, migrateArgs("--force-conflicts")...)
		if got := greeting(t, b); got != "hello" {
			t.Errorf("greeting %q", got)
		}
	})

	t.Run("what cannot change is made anew on request", func(t *testing.T) {
		if err := a.Kube.CoreV1().ConfigMaps("blue").Delete(t.Context(), "frozen", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		put(t, a, "blue", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: frozen, labels: {e2e: \"true\"}}\nimmutable: true\ndata: {v: \"2\"}")
		r := motion(t, migrateArgs()...)
		if r.code != 4 || !strings.Contains(r.stderr, "configmap/frozen") || !strings.Contains(r.stderr, "--recreate") {
			t.Errorf("%s", r)
		}
		must(t, migrateArgs("--recreate")...)
		cm, err := b.Kube.CoreV1().ConfigMaps("blue").Get(t.Context(), "frozen", metav1.GetOptions{})
		if err != nil || cm.Data["v"] != "2" {
			t.Errorf("%v %v", cm, err)
		}
	})

	t.Run("what is gone on the source goes on request", func(t *testing.T) {
		if err := a.Kube.CoreV1().ConfigMaps("blue").Delete(t.Context(), "passing", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		must(t, migrateArgs()...)
		if _, err := b.Kube.CoreV1().ConfigMaps("blue").Get(t.Context(), "passing", metav1.GetOptions{}); err != nil {
			t.Errorf("deleted without consent: %v", err)
		}
		must(t, migrateArgs("--prune")...)
		if _, err := b.Kube.CoreV1().ConfigMaps("blue").Get(t.Context(), "passing", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("not pruned: %v", err)
		}
	})

	t.Run("the account is there, without the value of a Secret", func(t *testing.T) { accountOf(t, a, b) })
}

func accountOf(t *testing.T, clusters ...*cluster.Cluster) {
	r := must(t, "report", "--context", "lab-a-blue", "-o", "json")
	var account struct {
		Counts v1alpha1.MigrationCounts
		Rows   []struct{ Object, Outcome, Reason string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &account); err != nil {
		t.Fatal(err)
	}
	if account.Counts.Unchanged == 0 || account.Counts.Skipped == 0 || account.Counts.Failed != 0 {
		t.Errorf("counts %+v", account.Counts)
	}
	rows := map[string]string{}
	for _, row := range account.Rows {
		rows[row.Object] = row.Outcome + " " + row.Reason
	}
	if rows["configmap/kube-root-ca.crt"] != "Skipped Generated" || rows["configmap/passing"] != "Pruned " {
		t.Errorf("rows %v", rows)
	}
	if mirror := must(t, "report", "--context", "lab-b-blue", "-n", "blue", "-o", "json"); !strings.Contains(mirror.stdout, "configmap/passing") {
		t.Errorf("the target's account: %s", mirror)
	}
	if named := must(t, "report", "lab-b", "--context", "lab-a-blue", "-o", "yaml"); !strings.Contains(named.stdout, "\nmigration: lab-b\n") || !strings.Contains(named.stdout, "object: configmap/passing") {
		t.Errorf("the account by its name, as YAML: %s", named)
	}
	if other := motion(t, "report", "nobodys", "--context", "lab-a-blue"); other.code != 1 || !strings.Contains(other.stderr, "nobodys") {
		t.Errorf("the account of a migration that is not there: %s", other)
	}
	const value = "battery-horse"
	sum := sha256.Sum256([]byte(value))
	everything := r.stdout + must(t, "report", "--context", "lab-a-blue").stdout + motion(t, "plan", "--context", "lab-a-blue", "--to", "lab-b", "-o", "yaml").stdout
	for _, c := range clusters {
		for _, kind := range []string{"configmaps.v1.", "migrations.v1alpha1.kubectl-motion.dev", "volumeshipments.v1alpha1.kubectl-motion.dev", "events.v1."} {
			list, err := c.Resource(resourceNamed(kind), "blue").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			text, err := list.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			everything += string(text)
		}
	}
	for what, s := range map[string]string{
		"value": value, "value in base64": base64.StdEncoding.EncodeToString([]byte(value)),
		"digest": hex.EncodeToString(sum[:]), "digest in base64": base64.StdEncoding.EncodeToString(sum[:]),
	} {
		if strings.Contains(everything, s) {
			t.Errorf("the %s of a Secret is in what we wrote", what)
		}
	}
}
